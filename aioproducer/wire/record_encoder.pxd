cimport cython
from aioproducer cimport inlined

cdef Py_ssize_t _MAX_RECORD_OVERHEAD
cdef bytes _NULL
cdef Py_ssize_t _JOINED_BELOW
cdef list _VARINTS
cdef list _ATTRIBUTES_AND_DELTAS

@cython.locals(
    size=Py_ssize_t, deltas=bytes, offset=bytes, key_size=bytes, key_bytes=bytes, value_size=bytes,
    body=bytes, prefix=bytes
)
cpdef Py_ssize_t append_parts(
    list parts, long long timestamp_delta, Py_ssize_t offset_delta, object key, bytes value,
    bytes tail
)

cdef Py_ssize_t _append_any(
    list parts, long long timestamp_delta, Py_ssize_t offset_delta, object key, bytes value,
    bytes tail
)

cpdef bytes encode_tail(object headers)

@cython.locals(size=Py_ssize_t, name_size=Py_ssize_t, header_size=Py_ssize_t)
cpdef Py_ssize_t record_size_bound(Py_ssize_t key_size, Py_ssize_t value_size, object headers=*)

cdef Py_ssize_t _varint_size_from_null(Py_ssize_t size)
