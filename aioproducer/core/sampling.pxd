cdef class Sample:
    cdef public double start
