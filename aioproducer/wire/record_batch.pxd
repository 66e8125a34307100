cimport cython

cdef object _pack_outer
cdef object _pack_inner

@cython.locals(length=Py_ssize_t)
cpdef bytes batch_header(
    object records,
    int codec_id,
    Py_ssize_t record_count,
    long long base_timestamp,
    long long max_timestamp,
    long long producer_id=*,
    int producer_epoch=*,
    long long base_sequence=*,
    bint transactional=*,
)
