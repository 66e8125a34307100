"""Metadata: the brokers, the topics, and which broker leads which partition."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import ZERO_UUID, Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey, cannot_say

_FLEXIBLE = FLEXIBLE_FROM[ApiKey.METADATA]
_AUTO_CREATION_FLAG_SINCE = 4
_AUTHORIZED_OPERATIONS_SINCE = 8
_TOPIC_ID_SINCE = 10

NOT_ASKED = -(2**31)
"""What stands for the operations on a topic when nobody asked for them."""

# Indexes count from 0. What is left out is filled up as partitions without a leader, so a single
# index must not be able to ask for billions of them.
_MOST_LEFT_OUT = 8
_index_of = operator.itemgetter(1)


# Rows are named tuples: a cluster may have a hundred thousand partitions, and a frozen dataclass
# costs several times as much to make.
class Broker(NamedTuple):
    node_id: int
    host: str
    port: int
    rack: str | None = None


class PartitionMetadata(NamedTuple):
    error_code: int
    partition_index: int
    leader_id: int
    leader_epoch: int
    replica_nodes: tuple[int, ...]
    isr_nodes: tuple[int, ...]
    offline_replicas: tuple[int, ...]


class TopicMetadata(NamedTuple):
    error_code: int
    name: str
    topic_id: bytes
    is_internal: bool
    partitions: tuple[PartitionMetadata, ...]
    authorized_operations: int = NOT_ASKED
    """A bit for each of Kafka's AclOperation that the asker is allowed."""


@dataclass(frozen=True, slots=True)
class MetadataResponse:
    throttle_time_ms: int
    brokers: tuple[Broker, ...]
    cluster_id: str | None
    controller_id: int
    topics: tuple[TopicMetadata, ...]
    error_code: int = 0

    @classmethod
    def decode(cls, reader: Reader, version: int) -> MetadataResponse:
        flexible = version >= _FLEXIBLE
        throttle_time_ms = reader.int32() if version >= 3 else 0
        count = reader.array_length(flexible, 11)
        brokers = tuple([decode_broker(reader, flexible) for _ in range(count)])
        cluster_id = reader.nullable_string(flexible) if version >= 2 else None
        controller_id = reader.int32()
        count = reader.array_length(flexible, 9)
        topics = tuple([_topic(reader, version) for _ in range(count)])
        if 8 <= version <= 10:
            reader.int32()  # authorized operations on the cluster, which were not asked for
        error_code = reader.int16() if version >= 13 else 0
        if flexible:
            reader.tagged_fields()
        return cls(throttle_time_ms, brokers, cluster_id, controller_id, topics, error_code)


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """Ask about some topics, or about all with ``topics=None``; no topics means brokers only."""

    API_KEY: ClassVar[ApiKey] = ApiKey.METADATA
    Response: ClassVar[type[MetadataResponse]] = MetadataResponse

    topics: tuple[str, ...] | None
    allow_auto_topic_creation: bool = True
    include_topic_authorized_operations: bool = False

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= _FLEXIBLE
        out = Writer()
        out.array_length(-1 if self.topics is None else len(self.topics), flexible)
        for topic in self.topics or ():
            if version >= _TOPIC_ID_SINCE:
                out.uuid(ZERO_UUID)
            out.string(topic, flexible)
            if flexible:
                out.tagged_fields()
        if version >= _AUTO_CREATION_FLAG_SINCE:
            out.boolean(self.allow_auto_topic_creation)
        elif not self.allow_auto_topic_creation:
            raise cannot_say(self.API_KEY, version, "that topics must not be created")
        if 8 <= version <= 10:
            out.boolean(False)  # no authorized operations on the cluster
        if version >= _AUTHORIZED_OPERATIONS_SINCE:
            out.boolean(self.include_topic_authorized_operations)
        elif self.include_topic_authorized_operations:
            raise cannot_say(self.API_KEY, version, "that authorized operations are wanted")
        if flexible:
            out.tagged_fields()
        return [out.getvalue()]


def decode_broker(reader: Reader, flexible: bool) -> Broker:
    broker = Broker(
        reader.int32(), reader.string(flexible), reader.int32(), reader.nullable_string(flexible)
    )
    if flexible:
        reader.tagged_fields()
    return broker


def _topic(reader: Reader, version: int) -> TopicMetadata:
    flexible = version >= _FLEXIBLE
    error_code = reader.int16()
    # A null name answers a question by topic id, which this client does not ask.
    name = reader.nullable_string(True) or "" if version >= 12 else reader.string(flexible)
    topic_id = reader.uuid() if version >= _TOPIC_ID_SINCE else ZERO_UUID
    is_internal = reader.boolean()
    if flexible:
        count = reader.array_length(True, _FLEXIBLE_PARTITION_SIZE)
        partitions = [_flexible_partition(reader) for _ in range(count)]
    else:
        count = reader.array_length(False, 18)
        partitions = [_fixed_partition(reader, version) for _ in range(count)]
    if partitions and max(map(_index_of, partitions)) >= 2 * count + _MOST_LEFT_OUT:
        raise MalformedResponseError(
            f"the {count} partitions of topic {name!r} have indexes up to"
            f" {max(map(_index_of, partitions))}"
        )
    operations = reader.int32() if version >= _AUTHORIZED_OPERATIONS_SINCE else NOT_ASKED
    if flexible:
        reader.tagged_fields()
    return TopicMetadata(error_code, name, topic_id, is_internal, tuple(partitions), operations)


def _fixed_partition(reader: Reader, version: int) -> PartitionMetadata:
    return PartitionMetadata(
        error_code=reader.int16(),
        partition_index=reader.int32(),
        leader_id=reader.int32(),
        leader_epoch=reader.int32() if version >= 7 else -1,
        replica_nodes=reader.int32_array(False),
        isr_nodes=reader.int32_array(False),
        offline_replicas=reader.int32_array(False) if version >= 5 else (),
    )


_Unpack = Callable[[bytes, int], tuple[int, ...]]

# Each array is read together with the one-byte length of what follows it, so that a partition
# takes four unpackings. Entry n - 1 reads n - 1 node ids (n being the compact length).
_PARTITION_HEAD: Callable[[bytes, int], tuple[int, int, int, int, int]]
_PARTITION_HEAD = struct.Struct(">hiiiB").unpack_from
_NODES_AND_LENGTH: tuple[_Unpack, ...]
_NODES_AND_LENGTH = tuple(struct.Struct(f">{count}iB").unpack_from for count in range(32))
_FLEXIBLE_PARTITION_SIZE = 18


def _flexible_partition(reader: Reader) -> PartitionMetadata:
    buffer, offset = reader.buffer, reader.offset
    try:
        error_code, index, leader_id, leader_epoch, length = _PARTITION_HEAD(buffer, offset)
        offset += 15
        replicas = _NODES_AND_LENGTH[length - 1](buffer, offset)
        offset += 4 * length - 3
        length = replicas[-1]
        isr = _NODES_AND_LENGTH[length - 1](buffer, offset)
        offset += 4 * length - 3
        length = isr[-1]
        offline = _NODES_AND_LENGTH[length - 1](buffer, offset)
        offset += 4 * length - 3
    except (struct.error, IndexError):
        return _unusual_partition(reader)
    if offline[-1]:
        return _unusual_partition(reader)
    reader.offset = offset
    return PartitionMetadata(
        error_code, index, leader_id, leader_epoch, replicas[:-1], isr[:-1], offline[:-1]
    )


def _unusual_partition(reader: Reader) -> PartitionMetadata:
    """Decode what the straight line cannot: many replicas, null arrays, tags, a bad end."""
    partition = PartitionMetadata(
        reader.int16(),
        reader.int32(),
        reader.int32(),
        reader.int32(),
        reader.int32_array(True),
        reader.int32_array(True),
        reader.int32_array(True),
    )
    reader.tagged_fields()
    return partition
