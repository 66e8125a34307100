cimport cython
from aioproducer cimport inlined
from aioproducer.awaitable cimport FutureOfMetadata
from aioproducer.story cimport Story

cdef object _PENDING
cdef object _DELIVERED
cdef object _FAILED
cdef object _DIVIDED
cdef object _LIVE
cdef object _RETRIEVED
cdef object _CANCELLED


@cython.final
cdef class Fate:
    cdef public object loop
    cdef public str topic
    cdef public object partition
    cdef public Py_ssize_t count
    cdef public object state
    cdef public long long base_offset
    cdef public long long log_append_time_ms
    cdef public object error
    cdef public list waiters
    cdef public list parts
    cdef public Py_ssize_t retrieved
    cdef public bint quiet
    cdef public object withdraw
    cdef public list abandoned
    cdef public object on_late
    cdef public Story story
    cdef public object waiting

    @cython.locals(delivery=Delivery)
    cpdef Delivery delivery(
        self, Py_ssize_t index, long long timestamp_ms, Py_ssize_t key_size, Py_ssize_t value_size
    )
    cpdef deliver(self, long long base_offset, long long log_append_time_ms=*)
    @cython.locals(delivery=Delivery)
    cdef _wake(self)


@cython.final
cdef class Delivery(FutureOfMetadata):
    cdef object __weakref__
    cdef public bint _asyncio_future_blocking
    cdef public list _done_callbacks
    cdef public Fate _fate
    cdef public Py_ssize_t _index
    cdef public Py_ssize_t _key_size
    cdef public object _outcome
    cdef public object _stage
    cdef public long long _timestamp_ms
    cdef public Py_ssize_t _value_size

    cpdef bint done(self)
    cpdef object result(self)
    cpdef _fire(self)
    cpdef _follow(self)
    @cython.locals(fate=Fate, timestamp_ms=cython.longlong, base=cython.longlong)
    cpdef _make_metadata(self)
    cpdef object _step(self)


@cython.final
@cython.freelist(64)
cdef class Steps:
    cdef public Delivery _delivery
    cdef public bint _waited


# It needs the two above.
from aioproducer cimport send_slot
