"""The values a user holds: records on their way in, metadata on its way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar, overload

from aioproducer.errors import ProducerError

K = TypeVar("K")
V = TypeVar("V")

NO_PARTITION_LEADER = -1
UNKNOWN_OFFSET = -1
UNKNOWN_TIMESTAMP = -1

Header = tuple[str, bytes | None]
"""A header's key and value. Keys may repeat; their order is kept. A value may be ``None``."""


class TopicPartition(NamedTuple):
    """A topic's name and the index of one of its partitions."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record(Generic[K, V]):
    """One record to send.

    ``partition=None`` leaves the choice to the partitioner, ``timestamp_ms=None`` means now.
    """

    topic: str
    value: V | None = None
    key: K | None = None
    partition: int | None = None
    timestamp_ms: int | None = None
    headers: Sequence[Header] = ()


class RecordMetadata(NamedTuple):
    """Where Kafka put a record.

    ``offset`` and ``timestamp_ms`` are -1 where the broker did not say: with ``acks=0``, and for a
    record that an earlier attempt had already delivered. ``timestamp_ms`` is the broker's when the
    topic uses LogAppendTime, else the record's own. A serialized size of -1 means the key or
    value was ``None``.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    serialized_key_size: int
    serialized_value_size: int

    @property
    def has_offset(self) -> bool:
        """Whether the broker told the offset."""
        return self.offset != UNKNOWN_OFFSET

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition the record went to."""
        return TopicPartition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """What the cluster says of one partition; ``leader`` is ``None`` while none is elected."""

    topic: str
    partition: int
    leader: int | None
    replicas: tuple[int, ...]
    in_sync_replicas: tuple[int, ...]
    offline_replicas: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OffsetAndMetadata:
    """The offset of the next record a consumer group reads, as a transaction commits it."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class GroupMetadata:
    """A consumer group, and if known the member that speaks for it (KIP-447).

    With member and generation the brokers refuse offsets of a member that lost its partitions in a
    rebalance; the group id alone leaves that to transactional ids.
    """

    group_id: str
    generation_id: int = -1
    member_id: str = ""
    group_instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record that finally failed, as it was serialized if it was, and why."""

    record: Record[Any, Any]
    error: ProducerError


@dataclass(frozen=True, slots=True)
class LateResult:
    """What became of a record after its waiter had given up: ``metadata`` or ``error``."""

    topic: str
    partition: int | None
    metadata: RecordMetadata | None
    error: ProducerError | None


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What became of one topic's records by the time the producer was closed."""

    delivered: int = 0
    failed: int = 0
    abandoned: int = 0


@dataclass(frozen=True, slots=True)
class CloseReport:
    """What :meth:`AsyncProducer.close` leaves behind.

    ``delivered`` and ``failed`` count over the producer's life; ``abandoned`` are the records that
    close failed because its timeout ran out before the cluster had answered for them. Topics unused
    for ``metadata.max.idle.ms`` have no counts of their own; those are in ``forgotten``, and in
    the sums.
    """

    topics: dict[str, TopicReport] = field(default_factory=dict)
    forgotten: TopicReport = TopicReport()

    @property
    def delivered(self) -> int:
        """Records acknowledged over the producer's life."""
        return sum(report.delivered for report in self._all())

    @property
    def failed(self) -> int:
        """Records that failed over the producer's life, the abandoned ones aside."""
        return sum(report.failed for report in self._all())

    @property
    def abandoned(self) -> int:
        """Records that close gave up on."""
        return sum(report.abandoned for report in self._all())

    def _all(self) -> list[TopicReport]:
        return [self.forgotten, *self.topics.values()]


class SendManyResult(Sequence[RecordMetadata | ProducerError]):
    """The outcome of each record given to ``send_many``, in the order given."""

    __slots__ = ("_outcomes",)

    def __init__(self, outcomes: Sequence[RecordMetadata | ProducerError]) -> None:
        self._outcomes = tuple(outcomes)

    @overload
    def __getitem__(self, index: int) -> RecordMetadata | ProducerError: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordMetadata | ProducerError]: ...
    def __getitem__(
        self, index: int | slice
    ) -> RecordMetadata | ProducerError | Sequence[RecordMetadata | ProducerError]:
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    def __iter__(self) -> Iterator[RecordMetadata | ProducerError]:
        return iter(self._outcomes)

    def __repr__(self) -> str:
        return f"<SendManyResult {len(self)} records, {len(self.failures)} failed>"

    @property
    def failures(self) -> tuple[tuple[int, ProducerError], ...]:
        """The position and error of each record that failed."""
        return tuple(
            (position, outcome)
            for position, outcome in enumerate(self._outcomes)
            if isinstance(outcome, ProducerError)
        )

    def raise_for_failures(self) -> None:
        """Raise an :exc:`ExceptionGroup` of every record's error; return if there is none."""
        if errors := [error for _, error in self.failures]:
            raise ExceptionGroup(f"{len(errors)} of {len(self)} records failed", errors)
