cimport cython
from aioproducer cimport inlined
from aioproducer.core.batch cimport Batch
from aioproducer.core.partition_queue cimport PartitionQueue
from aioproducer.core.produce_exchange cimport ProduceExchange
from aioproducer.core.producer_identity cimport SequenceState
from aioproducer.runtime.delivery_clock cimport DeliveryClock
from aioproducer.runtime.ledger cimport Ledger
from aioproducer.story cimport Story


cdef object _DELIVER
cdef object _RETRY
cdef object _SPLIT


@cython.final
cdef class Sender:
    cdef object __weakref__
    cdef dict __dict__
    cdef public object _cluster
    cdef public object on_idle
    cdef public object _client_id
    cdef public object _rng
    cdef public object _watch
    cdef public dict _retry_timers
    cdef public object _config
    cdef public object _keeper
    cdef public object _loop
    cdef public object _meters
    cdef public object _preparer
    cdef public object _scope
    cdef public Ledger _ledger
    cdef public DeliveryClock clock
    cdef public dict _lines
    cdef public dict _leaderless

    @cython.locals(leader=Py_ssize_t)
    cpdef offer(self, PartitionQueue queue)
    @cython.locals(queue=PartitionQueue)
    cpdef bint has_work(self, object node_id)
    @cython.locals(batch=Batch, story=Story, exchange=ProduceExchange, now=double)
    cpdef object next_work(self, object node_id)
    @cython.locals(batch=Batch, story=Story, connected_at=double, paused_until=double)
    cdef _tell_stories(self, object shipments, object node_id, double now)
    @cython.locals(
        size=Py_ssize_t, queue=PartitionQueue, batch=Batch, following=Batch,
        shipments=list, again=list
    )
    cpdef list _collect(self, object node_id, object line, double now)
    @cython.locals(head=Batch, batch=Batch)
    cpdef Batch _sendable(self, PartitionQueue queue, double now)
    cdef bint _has_identity(self, PartitionQueue queue, SequenceState sequences)
    @cython.locals(queue=PartitionQueue, batch=Batch, now=double)
    cpdef _answered(self, object node_id, ProduceExchange exchange, object response, double sent_at)
    @cython.locals(sequences=SequenceState, story=Story)
    cpdef _settle(
        self, PartitionQueue queue, Batch batch, object judgement, double now, object error=*,
        long long base_offset=*, long long log_append_time_ms=*
    )
    cpdef _go_on(self, PartitionQueue queue)


@cython.final
cdef class _Work:
    cdef public Sender _sender
    cdef public object _node_id
    cdef public ProduceExchange _exchange
    cdef public double _sent_at
    cdef public object at_least
    cdef public object at_most
    cdef public bint expect_answer
    cdef public object request
