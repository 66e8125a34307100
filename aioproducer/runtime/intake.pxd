cimport cython
from aioproducer cimport inlined
from aioproducer.core.batch cimport Batch
from aioproducer.core.memory_budget cimport MemoryBudget
from aioproducer.core cimport key_hash
from aioproducer.core.partition_queue cimport PartitionQueue
from aioproducer.core.topic_queues cimport TopicQueues
from aioproducer.delivery cimport Delivery, Fate
from aioproducer.runtime.ledger cimport Ledger
from aioproducer.runtime.sender cimport Sender
from aioproducer.story cimport Story
from aioproducer.wire.record_encoder cimport record_size_bound


cdef long long RECORD_OVERHEAD
cdef object _EXPEDITE

@cython.final
cdef class Intake:
    cdef object __weakref__
    cdef dict __dict__
    cdef public dict _topics
    cdef public object _memory_line
    cdef public MemoryBudget _budget
    cdef public object _router
    cdef public Ledger _ledger
    cdef public Sender _sender
    cdef public object _cluster
    cdef public object _scope
    cdef public double _linger
    cdef public bint _compressing
    cdef public Py_ssize_t _flushing
    cdef public bint _expediting
    cdef public bint _adaptive
    cdef public object _config
    cdef public object _client_id
    cdef public object _supervisor
    cdef public object admission
    cdef public object _on_late
    cdef public object _rng
    cdef public object _loop
    cdef public Py_ssize_t _largest_record
    cdef public Py_ssize_t _batch_size
    cdef public Py_ssize_t _since_turn
    cdef public bint _hash_keys
    cdef public bint _chooses_freely

    @cython.locals(
        queues=TopicQueues, size=Py_ssize_t, charge=cython.longlong,
        partition=Py_ssize_t, queue=PartitionQueue
    )
    cpdef Delivery accept_plain(self, str topic, bytes key, bytes value)

    @cython.locals(batch=Batch, index=Py_ssize_t, charge=cython.longlong)
    cdef Delivery _append(
        self, PartitionQueue queue, Py_ssize_t size, long long timestamp_ms, object key,
        object value, object headers
    )

    @cython.locals(topic=TopicQueues, fate=Fate, now=double)
    cpdef Batch _new_batch(
        self, PartitionQueue queue, long long timestamp_ms, Py_ssize_t size, object created
    )
    @cython.locals(topic=TopicQueues, fate=Fate, now=double, story=Story)
    cpdef _open(self, PartitionQueue queue, Batch batch)
    @cython.locals(batch=Batch)
    cpdef _close_full(self, PartitionQueue queue, double now)
    cpdef object _reason_not_to_linger(self)
    cpdef _wake_assembler(self, PartitionQueue queue)
