"""TxnOffsetCommit: a consumer group's offsets, which count once the transaction is committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.messages.add_partitions_to_txn import (
    PartitionResult,
    decode_partition_results,
)
from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey, cannot_say

_LEADER_EPOCH_SINCE = 2
_MEMBER_SINCE = 3


class OffsetPartition(NamedTuple):
    """The offset that a group goes on from, and the epoch of the leader of what came before."""

    partition_index: int
    committed_offset: int
    committed_leader_epoch: int = -1
    committed_metadata: str | None = ""


class OffsetTopic(NamedTuple):
    name: str
    partitions: Sequence[OffsetPartition]


@dataclass(frozen=True, slots=True)
class TxnOffsetCommitResponse:
    throttle_time_ms: int
    results: tuple[PartitionResult, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> TxnOffsetCommitResponse:
        flexible = version >= FLEXIBLE_FROM[ApiKey.TXN_OFFSET_COMMIT]
        response = cls(reader.int32(), decode_partition_results(reader, flexible))
        if flexible:
            reader.tagged_fields()
        return response


@dataclass(frozen=True, slots=True)
class TxnOffsetCommitRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.TXN_OFFSET_COMMIT
    Response: ClassVar[type[TxnOffsetCommitResponse]] = TxnOffsetCommitResponse

    transactional_id: str
    group_id: str
    producer_id: int
    producer_epoch: int
    topics: Sequence[OffsetTopic]
    generation_id: int = -1
    member_id: str = ""
    group_instance_id: str | None = None

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= FLEXIBLE_FROM[ApiKey.TXN_OFFSET_COMMIT]
        out = Writer()
        out.string(self.transactional_id, flexible)
        out.string(self.group_id, flexible)
        out.int64(self.producer_id)
        out.int16(self.producer_epoch)
        self._encode_member(out, version)
        out.array_length(len(self.topics), flexible)
        for name, partitions in self.topics:
            out.string(name, flexible)
            out.array_length(len(partitions), flexible)
            for partition in partitions:
                _encode_partition(out, partition, version)
            if flexible:
                out.tagged_fields()
        if flexible:
            out.tagged_fields()
        return [out.getvalue()]

    def _encode_member(self, out: Writer, version: int) -> None:
        if version >= _MEMBER_SINCE:
            out.int32(self.generation_id)
            out.string(self.member_id, True)
            out.nullable_string(self.group_instance_id, True)
        elif (self.generation_id, self.member_id, self.group_instance_id) != (-1, "", None):
            # Without it the broker cannot refuse a consumer that has lost its partitions (KIP-447).
            raise cannot_say(self.API_KEY, version, "which member of the group commits (KIP-447)")


def _encode_partition(out: Writer, partition: OffsetPartition, version: int) -> None:
    flexible = version >= FLEXIBLE_FROM[ApiKey.TXN_OFFSET_COMMIT]
    out.int32(partition.partition_index)
    out.int64(partition.committed_offset)
    if version >= _LEADER_EPOCH_SINCE:
        out.int32(partition.committed_leader_epoch)
    out.nullable_string(partition.committed_metadata, flexible)
    if flexible:
        out.tagged_fields()
