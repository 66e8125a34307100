cimport cython

cpdef bytes encode_uvarint(unsigned long long value)
cpdef bytes encode_string(object value, bint flexible)


@cython.final
cdef class Reader:
    cdef public bytes buffer
    cdef public Py_ssize_t offset

    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cpdef bytes take(self, Py_ssize_t size)
    @cython.locals(offset=Py_ssize_t)
    cpdef object int32(self)
    cpdef bytes uuid(self)
    @cython.locals(buffer=bytes, offset=Py_ssize_t, byte=cython.longlong)
    cpdef long long uvarint(self) except *
    cpdef object string(self, bint flexible)
    @cython.locals(size=cython.longlong)
    cpdef object nullable_string(self, bint flexible)
    @cython.locals(count=cython.longlong)
    cpdef long long array_length(self, bint flexible, Py_ssize_t min_element_size=*) except *
    @cython.locals(count=cython.longlong)
    cpdef dict tagged_fields(self)
