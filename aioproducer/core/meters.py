"""What the producer counts: once for each request, batch, connection or wait, never for a record.

Each method adds to a sample and does nothing else; ``now`` is the loop's time. What becomes of the
figures is for those who ask for them (``aioproducer.observe``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.histogram import bucket_of, no_counts
from aioproducer.core.sampling import Meter, Sample
from aioproducer.wire.record_batch import HEADER_SIZE

_MOST_LEAVING = 16
_SIZE = Sealed.SIZE
_LINGER = Sealed.LINGER
_EXPEDITE = Sealed.EXPEDITE


class ProducerSample(Sample):
    """The producer as a whole; times are seconds."""

    SUMS = (
        "ack_records", "ack_batches", "ack_time",
        "records_sent", "batches_sent", "batch_bytes", "body_bytes", "produce_requests",
        "first_batches", "queue_time", "record_bytes", "records_first",
        "sealed_size", "sealed_linger", "sealed_flush", "sealed_expedite", "sealed_memory",
        "sealed_idle",
        "produce_answers", "latency", "throttle", "produce_lost",
        "records_retried", "records_failed", "batches_split",
        "buffer_exhausted", "waits_begun", "waits", "wait_time", "memory_wait", "metadata_wait",
        "flush_time", "interceptor_errors", "interceptor_dropped", "stalls",
        "txn_init", "txn_begin", "txn_send_offsets", "txn_commit", "txn_abort",
    )  # fmt: skip
    MAXIMA = (
        "ack_time_max", "batch_bytes_max", "queue_time_max", "record_size_max", "latency_max",
        "throttle_max", "wait_time_max",
    )  # fmt: skip
    __slots__ = (*SUMS, *MAXIMA, "ack_times")

    ack_records: int
    ack_batches: int
    ack_time: float
    records_sent: int
    batches_sent: int
    batch_bytes: int
    body_bytes: int
    produce_requests: int
    first_batches: int
    queue_time: float
    record_bytes: int
    records_first: int
    sealed_size: int
    sealed_linger: int
    sealed_flush: int
    sealed_expedite: int
    sealed_memory: int
    sealed_idle: int
    produce_answers: int
    latency: float
    throttle: float
    produce_lost: int
    records_retried: int
    records_failed: int
    batches_split: int
    buffer_exhausted: int
    waits_begun: int
    waits: int
    wait_time: float
    memory_wait: float
    metadata_wait: float
    flush_time: float
    interceptor_errors: int
    interceptor_dropped: int
    stalls: int
    txn_init: float
    txn_begin: float
    txn_send_offsets: float
    txn_commit: float
    txn_abort: float
    ack_time_max: float
    batch_bytes_max: float
    queue_time_max: float
    record_size_max: float
    latency_max: float
    throttle_max: float
    wait_time_max: float

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self.ack_times = no_counts()

    def add(self, other: ProducerSample) -> None:
        """Take in what ``other`` counted."""
        super().add(other)
        self.ack_times = [a + b for a, b in zip(self.ack_times, other.ack_times, strict=True)]


class TopicSample(Sample):
    """One topic; ``partitions`` are the records sent to each."""

    SUMS = (
        "records_sent", "batch_bytes", "body_bytes", "ack_records", "records_retried",
        "records_failed",
    )  # fmt: skip
    __slots__ = (*SUMS, "partitions")

    records_sent: int
    batch_bytes: int
    body_bytes: int
    ack_records: int
    records_retried: int
    records_failed: int

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self.partitions: dict[int, int] = {}

    def add(self, other: TopicSample) -> None:
        """Take in what ``other`` counted."""
        super().add(other)
        partitions = self.partitions
        for index, count in other.partitions.items():
            partitions[index] = partitions.get(index, 0) + count


class NodeSample(Sample):
    """The connections to one broker, whatever is asked of it."""

    SUMS = (
        "requests", "request_bytes", "responses", "response_bytes", "operations",
        "produce_answers", "latency", "timeouts",
        "connections", "disconnections", "logins", "failed_logins", "renewals",
        "failed_renewals", "renewal_time",
    )  # fmt: skip
    MAXIMA = ("request_bytes_max", "latency_max", "renewal_time_max")
    __slots__ = (*SUMS, *MAXIMA)

    requests: int
    request_bytes: int
    responses: int
    response_bytes: int
    operations: int
    produce_answers: int
    latency: float
    timeouts: int
    connections: int
    disconnections: int
    logins: int
    failed_logins: int
    renewals: int
    failed_renewals: int
    renewal_time: float
    request_bytes_max: float
    latency_max: float
    renewal_time_max: float


class Meters:
    """Everything that is counted, by producer, topic and broker."""

    def __init__(self, samples: int, window: float, now: float) -> None:
        self._samples = samples
        self._window = window
        self.producer = Meter(ProducerSample, samples, window, now)
        self.topics: dict[str, Meter[TopicSample]] = {}
        # Topics that nobody uses any more, together.
        self.forgotten = Meter(TopicSample, samples, window, now)
        self.nodes: dict[int, Meter[NodeSample]] = {}
        # Brokers that are no more; without this the totals would shrink with them.
        self._gone = Meter(NodeSample, samples, window, now)
        self._leaving: deque[Meter[NodeSample]] = deque()

    def topic(self, name: str, now: float) -> TopicSample:
        """Return the sample of a topic."""
        meter = self.topics.get(name)
        if meter is None:
            meter = self.topics[name] = Meter(TopicSample, self._samples, self._window, now)
        return meter.at(now)

    def topic_forgotten(self, name: str) -> None:
        """Keep no figures of its own for a topic that is no longer used."""
        meter = self.topics.pop(name, None)
        if meter is not None:
            self.forgotten.absorb(meter)

    def all_topics(self) -> list[Meter[TopicSample]]:
        """Return the meters of all topics, those included that are forgotten."""
        return [self.forgotten, *self.topics.values()]

    def node(self, node_id: int, now: float) -> Meter[NodeSample]:
        """Return the meter of a broker."""
        meter = self.nodes.get(node_id)
        if meter is None:
            meter = self.nodes[node_id] = Meter(NodeSample, self._samples, self._window, now)
        return meter

    def node_gone(self, node_id: int) -> None:
        """Keep no figures of its own for a broker that will not come back by this id."""
        meter = self.nodes.pop(node_id, None)
        if meter is None:
            return
        # Not taken over at once: its connection is yet to be closed.
        self._leaving.append(meter)
        if len(self._leaving) > _MOST_LEAVING:
            self._gone.absorb(self._leaving.popleft())

    def all_nodes(self) -> list[Meter[NodeSample]]:
        """Return the meters of all brokers, those included that are gone."""
        return [self._gone, *self._leaving, *self.nodes.values()]

    # The way of a batch

    def request_sent(self, batches: Iterable[Batch], now: float) -> None:
        """Count a produce request; repeated batches count again, as in Java."""
        producer = self.producer.at(now)
        producer.produce_requests += 1
        name, topic = "", None
        for batch in batches:
            count = batch.count
            body = batch.size
            payload = batch.payload
            size = HEADER_SIZE + (body if payload is None else len(payload))
            producer.records_sent += count
            producer.batches_sent += 1
            producer.batch_bytes += size
            producer.body_bytes += HEADER_SIZE + body
            if size > producer.batch_bytes_max:
                producer.batch_bytes_max = size
            if topic is None or batch.topic != name:
                name = batch.topic
                topic = self.topic(name, now)
            topic.records_sent += count
            topic.batch_bytes += size
            topic.body_bytes += HEADER_SIZE + body
            partitions, index = topic.partitions, batch.partition
            partitions[index] = partitions.get(index, 0) + count
            if not batch.attempts and len(batch.order) == 1:
                _leaves_first(producer, batch, body, count, now)

    def answered(
        self, node: Meter[NodeSample], latency: float, throttle: float, now: float
    ) -> None:
        """Count the answer to a produce request; both times are seconds."""
        producer = self.producer.at(now)
        producer.produce_answers += 1
        producer.latency += latency
        producer.throttle += throttle
        if latency > producer.latency_max:
            producer.latency_max = latency
        if throttle > producer.throttle_max:
            producer.throttle_max = throttle
        sample = node.at(now)
        sample.produce_answers += 1
        sample.latency += latency
        if latency > sample.latency_max:
            sample.latency_max = latency

    def delivered(self, batch: Batch, now: float) -> None:
        """Count an acknowledged batch; each record of it counts as being as old as its oldest."""
        producer = self.producer.at(now)
        count = batch.count
        age = now - batch.created
        producer.ack_records += count
        producer.ack_batches += 1
        producer.ack_time += age * count
        if age > producer.ack_time_max:
            producer.ack_time_max = age
        producer.ack_times[bucket_of(age)] += count
        topic = self.topic(batch.topic, now)
        topic.ack_records += count

    def failed(self, topic: str, count: int, now: float) -> None:
        """Count records that finally failed."""
        self.producer.at(now).records_failed += count
        of_topic = self.topic(topic, now)
        of_topic.records_failed += count

    def retried(self, batch: Batch, now: float) -> None:
        """Count a batch that goes back to be sent again."""
        self.producer.at(now).records_retried += batch.count
        topic = self.topic(batch.topic, now)
        topic.records_retried += batch.count

    # The waiting room

    def waited(self, seconds: float, now: float) -> None:
        """Count a record that left the waiting room."""
        producer = self.producer.at(now)
        producer.waits += 1
        producer.wait_time += seconds
        if seconds > producer.wait_time_max:
            producer.wait_time_max = seconds


def _leaves_first(
    producer: ProducerSample, batch: Batch, body: int, count: int, now: float
) -> None:
    """Count what is said of a batch only once: how long it was kept, how full, and why it left."""
    producer.first_batches += 1
    producer.record_bytes += body
    producer.records_first += count
    waited = now - batch.opened
    producer.queue_time += waited
    if waited > producer.queue_time_max:
        producer.queue_time_max = waited
    mean = body / count
    if mean > producer.record_size_max:
        producer.record_size_max = mean
    why = batch.sealed
    if why is _SIZE:
        producer.sealed_size += 1
    elif why is _LINGER:
        producer.sealed_linger += 1
    elif why is _EXPEDITE:
        producer.sealed_expedite += 1
    elif why is Sealed.FLUSH:
        producer.sealed_flush += 1
    elif why is Sealed.IDLE:
        producer.sealed_idle += 1
    else:
        producer.sealed_memory += 1
