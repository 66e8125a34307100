cimport cython
from aioproducer cimport inlined
from aioproducer.core.batch cimport Batch
from aioproducer.core.partition_queue cimport PartitionQueue
from aioproducer.core.topic_queues cimport TopicQueues


@cython.final
cdef class ProduceExchange:
    cdef public list _in_order
    cdef public Py_ssize_t acks
    cdef public bint has_topic_ids
    cdef public object request
    cdef public object shipments

    @cython.locals(
        queue=PartitionQueue, batch=Batch, topic=TopicQueues, by_topic=dict, partitions=list,
        sent=list
    )
    cdef dict _group(self, bint transactional)
    @cython.locals(pairs=list, expected=list, queue=PartitionQueue)
    cpdef list answers(self, object response)
