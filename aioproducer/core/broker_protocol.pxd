cimport cython
from aioproducer cimport inlined
from aioproducer.wire.framing cimport FrameDecoder
from aioproducer.wire.primitives cimport Reader


@cython.final
cdef class BrokerProtocol:
    cdef object _client_id
    cdef public long long _next_correlation_id
    cdef public long long _last_read
    cdef FrameDecoder _frames
    cdef public object in_flight
    cdef public object versions

    @cython.locals(reader=Reader)
    cdef tuple _read(self, bytes frame)
