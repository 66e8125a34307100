"""Produce: record batches to the leaders of their partitions.

Both directions run once per request, so they are written as straight lines: few calls, several
fields per ``struct`` call, and the records of a batch passed on as the buffers they came in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.messages.metadata import Broker, decode_broker
from aioproducer.wire.primitives import (
    ZERO_UUID,
    Buffer,
    Reader,
    encode_string,
    encode_uvarint,
)
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

_FLEXIBLE = FLEXIBLE_FROM[ApiKey.PRODUCE]
_TOPIC_ID_SINCE = 13

_CURRENT_LEADER = 0
_NODE_ENDPOINTS = 0

_pack_acks_and_timeout = struct.Struct(">hi").pack
_pack_int32 = struct.Struct(">i").pack
_pack_two_int32 = struct.Struct(">ii").pack


# Rows are named tuples, which cost a fraction of a frozen dataclass to make. Their field ``index``
# hides a method of tuples that nobody calls on a row.
class ProducePartition(NamedTuple):
    """One batch for one partition; ``records`` are the buffers that together make the batch."""

    # Kafka's name for the partition, which a tuple has as a method that nobody needs here.
    index: int  # type: ignore[assignment]
    records: Sequence[Buffer]


class ProduceTopic(NamedTuple):
    """``topic_id`` is what goes on the wire from version 13 on, ``name`` before."""

    name: str
    topic_id: bytes
    partitions: Sequence[ProducePartition]


class RecordError(NamedTuple):
    batch_index: int
    message: str | None


class ProducePartitionResponse(NamedTuple):
    # As in the request: Kafka's name.
    index: int  # type: ignore[assignment]
    error_code: int
    base_offset: int
    log_append_time_ms: int
    log_start_offset: int
    record_errors: tuple[RecordError, ...]
    error_message: str | None
    current_leader: tuple[int, int] | None
    """(leader id, leader epoch) where the broker knows a better one (KIP-951)."""


class ProduceTopicResponse(NamedTuple):
    name: str
    topic_id: bytes
    partitions: tuple[ProducePartitionResponse, ...]


class ProduceResponse(NamedTuple):
    topics: tuple[ProduceTopicResponse, ...]
    throttle_time_ms: int = 0
    node_endpoints: tuple[Broker, ...] = ()

    @classmethod
    def decode(cls, reader: Reader, version: int) -> ProduceResponse:
        if version >= _FLEXIBLE:
            return cls._decode_flexible(reader, version)
        topics = []
        for _ in range(reader.array_length(False, 6)):
            name = reader.string(False)
            topics.append(ProduceTopicResponse(name, ZERO_UUID, _fixed_rows(reader, version)))
        return cls(tuple(topics), reader.int32())

    @classmethod
    def _decode_flexible(cls, reader: Reader, version: int) -> ProduceResponse:
        name, topic_id = "", ZERO_UUID
        topics = []
        for _ in range(reader.array_length(True, 3)):
            if version >= _TOPIC_ID_SINCE:
                topic_id = reader.uuid()
            else:
                name = reader.string(True)
            topics.append(_new_row(ProduceTopicResponse, (name, topic_id, _flexible_rows(reader))))
            reader.tagged_fields()
        throttle_time_ms = reader.int32()
        endpoints = reader.tagged_fields().get(_NODE_ENDPOINTS)
        known = () if endpoints is None else _endpoints(endpoints)
        return _new_row(cls, (tuple(topics), throttle_time_ms, known))


# Not frozen, as other messages are: that makes each many times dearer.
@dataclass(slots=True)
class ProduceRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.PRODUCE
    Response: ClassVar[type[ProduceResponse]] = ProduceResponse

    transactional_id: str | None
    acks: int
    timeout_ms: int
    topics: Sequence[ProduceTopic]

    def encode(self, version: int) -> list[Buffer]:
        if version >= _FLEXIBLE:
            return self._encode_flexible(version >= _TOPIC_ID_SINCE)
        return self._encode_fixed()

    def _encode_flexible(self, by_id: bool) -> list[Buffer]:
        out: list[Buffer] = []
        # What stands between two batches: the end of the last and the beginning of the next.
        between = (
            encode_string(self.transactional_id, True)
            + _pack_acks_and_timeout(self.acks, self.timeout_ms)
            + encode_uvarint(len(self.topics) + 1)
        )
        for name, topic_id, partitions in self.topics:
            between += topic_id if by_id else encode_string(name, True)
            between += encode_uvarint(len(partitions) + 1)
            for index, records in partitions:
                size = 1
                for buffer in records:
                    size += len(buffer)
                out.append(between + _pack_int32(index) + encode_uvarint(size))
                out += records
                between = b"\x00"
            between += b"\x00"
        out.append(between + b"\x00")
        return out

    def _encode_fixed(self) -> list[Buffer]:
        out: list[Buffer] = []
        between = (
            encode_string(self.transactional_id, False)
            + _pack_acks_and_timeout(self.acks, self.timeout_ms)
            + _pack_int32(len(self.topics))
        )
        for name, _, partitions in self.topics:
            between += encode_string(name, False) + _pack_int32(len(partitions))
            for index, records in partitions:
                size = 0
                for buffer in records:
                    size += len(buffer)
                out.append(between + _pack_two_int32(index, size))
                out += records
                between = b""
        if between:
            out.append(between)
        return out


_FlexibleRow = tuple[int, int, int, int, int, bytes]
_unpack_flexible_row: Callable[[bytes, int], _FlexibleRow] = struct.Struct(">ihqqq3s").unpack_from
_FLEXIBLE_ROW_SIZE = 33
_FLEXIBLE_NUMBERS_SIZE = 30
# No record errors (compact length 1), no message (null), no tagged fields.
_NOTHING_TO_SAY = b"\x01\x00\x00"

_new_row = tuple.__new__
_QUIET: tuple[tuple[RecordError, ...], str | None, tuple[int, int] | None] = ((), None, None)


def _flexible_rows(reader: Reader) -> tuple[ProducePartitionResponse, ...]:
    rows = []
    count = reader.array_length(True, _FLEXIBLE_ROW_SIZE)
    buffer, offset = reader.buffer, reader.offset
    for _ in range(count):
        try:
            row = _unpack_flexible_row(buffer, offset)
        except struct.error:
            reader.offset = offset
            raise reader.ends_early(_FLEXIBLE_ROW_SIZE) from None
        if row[5] == _NOTHING_TO_SAY:
            rows.append(_new_row(ProducePartitionResponse, row[:5] + _QUIET))
            offset += _FLEXIBLE_ROW_SIZE
        else:
            reader.offset = offset + _FLEXIBLE_NUMBERS_SIZE
            rows.append(ProducePartitionResponse(*row[:5], *_explanation(reader)))
            offset = reader.offset
    reader.offset = offset
    return tuple(rows)


def _explanation(
    reader: Reader,
) -> tuple[tuple[RecordError, ...], str | None, tuple[int, int] | None]:
    errors = _record_errors(reader, True)
    message = reader.nullable_string(True)
    leader = reader.tagged_fields().get(_CURRENT_LEADER)
    return errors, message, None if leader is None else _leader(leader)


def _record_errors(reader: Reader, flexible: bool) -> tuple[RecordError, ...]:
    errors = []
    for _ in range(reader.array_length(flexible, 6)):
        errors.append(RecordError(reader.int32(), reader.nullable_string(flexible)))
        if flexible:
            reader.tagged_fields()
    return tuple(errors)


def _leader(data: bytes) -> tuple[int, int] | None:
    reader = Reader(data)
    leader_id, leader_epoch = reader.int32(), reader.int32()
    reader.tagged_fields()
    return None if leader_id < 0 else (leader_id, leader_epoch)


def _endpoints(data: bytes) -> tuple[Broker, ...]:
    reader = Reader(data)
    return tuple([decode_broker(reader, True) for _ in range(reader.array_length(True, 11))])


def _fixed_rows(reader: Reader, version: int) -> tuple[ProducePartitionResponse, ...]:
    return tuple(
        [
            ProducePartitionResponse(
                index=reader.int32(),
                error_code=reader.int16(),
                base_offset=reader.int64(),
                log_append_time_ms=reader.int64(),
                log_start_offset=reader.int64() if version >= 5 else -1,
                record_errors=_record_errors(reader, False) if version >= 8 else (),
                error_message=reader.nullable_string(False) if version >= 8 else None,
                current_leader=None,
            )
            for _ in range(reader.array_length(False, 22))
        ]
    )
