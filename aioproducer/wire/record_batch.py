"""Record batches of version 2 (KIP-98), the only form that this producer writes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.checksum import crc32c
from aioproducer.wire.primitives import Buffer, Reader

HEADER_SIZE = 61
MAGIC = 2

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20

# Base offset, length, partition leader epoch, magic, CRC; the CRC covers everything after itself.
_OUTER = struct.Struct(">qiibI")
# Attributes, last offset delta, base and max timestamp, producer id and epoch, sequence, count.
_INNER = struct.Struct(">hiqqqhii")
_pack_outer = _OUTER.pack
_pack_inner = _INNER.pack
_UNCOUNTED_BY_LENGTH = 12

# Length, attributes, two deltas, key, value and header count, at one byte each.
_SMALLEST_RECORD = 7
_DECOMPRESSED_LIMIT = 256 * 1024 * 1024


def batch_header(
    records: Buffer,
    codec_id: int,
    record_count: int,
    base_timestamp: int,
    max_timestamp: int,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
) -> bytes:
    """Return the 61 bytes to send in front of ``records``, which are left where they are.

    ``records`` are the encoded records as they go on the wire: compressed, if ``codec_id`` says so.
    """
    inner = _pack_inner(
        codec_id | TRANSACTIONAL if transactional else codec_id,
        record_count - 1,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    )
    length = HEADER_SIZE - _UNCOUNTED_BY_LENGTH + len(records)
    return _pack_outer(0, length, -1, MAGIC, crc32c(records, crc32c(inner))) + inner


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """A record as it was read from a batch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    size: int
    """The bytes it takes in the batch, its own length included, before compression."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """A batch as it was read from the wire or from a log file."""

    base_offset: int
    partition_leader_epoch: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: tuple[DecodedRecord, ...]

    @property
    def codec_id(self) -> int:
        return self.attributes & CODEC_MASK

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)


def decode_batches(data: Buffer, *, limit: int = _DECOMPRESSED_LIMIT) -> Iterator[RecordBatch]:
    """Yield the batches in ``data``, one after the other. For tests and tools.

    A batch that holds more than ``limit`` bytes of records is refused.

    Raises:
        MalformedResponseError: not a whole number of sound batches; what precedes was yielded.
    """
    reader = Reader(data)
    while reader.remaining:
        yield _decode_batch(reader, limit)


def _decode_batch(reader: Reader, limit: int) -> RecordBatch:
    base_offset, length, leader_epoch, magic, crc = _OUTER.unpack(reader.take(_OUTER.size))
    if magic != MAGIC:
        raise MalformedResponseError(f"record batch of version {magic}, only {MAGIC} is known")
    body_size = length + _UNCOUNTED_BY_LENGTH - _OUTER.size
    if body_size < _INNER.size:
        raise MalformedResponseError(f"record batch with a length of {length}")
    body = reader.take(body_size)
    computed = crc32c(body)
    if computed != crc:
        raise MalformedResponseError(f"record batch with checksum {crc:#x}, it is {computed:#x}")
    (
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        count,
    ) = _INNER.unpack_from(body)
    from aioproducer.wire.decompression import decompress

    records = decompress(attributes & CODEC_MASK, body[_INNER.size :], limit)
    if not 0 <= count * _SMALLEST_RECORD <= len(records):
        raise MalformedResponseError(f"{count} records cannot be in {len(records)} bytes")
    append_time = max_timestamp if attributes & LOG_APPEND_TIME else None
    return RecordBatch(
        base_offset=base_offset,
        partition_leader_epoch=leader_epoch,
        attributes=attributes,
        last_offset_delta=last_offset_delta,
        base_timestamp=base_timestamp,
        max_timestamp=max_timestamp,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        records=tuple(
            decode_records(
                records, count, base_timestamp, base_offset=base_offset, append_time=append_time
            )
        ),
    )


def decode_records(
    data: Buffer,
    count: int,
    base_timestamp: int,
    *,
    base_offset: int = 0,
    append_time: int | None = None,
) -> Iterator[DecodedRecord]:
    """Yield the ``count`` records that ``data`` must hold, uncompressed and without a header.

    ``append_time`` replaces the timestamps of all, as in topics where the broker sets them.
    """
    reader = Reader(data)
    for _ in range(count):
        start = reader.offset
        record = Reader(_sized(reader) or b"")
        record.int8()
        timestamp = base_timestamp + record.varlong()
        decoded = DecodedRecord(
            offset=base_offset + record.varint(),
            timestamp=timestamp if append_time is None else append_time,
            key=_sized(record),
            value=_sized(record),
            headers=_decode_headers(record),
            size=reader.offset - start,
        )
        record.finish()
        yield decoded
    reader.finish()


def _decode_headers(reader: Reader) -> tuple[tuple[str, bytes | None], ...]:
    count = reader.varint()
    if not 0 <= count * 2 <= reader.remaining:
        raise MalformedResponseError(f"{count} headers cannot be in {reader.remaining} bytes")
    headers = []
    for _ in range(count):
        name = _sized(reader)
        if name is None:
            raise MalformedResponseError("a record header without a name")
        try:
            headers.append((name.decode(), _sized(reader)))
        except UnicodeDecodeError as error:
            raise MalformedResponseError(f"the header name {name!r} is no UTF-8") from error
    return tuple(headers)


def _sized(reader: Reader) -> bytes | None:
    """Read bytes with their length as a varint in front; -1 is null."""
    size = reader.varint()
    if size < -1:
        raise MalformedResponseError(f"a field of {size} bytes in a record")
    return None if size == -1 else reader.take(size)
