"""The values of aiokafka that concern a producer: its own where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aioproducer.compat.aiokafka.installed import installed


class _TopicPartition(NamedTuple):
    """A topic and one of its partitions."""

    topic: str
    partition: int


class _OffsetAndMetadata(NamedTuple):
    """The offset of the next record to read, and what its committer notes."""

    offset: int
    metadata: str


class _RecordMetadata(NamedTuple):
    """Where a record was put; what the broker did not say is ``None``, or -1 for the offset."""

    topic: str
    partition: int
    topic_partition: Any
    offset: int
    timestamp: int | None
    timestamp_type: int
    log_start_offset: int | None


if TYPE_CHECKING:
    TopicPartition = _TopicPartition
    OffsetAndMetadata = _OffsetAndMetadata
    RecordMetadata = _RecordMetadata
else:
    _theirs = installed("structs")
    TopicPartition = getattr(_theirs, "TopicPartition", _TopicPartition)
    OffsetAndMetadata = getattr(_theirs, "OffsetAndMetadata", _OffsetAndMetadata)
    RecordMetadata = getattr(_theirs, "RecordMetadata", _RecordMetadata)

__all__ = ["OffsetAndMetadata", "RecordMetadata", "TopicPartition"]
