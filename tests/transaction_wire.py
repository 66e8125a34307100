"""The broker's side of the requests about transactions: requests decoded, responses encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aioproducer.wire.messages import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    Broker,
    EndTxnRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    OffsetPartition,
    OffsetTopic,
    TxnOffsetCommitRequest,
)
from aioproducer.wire.primitives import Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

Results = Iterable[tuple[str, int, int]]
"""Topic, partition and error code."""


def read_body(api: ApiKey, reader: Reader, version: int) -> Any:
    """Return the request in the client's own form, read to its last byte."""
    flexible = version >= FLEXIBLE_FROM[api]
    body = _READERS[api](reader, version, flexible)
    if flexible:
        reader.tagged_fields()
    reader.finish()
    return body


def _init_producer_id(reader: Reader, version: int, flexible: bool) -> InitProducerIdRequest:
    transactional_id, timeout = reader.nullable_string(flexible), reader.int32()
    if version < 3:
        return InitProducerIdRequest(transactional_id, timeout)
    return InitProducerIdRequest(transactional_id, timeout, reader.int64(), reader.int16())


def _find_coordinator(reader: Reader, version: int, flexible: bool) -> FindCoordinatorRequest:
    if version < 4:
        key = reader.string(flexible)
        return FindCoordinatorRequest(key, reader.int8() if version >= 1 else 0)
    key_type = reader.int8()
    (key,) = [reader.string(True) for _ in range(reader.array_length(True))]
    return FindCoordinatorRequest(key, key_type)


def _add_partitions(reader: Reader, version: int, flexible: bool) -> AddPartitionsToTxnRequest:
    head = reader.string(flexible), reader.int64(), reader.int16()
    topics = []
    for _ in range(reader.array_length(flexible)):
        topics.append((reader.string(flexible), reader.int32_array(flexible)))
        if flexible:
            reader.tagged_fields()
    return AddPartitionsToTxnRequest(*head, topics)


def _add_offsets(reader: Reader, version: int, flexible: bool) -> AddOffsetsToTxnRequest:
    return AddOffsetsToTxnRequest(
        reader.string(flexible), reader.int64(), reader.int16(), reader.string(flexible)
    )


def _end_txn(reader: Reader, version: int, flexible: bool) -> EndTxnRequest:
    return EndTxnRequest(reader.string(flexible), reader.int64(), reader.int16(), reader.boolean())


def _txn_offset_commit(reader: Reader, version: int, flexible: bool) -> TxnOffsetCommitRequest:
    head = reader.string(flexible), reader.string(flexible), reader.int64(), reader.int16()
    member: tuple[int, str, str | None] = (-1, "", None)
    if version >= 3:
        member = reader.int32(), reader.string(True), reader.nullable_string(True)
    topics = []
    for _ in range(reader.array_length(flexible)):
        name = reader.string(flexible)
        rows = []
        for _ in range(reader.array_length(flexible)):
            rows.append(
                OffsetPartition(
                    reader.int32(),
                    reader.int64(),
                    reader.int32() if version >= 2 else -1,
                    reader.nullable_string(flexible),
                )
            )
            if flexible:
                reader.tagged_fields()
        topics.append(OffsetTopic(name, rows))
        if flexible:
            reader.tagged_fields()
    return TxnOffsetCommitRequest(*head, topics, *member)


_READERS: Mapping[ApiKey, Callable[[Reader, int, bool], Any]] = {
    ApiKey.INIT_PRODUCER_ID: _init_producer_id,
    ApiKey.FIND_COORDINATOR: _find_coordinator,
    ApiKey.ADD_PARTITIONS_TO_TXN: _add_partitions,
    ApiKey.ADD_OFFSETS_TO_TXN: _add_offsets,
    ApiKey.TXN_OFFSET_COMMIT: _txn_offset_commit,
    ApiKey.END_TXN: _end_txn,
}
READABLE = frozenset(_READERS)


def coordinator_response(
    version: int, key: str, broker: Broker | None, error_code: int = 0, throttle_ms: int = 0
) -> bytes:
    broker = broker or Broker(-1, "", -1)
    message = "no coordinator" if error_code else None
    out = Writer()
    if version >= 4:
        out.int32(throttle_ms)
        out.array_length(1, True)
        out.string(key, True)
        out.int32(broker.node_id)
        out.string(broker.host, True)
        out.int32(broker.port)
        out.int16(error_code)
        out.nullable_string(message, True)
        out.tagged_fields()
        out.tagged_fields()
        return out.getvalue()
    flexible = version >= 3
    if version >= 1:
        out.int32(throttle_ms)
    out.int16(error_code)
    if version >= 1:
        out.nullable_string(message, flexible)
    out.int32(broker.node_id)
    out.string(broker.host, flexible)
    out.int32(broker.port)
    if flexible:
        out.tagged_fields()
    return out.getvalue()


def results_response(api: ApiKey, version: int, results: Results, throttle_ms: int = 0) -> bytes:
    """Return the answer to AddPartitionsToTxn or TxnOffsetCommit, which are laid out alike."""
    flexible = version >= FLEXIBLE_FROM[api]
    by_topic: dict[str, list[tuple[int, int]]] = {}
    for topic, partition, code in results:
        by_topic.setdefault(topic, []).append((partition, code))
    out = Writer()
    out.int32(throttle_ms)
    out.array_length(len(by_topic), flexible)
    for topic, rows in by_topic.items():
        out.string(topic, flexible)
        out.array_length(len(rows), flexible)
        for partition, code in rows:
            out.int32(partition)
            out.int16(code)
            if flexible:
                out.tagged_fields()
        if flexible:
            out.tagged_fields()
    if flexible:
        out.tagged_fields()
    return out.getvalue()


def add_offsets_response(version: int, error_code: int, throttle_ms: int = 0) -> bytes:
    out = Writer()
    out.int32(throttle_ms)
    out.int16(error_code)
    if version >= FLEXIBLE_FROM[ApiKey.ADD_OFFSETS_TO_TXN]:
        out.tagged_fields()
    return out.getvalue()


def end_txn_response(
    version: int, error_code: int, producer_id: int, epoch: int, throttle_ms: int = 0
) -> bytes:
    out = Writer()
    out.int32(throttle_ms)
    out.int16(error_code)
    if version >= 5:
        out.int64(producer_id)
        out.int16(epoch)
    if version >= FLEXIBLE_FROM[ApiKey.END_TXN]:
        out.tagged_fields()
    return out.getvalue()
