"""DescribeProducers: who has written to a partition of late (KIP-664)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import ApiKey


class ProducerState(NamedTuple):
    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp_ms: int
    coordinator_epoch: int
    transaction_start_offset: int


class PartitionProducers(NamedTuple):
    topic: str
    partition: int
    error_code: int
    error_message: str | None
    producers: tuple[ProducerState, ...]


@dataclass(frozen=True, slots=True)
class DescribeProducersResponse:
    throttle_time_ms: int
    partitions: tuple[PartitionProducers, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> DescribeProducersResponse:
        throttle_time_ms = reader.int32()
        partitions: list[PartitionProducers] = []
        for _ in range(reader.array_length(True, 3)):
            topic = reader.string(True)
            count = reader.array_length(True, 9)
            partitions.extend([_partition(reader, topic) for _ in range(count)])
            reader.tagged_fields()
        reader.tagged_fields()
        return cls(throttle_time_ms, tuple(partitions))


@dataclass(frozen=True, slots=True)
class DescribeProducersRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.DESCRIBE_PRODUCERS
    Response: ClassVar[type[DescribeProducersResponse]] = DescribeProducersResponse

    topics: Iterable[tuple[str, Sequence[int]]]

    def encode(self, version: int) -> list[Buffer]:
        out = Writer()
        topics = tuple(self.topics)
        out.array_length(len(topics), True)
        for name, partitions in topics:
            out.string(name, True)
            out.array_length(len(partitions), True)
            for partition in partitions:
                out.int32(partition)
            out.tagged_fields()
        out.tagged_fields()
        return [out.getvalue()]


def _partition(reader: Reader, topic: str) -> PartitionProducers:
    index, error_code = reader.int32(), reader.int16()
    message = reader.nullable_string(True)
    producers = []
    for _ in range(reader.array_length(True, 33)):
        producers.append(
            ProducerState(
                reader.int64(),
                reader.int32(),
                reader.int32(),
                reader.int64(),
                reader.int32(),
                reader.int64(),
            )
        )
        reader.tagged_fields()
    reader.tagged_fields()
    return PartitionProducers(topic, index, error_code, message, tuple(producers))
