cimport cython
from aioproducer cimport inlined

cdef Py_ssize_t _MAX_RECORD_OVERHEAD
cdef bytes _NULL
cdef list _VARINTS
cdef list _ATTRIBUTES_AND_DELTAS

cpdef bytes encode_head(
    long long timestamp_delta, Py_ssize_t offset_delta, object key, Py_ssize_t value_size
)

cpdef bytes encode_tail(object headers)

cpdef bytes size_prefix(Py_ssize_t size)

@cython.locals(size=Py_ssize_t, name_size=Py_ssize_t, header_size=Py_ssize_t)
cpdef Py_ssize_t record_size_bound(Py_ssize_t key_size, Py_ssize_t value_size, object headers=*)

cdef Py_ssize_t _varint_size_from_null(Py_ssize_t size)
