cimport cython
from aioproducer.core.batch cimport Batch
from aioproducer.core.sampling cimport Sample

cdef object _SIZE
cdef object _LINGER
cdef object _EXPEDITE


@cython.final
cdef class ProducerSample(Sample):
    cdef public long long ack_records
    cdef public long long ack_batches
    cdef public double ack_time
    cdef public long long records_sent
    cdef public long long batches_sent
    cdef public long long batch_bytes
    cdef public long long body_bytes
    cdef public long long produce_requests
    cdef public long long first_batches
    cdef public double queue_time
    cdef public long long record_bytes
    cdef public long long records_first
    cdef public long long sealed_size
    cdef public long long sealed_linger
    cdef public long long sealed_flush
    cdef public long long sealed_expedite
    cdef public long long sealed_memory
    cdef public long long sealed_idle
    cdef public long long produce_answers
    cdef public double latency
    cdef public double throttle
    cdef public long long produce_lost
    cdef public long long records_retried
    cdef public long long records_failed
    cdef public long long batches_split
    cdef public long long buffer_exhausted
    cdef public long long waits_begun
    cdef public long long waits
    cdef public double wait_time
    cdef public double memory_wait
    cdef public double metadata_wait
    cdef public double flush_time
    cdef public long long interceptor_errors
    cdef public long long interceptor_dropped
    cdef public long long stalls
    cdef public double txn_init
    cdef public double txn_begin
    cdef public double txn_send_offsets
    cdef public double txn_commit
    cdef public double txn_abort
    cdef public double ack_time_max
    cdef public double batch_bytes_max
    cdef public double queue_time_max
    cdef public double record_size_max
    cdef public double latency_max
    cdef public double throttle_max
    cdef public double wait_time_max
    cdef public list ack_times


@cython.final
cdef class TopicSample(Sample):
    cdef public long long records_sent
    cdef public long long batch_bytes
    cdef public long long body_bytes
    cdef public long long ack_records
    cdef public long long records_retried
    cdef public long long records_failed
    cdef public dict partitions


@cython.final
cdef class NodeSample(Sample):
    cdef public long long requests
    cdef public long long request_bytes
    cdef public long long responses
    cdef public long long response_bytes
    cdef public long long operations
    cdef public long long produce_answers
    cdef public double latency
    cdef public long long timeouts
    cdef public long long connections
    cdef public long long disconnections
    cdef public long long logins
    cdef public long long failed_logins
    cdef public long long renewals
    cdef public long long failed_renewals
    cdef public double renewal_time
    cdef public double request_bytes_max
    cdef public double latency_max
    cdef public double renewal_time_max


# Not final: the benchmark has one that counts nothing.
cdef class Meters:
    cdef dict __dict__
    cdef Py_ssize_t _samples
    cdef double _window
    cdef public object producer
    cdef public dict topics
    cdef public object forgotten
    cdef public dict nodes
    cdef object _gone
    cdef object _leaving

    cpdef TopicSample topic(self, str name, double now)
    @cython.locals(
        producer=ProducerSample, topic=TopicSample, batch=Batch, count=cython.longlong,
        body=cython.longlong, size=cython.longlong, name=str, partitions=dict
    )
    cpdef request_sent(self, object batches, double now)
    @cython.locals(producer=ProducerSample, sample=NodeSample)
    cpdef answered(self, object node, double latency, double throttle, double now)
    @cython.locals(producer=ProducerSample, topic=TopicSample, count=cython.longlong, age=double)
    cpdef delivered(self, Batch batch, double now)
    @cython.locals(of_topic=TopicSample)
    cpdef failed(self, str topic, long long count, double now)
    @cython.locals(topic=TopicSample)
    cpdef retried(self, Batch batch, double now)


@cython.locals(waited=double, mean=double)
cdef _leaves_first(
    ProducerSample producer, Batch batch, long long body, long long count, double now
)
