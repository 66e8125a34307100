"""What really arrived, by readers that are not ours: librdkafka's consumer and Kafka's log dump."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from aioproducer.testing import admin
from aioproducer.testing.java_cluster import JavaCluster

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

Isolation = Literal["read_uncommitted", "read_committed"]


class ReadRecord(NamedTuple):
    """One record as the consumer saw it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    is_log_append_time: bool


def end_offsets(
    bootstrap_servers: str, topic: str, *, isolation: Isolation = "read_uncommitted"
) -> dict[int, int]:
    """The offset that the next record of each partition would get (or the last stable one)."""
    consumer = _consumer(bootstrap_servers, isolation)
    try:
        return _end_offsets(consumer, topic, timeout=60.0)
    finally:
        consumer.close()


def read_topic(
    bootstrap_servers: str,
    topic: str,
    *,
    isolation: Isolation = "read_uncommitted",
    timeout: float = 120.0,
) -> list[ReadRecord]:
    """Read a topic from the beginning to its present end, checking each batch's CRC.

    Returns:
        all records, by partition and offset.

    Raises:
        TimeoutError: the end was not reached within `timeout` seconds.
        RuntimeError: the consumer reports an error, such as a wrong CRC.
    """
    deadline = time.monotonic() + timeout
    consumer = _consumer(bootstrap_servers, isolation)
    try:
        wanted = _end_offsets(consumer, topic, timeout)
        records = _read_until(consumer, topic, wanted, deadline)
    finally:
        consumer.close()
    records.sort(key=lambda record: (record.partition, record.offset))
    return records


async def read_topic_async(
    bootstrap_servers: str,
    topic: str,
    *,
    isolation: Isolation = "read_uncommitted",
    timeout: float = 120.0,
) -> list[ReadRecord]:
    """As `read_topic`, in a worker thread, which goes on to its end when this is cancelled."""
    return await asyncio.to_thread(
        read_topic, bootstrap_servers, topic, isolation=isolation, timeout=timeout
    )


def _consumer(bootstrap_servers: str, isolation: Isolation) -> Consumer:
    from confluent_kafka import Consumer

    return Consumer(
        admin.client_config(
            bootstrap_servers,
            **{
                "group.id": "judge",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "fetch.error.backoff.ms": 50,
                "topic.metadata.refresh.sparse": True,
            },
        )
    )


def _end_offsets(consumer: Consumer, topic: str, timeout: float) -> dict[int, int]:
    """Ask for the ends, again while a broker does not know yet that it leads a partition."""
    from confluent_kafka import KafkaException

    deadline = time.monotonic() + timeout
    while True:
        try:
            return _ask_end_offsets(consumer, topic, max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            if not may_pass(error.args[0]) or time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


def _ask_end_offsets(consumer: Consumer, topic: str, timeout: float) -> dict[int, int]:
    from confluent_kafka import KafkaException, TopicPartition

    description = consumer.list_topics(topic, timeout=timeout).topics[topic]
    if description.error is not None:
        raise KafkaException(description.error)
    ends = {}
    for partition in description.partitions:
        offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout)
        if offsets is None:
            raise TimeoutError(f"{topic}-{partition}: no end offset within {timeout:g} s")
        ends[partition] = offsets[1]
    return ends


def may_pass(reason: object) -> bool:
    """Whether an error is one of a partition or broker that moves, starts or lags behind.

    librdkafka's own word on it, `retriable()`, is about producers: here it is always no.
    """
    from confluent_kafka import KafkaError

    return isinstance(reason, KafkaError) and reason.code() in (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        # A new leader that has not heard yet what its followers have (KIP-207).
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.KAFKA_STORAGE_ERROR,
        # Of the group that it has to name and does without.
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
    )


def _read_until(
    consumer: Consumer, topic: str, wanted: dict[int, int], deadline: float
) -> list[ReadRecord]:
    from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

    unread = {partition for partition, end in wanted.items() if end > 0}
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in unread])
    records: list[ReadRecord] = []
    while unread:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{topic}: the end of partitions {sorted(unread)} was not reached")
        for message in consumer.consume(num_messages=10_000, timeout=0.2):
            error = message.error()
            partition = message.partition()
            if error is None:
                records.append(_as_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                # A replica that is behind may report its own, earlier end: the offset decides.
                if (message.offset() or 0) >= wanted[partition if partition is not None else -1]:
                    unread.discard(partition if partition is not None else -1)
            elif not may_pass(error):
                raise RuntimeError(f"{topic}-{partition}: {error}")
    return records


def _as_record(message: Message) -> ReadRecord:
    from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    kind, timestamp = message.timestamp()
    return ReadRecord(
        partition,
        offset,
        message.key(),
        message.value(),
        _headers(message),
        timestamp,
        kind == TIMESTAMP_LOG_APPEND_TIME,
    )


def _headers(message: Message) -> tuple[tuple[str, bytes | None], ...]:
    # confluent-kafka's types allow what a producer may pass; a consumed message has these.
    return tuple(cast("list[tuple[str, bytes | None]]", message.headers() or []))


@dataclass(frozen=True, slots=True)
class DumpedBatch:
    """One batch as it lies in a broker's log."""

    base_offset: int
    last_offset: int
    count: int
    base_sequence: int
    last_sequence: int
    producer_id: int
    producer_epoch: int
    partition_leader_epoch: int
    is_transactional: bool
    is_control: bool
    codec: str
    size: int
    is_valid: bool


def dump_log(cluster: JavaCluster, topic: str, partition: int) -> list[DumpedBatch]:
    """What lies in the leader's log, read by Kafka's own tool; works on a running cluster."""
    leader = admin.states_of(cluster.bootstrap_servers, topic)[partition].leader
    segments = sorted((cluster.node(leader).data / f"{topic}-{partition}").glob("*.log"))
    output = cluster.run_tool(
        cluster.release.dump_log_class, "--files", ",".join(str(segment) for segment in segments)
    )
    return list(parse_dump(output.splitlines()))


def parse_dump(lines: Iterable[str]) -> Iterable[DumpedBatch]:
    """The batch lines of a log dump; tools print `key: value` pairs with varying extras."""
    for line in lines:
        if not line.startswith("baseOffset: "):
            continue
        fields = dict(re.findall(r"(\w+): (\S+)", line))
        yield DumpedBatch(
            base_offset=int(fields["baseOffset"]),
            last_offset=int(fields["lastOffset"]),
            count=int(fields["count"]),
            base_sequence=int(fields["baseSequence"]),
            last_sequence=int(fields["lastSequence"]),
            producer_id=int(fields["producerId"]),
            producer_epoch=int(fields["producerEpoch"]),
            partition_leader_epoch=int(fields["partitionLeaderEpoch"]),
            is_transactional=fields["isTransactional"] == "true",
            is_control=fields.get("isControl") == "true",
            codec=fields["compresscodec"].lower(),
            size=int(fields["size"]),
            is_valid=fields["isvalid"] == "true",
        )
