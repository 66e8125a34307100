"""AddPartitionsToTxn: tell the coordinator where a transaction is about to write.

From version 4 on this is a request among brokers; a client says no more than version 3 can, and
since KIP-890 it does not ask at all: the first produce request adds its partition.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

_PRODUCER = struct.Struct(">qh")


class PartitionResult(NamedTuple):
    """What became of one partition of a request."""

    topic: str
    partition: int
    error_code: int


def decode_partition_results(reader: Reader, flexible: bool) -> tuple[PartitionResult, ...]:
    """Decode error codes by partition by topic into one row each."""
    results = []
    for _ in range(reader.array_length(flexible, 3)):
        topic = reader.string(flexible)
        for _ in range(reader.array_length(flexible, 6)):
            results.append(PartitionResult(topic, reader.int32(), reader.int16()))
            if flexible:
                reader.tagged_fields()
        if flexible:
            reader.tagged_fields()
    return tuple(results)


@dataclass(frozen=True, slots=True)
class AddPartitionsToTxnResponse:
    throttle_time_ms: int
    results: tuple[PartitionResult, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> AddPartitionsToTxnResponse:
        flexible = version >= FLEXIBLE_FROM[ApiKey.ADD_PARTITIONS_TO_TXN]
        response = cls(reader.int32(), decode_partition_results(reader, flexible))
        if flexible:
            reader.tagged_fields()
        return response


@dataclass(frozen=True, slots=True)
class AddPartitionsToTxnRequest:
    """``topics`` are pairs of a name and the indexes of its partitions."""

    API_KEY: ClassVar[ApiKey] = ApiKey.ADD_PARTITIONS_TO_TXN
    Response: ClassVar[type[AddPartitionsToTxnResponse]] = AddPartitionsToTxnResponse

    transactional_id: str
    producer_id: int
    producer_epoch: int
    topics: Sequence[tuple[str, Sequence[int]]]

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= FLEXIBLE_FROM[ApiKey.ADD_PARTITIONS_TO_TXN]
        out = Writer()
        out.string(self.transactional_id, flexible)
        out.raw(_PRODUCER.pack(self.producer_id, self.producer_epoch))
        out.array_length(len(self.topics), flexible)
        for name, partitions in self.topics:
            out.string(name, flexible)
            out.array_length(len(partitions), flexible)
            for partition in partitions:
                out.int32(partition)
            if flexible:
                out.tagged_fields()
        if flexible:
            out.tagged_fields()
        return [out.getvalue()]
