cimport cython

@cython.final
cdef class Story:
    cdef public double opened_at
    cdef public object waiting
    cdef public object sealed_at
    cdef public object seal
    cdef public list attempts
    cdef public Py_ssize_t left_out
    cdef public object settled_at

    cpdef sealed(self, double now)
    cpdef leaves(self, double now, Py_ssize_t node_id, object why)
    cpdef returns(self, double now, object error)
