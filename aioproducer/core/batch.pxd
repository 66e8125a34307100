cimport cython
from aioproducer.delivery cimport Fate
from aioproducer.wire.record_batch cimport batch_header
from aioproducer.wire.record_encoder cimport append_parts, encode_tail

@cython.final
cdef class Batch:
    cdef public str topic
    cdef public Py_ssize_t partition
    cdef public Fate fate
    cdef public tuple order
    cdef public double created
    cdef public double opened
    cdef public Py_ssize_t limit
    cdef public double growth
    cdef public long long base_timestamp
    cdef public long long max_timestamp
    cdef list _parts
    cdef bytes _body
    cdef public Py_ssize_t size
    cdef public Py_ssize_t count
    cdef public long long charged
    cdef public object sealed
    cdef public bint closed
    cdef public object payload
    cdef public bint preparing
    cdef public int codec_id
    cdef public Py_ssize_t attempts
    cdef public double retry_at
    cdef public object stamp
    cdef public bint maybe_written
    cdef public bint cannot_follow
    cdef public bint expired
    cdef public object last_error
    cdef public object clock

    cpdef bint has_room(self, Py_ssize_t size)
    @cython.locals(index=Py_ssize_t)
    cpdef Py_ssize_t append(self, long long timestamp_ms, object key, object value, object headers)
    cpdef bytes header(self, bint transactional=*)
