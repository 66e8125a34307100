cimport cython

cdef list _VARINTS
cdef list _ATTRIBUTES_AND_DELTAS

@cython.locals(body=bytes)
cpdef object append_record(
    bytearray out, long long timestamp_delta, Py_ssize_t offset_delta, object key, object value, object headers
)

@cython.locals(size=Py_ssize_t, name_size=Py_ssize_t, header_size=Py_ssize_t)
cpdef Py_ssize_t record_size_bound(Py_ssize_t key_size, Py_ssize_t value_size, object headers=*)

cdef Py_ssize_t _varint_size_from_null(Py_ssize_t size)
