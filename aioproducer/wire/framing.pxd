cimport cython


@cython.final
cdef class FrameDecoder:
    cdef long long _max_frame
    cdef object _partial
    cdef bint _untouched

    @cython.locals(position=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t)
    cpdef list feed(self, object data)
    cdef Py_ssize_t _continue(self, object data, list frames) except -1
    @cython.locals(size=cython.longlong)
    cdef Py_ssize_t _size(self, object data, Py_ssize_t position) except -1
