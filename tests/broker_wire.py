"""The broker's side of the protocol: requests decoded, responses encoded."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aioproducer.wire.messages import Broker
from aioproducer.wire.primitives import Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey, VersionRange, response_header_version
from tests import transaction_wire
from tests.fake_sasl import SASL_REQUESTS, read_body

SIZE = struct.Struct(">i")
UNSUPPORTED_VERSION = 35


class Batch(NamedTuple):
    """What a produce request brings for one partition."""

    topic: str
    topic_id: bytes
    index: int
    records: bytes


@dataclass(slots=True)
class Request:
    """A request as the broker reads it."""

    api: ApiKey
    version: int
    correlation_id: int
    client_id: str | None
    body: Any = None
    # What the answer says is in the log.
    told: list[Any] = field(default_factory=list)
    # Its connection had ended before it was worked on.
    stale: bool = False


class Produce(NamedTuple):
    acks: int
    timeout_ms: int
    batches: list[Batch]
    transactional_id: str | None = None


class Metadata(NamedTuple):
    topics: list[str] | None
    allow_auto_topic_creation: bool


@dataclass(slots=True)
class PartitionAnswer:
    """One partition of a produce response."""

    topic: str
    topic_id: bytes
    index: int
    error_code: int = 0
    base_offset: int = -1
    log_append_time_ms: int = -1
    record_errors: list[tuple[int, str | None]] = field(default_factory=list)
    message: str | None = None
    leader: tuple[int, int] | None = None


class PartitionState(NamedTuple):
    """One partition of a metadata response."""

    error_code: int
    index: int
    leader: int
    epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline: tuple[int, ...] = ()


class TopicState(NamedTuple):
    """One topic of a metadata response."""

    error_code: int
    name: str
    topic_id: bytes
    partitions: list[PartitionState]


def read_request(frame: bytes) -> Request:
    reader = Reader(frame)
    api, version = ApiKey(reader.int16()), reader.int16()
    request = Request(api, version, reader.int32(), reader.nullable_string(False))
    if api is ApiKey.API_VERSIONS:
        # Of an unknown version: only the header can be understood.
        return request
    flexible = version >= FLEXIBLE_FROM[api]
    if flexible:
        reader.tagged_fields()
    if api is ApiKey.PRODUCE:
        request.body = _produce(reader, version, flexible)
    elif api is ApiKey.METADATA:
        request.body = _metadata(reader, version, flexible)
    elif api in transaction_wire.READABLE:
        request.body = transaction_wire.read_body(api, reader, version)
    elif api in SASL_REQUESTS:
        request.body = read_body(reader, api, flexible)
    return request


def _produce(reader: Reader, version: int, flexible: bool) -> Produce:
    transactional_id = reader.nullable_string(flexible)
    acks, timeout_ms = reader.int16(), reader.int32()
    batches = []
    for _ in range(reader.array_length(flexible)):
        topic_id = reader.uuid() if version >= 13 else bytes(16)
        name = reader.string(flexible) if version < 13 else ""
        for _ in range(reader.array_length(flexible)):
            batches.append(Batch(name, topic_id, reader.int32(), reader.bytes_(flexible)))
            if flexible:
                reader.tagged_fields()
        if flexible:
            reader.tagged_fields()
    if flexible:
        reader.tagged_fields()
    reader.finish()
    return Produce(acks, timeout_ms, batches, transactional_id)


def _metadata(reader: Reader, version: int, flexible: bool) -> Metadata:
    count = reader.array_length(flexible)
    topics = []
    for _ in range(count):
        if version >= 10:
            reader.uuid()
        topics.append(reader.string(flexible))
        if flexible:
            reader.tagged_fields()
    return Metadata(None if count < 0 else topics, reader.boolean() if version >= 4 else True)


def frame_response(request: Request, body: bytes) -> bytes:
    out = SIZE.pack(request.correlation_id)
    if response_header_version(request.api, request.version) >= 1:
        out += b"\x00"
    return SIZE.pack(len(out) + len(body)) + out + body


def api_versions_response(
    request: Request,
    versions: Mapping[int, VersionRange],
    *,
    error_code: int = 0,
    features: Mapping[str, int] | None = None,
    features_epoch: int = 1,
) -> bytes:
    out = Writer()
    version = request.version
    known = versions.get(ApiKey.API_VERSIONS)
    if known is not None and version > known.maximum:
        # Nobody can answer in a layout he does not know (KIP-511).
        version, error_code = 0, UNSUPPORTED_VERSION
    flexible = version >= 3
    out.int16(error_code)
    out.array_length(len(versions), flexible)
    for key, (low, high) in versions.items():
        out.int16(key)
        out.int16(low)
        out.int16(high)
        if flexible:
            out.tagged_fields()
    if version >= 1:
        out.int32(0)
    if flexible:
        out.tagged_fields(_finalized(features or {}, features_epoch))
    return out.getvalue()


def _finalized(features: Mapping[str, int], features_epoch: int) -> dict[int, bytes]:
    if not features:
        return {}
    epoch, levels = Writer(), Writer()
    epoch.int64(features_epoch)
    levels.array_length(len(features), True)
    for name, level in features.items():
        levels.string(name, True)
        levels.int16(level)
        levels.int16(level)
        levels.tagged_fields()
    return {1: epoch.getvalue(), 2: levels.getvalue()}


def metadata_response(
    version: int,
    brokers: Iterable[Broker],
    topics: Iterable[TopicState],
    *,
    cluster_id: str = "fake",
    error_code: int = 0,
    throttle_time_ms: int = 0,
) -> bytes:
    flexible = version >= FLEXIBLE_FROM[ApiKey.METADATA]
    out = Writer()
    if version >= 3:
        out.int32(throttle_time_ms)
    _brokers(out, list(brokers), flexible)
    if version >= 2:
        out.nullable_string(cluster_id, flexible)
    out.int32(1)
    topics = list(topics)
    out.array_length(len(topics), flexible)
    for topic in topics:
        _topic(out, topic, version, flexible)
    if 8 <= version <= 10:
        out.int32(0)
    if version >= 13:
        out.int16(error_code)
    if flexible:
        out.tagged_fields()
    return out.getvalue()


def _brokers(out: Writer, brokers: list[Broker], flexible: bool) -> None:
    out.array_length(len(brokers), flexible)
    for broker in brokers:
        out.int32(broker.node_id)
        out.string(broker.host, flexible)
        out.int32(broker.port)
        out.nullable_string(broker.rack, flexible)
        if flexible:
            out.tagged_fields()


def _topic(out: Writer, topic: TopicState, version: int, flexible: bool) -> None:
    out.int16(topic.error_code)
    out.string(topic.name, flexible)
    if version >= 10:
        out.uuid(topic.topic_id)
    out.boolean(False)
    out.array_length(len(topic.partitions), flexible)
    for partition in topic.partitions:
        out.int16(partition.error_code)
        out.int32(partition.index)
        out.int32(partition.leader)
        if version >= 7:
            out.int32(partition.epoch)
        lists = [partition.replicas, partition.isr]
        if version >= 5:
            lists.append(partition.offline)
        for nodes in lists:
            out.array_length(len(nodes), flexible)
            for node in nodes:
                out.int32(node)
        if flexible:
            out.tagged_fields()
    if version >= 8:
        out.int32(0)
    if flexible:
        out.tagged_fields()


def init_producer_id_response(version: int, error_code: int, producer_id: int, epoch: int) -> bytes:
    out = Writer()
    out.int32(0)
    out.int16(error_code)
    out.int64(producer_id)
    out.int16(epoch)
    if version >= FLEXIBLE_FROM[ApiKey.INIT_PRODUCER_ID]:
        out.tagged_fields()
    return out.getvalue()


def produce_response(
    version: int,
    answers: Iterable[PartitionAnswer],
    *,
    throttle_time_ms: int = 0,
    endpoints: Iterable[Broker] = (),
) -> bytes:
    flexible = version >= FLEXIBLE_FROM[ApiKey.PRODUCE]
    out = Writer()
    by_topic: dict[tuple[str, bytes], list[PartitionAnswer]] = {}
    for answer in answers:
        by_topic.setdefault((answer.topic, answer.topic_id), []).append(answer)
    out.array_length(len(by_topic), flexible)
    for (name, topic_id), rows in by_topic.items():
        if version >= 13:
            out.uuid(topic_id)
        else:
            out.string(name, flexible)
        out.array_length(len(rows), flexible)
        for row in rows:
            _produce_row(out, row, version, flexible)
        if flexible:
            out.tagged_fields()
    out.int32(throttle_time_ms)
    if flexible:
        nodes = list(endpoints)
        tagged = Writer()
        if nodes and version >= 10:
            _brokers(tagged, nodes, True)
            out.tagged_fields({0: tagged.getvalue()})
        else:
            out.tagged_fields()
    return out.getvalue()


def _produce_row(out: Writer, row: PartitionAnswer, version: int, flexible: bool) -> None:
    out.int32(row.index)
    out.int16(row.error_code)
    out.int64(row.base_offset)
    out.int64(row.log_append_time_ms)
    if version >= 5:
        out.int64(0)
    if version >= 8:
        out.array_length(len(row.record_errors), flexible)
        for position, message in row.record_errors:
            out.int32(position)
            out.nullable_string(message, flexible)
            if flexible:
                out.tagged_fields()
        out.nullable_string(row.message, flexible)
    if flexible:
        if row.leader is not None and version >= 10:
            leader = Writer()
            leader.int32(row.leader[0])
            leader.int32(row.leader[1])
            leader.tagged_fields()
            out.tagged_fields({0: leader.getvalue()})
        else:
            out.tagged_fields()
