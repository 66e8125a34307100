# cython: annotation_typing=False, freethreading_compatible=True
"""Encode one record of a version 2 batch. Runs once per record: measured code.

Three ideas carry it: the varints of small numbers are looked up instead of computed, what is small
is joined in one call instead of field by field, and a large value is left where it is until its
batch is closed. A number outside the table makes the lookup raise IndexError, so the usual case
pays for no range check.
"""

from __future__ import annotations

from collections.abc import Sequence

from aioproducer import inlined
from aioproducer.wire.primitives import Buffer, encode_uvarint

# Room for the offsets of a batch of 4096 records and for records up to 4 KiB; 2 ms at import.
_TABLE_SIZE = 4096


def _varint(value: int) -> bytes:
    """Return ``value`` as a zig-zag varint of any length."""
    return encode_uvarint(value << 1 if value >= 0 else ~(value << 1))


# Lists, because CPython specializes the subscript of a list by a small int.
_VARINTS = [_varint(value) for value in range(_TABLE_SIZE)]
# Attributes (always 0) and timestamp delta stand side by side: one lookup for both.
_ATTRIBUTES_AND_DELTAS = [b"\x00" + varint for varint in _VARINTS]
_NULL = b"\x01"
NO_HEADERS = b"\x00"
# A value below this is copied into its record, which is one part to join later instead of three.
_JOINED_BELOW = 512

# KafkaProducer refuses records by this bound, not by their exact size: so do we.
_MAX_RECORD_OVERHEAD = 21


def append_parts(
    parts: list[bytes],
    timestamp_delta: int,
    offset_delta: int,
    key: Buffer | None,
    value: bytes | None,
    tail: bytes,
) -> int:
    """Append a record to ``parts``, its length in front, and return how many bytes it takes.

    The deltas count from the first record; the one of the timestamp may be negative, that of the
    offset may not. ``tail`` is what ``encode_tail()`` made of the headers. A memoryview must be
    contiguous and of single bytes, for its size is taken by ``len()``. Nothing is appended when
    this raises.
    """
    body = value or b""
    try:
        if timestamp_delta < 0:
            raise IndexError  # a negative subscript would count from the end
        deltas = _ATTRIBUTES_AND_DELTAS[timestamp_delta]
        offset = _VARINTS[offset_delta]
        key_size = _NULL if key is None else _VARINTS[len(key)]
        key_bytes = b"" if key is None else key if type(key) is bytes else bytes(key)
        value_size = _NULL if value is None else _VARINTS[len(body)]
        size = len(deltas) + len(offset) + len(key_size) + len(key_bytes) + len(value_size)
        size += len(body) + len(tail)
        prefix = _VARINTS[size]
    except IndexError:
        return _append_any(parts, timestamp_delta, offset_delta, key, value, tail)
    if len(body) < _JOINED_BELOW:
        parts.append(
            inlined.join(prefix, deltas, offset, key_size, key_bytes, value_size, body, tail)
        )
    else:
        parts.append(
            inlined.join(prefix, deltas, offset, key_size, key_bytes, value_size, b"", b"")
        )
        parts.append(body)
        parts.append(tail)
    return len(prefix) + size


def _append_any(
    parts: list[bytes],
    timestamp_delta: int,
    offset_delta: int,
    key: Buffer | None,
    value: bytes | None,
    tail: bytes,
) -> int:
    """Append a record that has a number outside the table."""
    head = _encode_any_head(timestamp_delta, offset_delta, key, -1 if value is None else len(value))
    body = value or b""
    size = len(head) + len(body) + len(tail)
    prefix = _varint(size)
    parts += (prefix, head, body, tail)
    return len(prefix) + size


def encode_tail(headers: Sequence[tuple[str, Buffer | None]]) -> bytes:
    """Return what stands behind a record's value: its headers."""
    if not headers:
        return NO_HEADERS
    try:
        return _encode_headers(headers)
    except IndexError:
        return _encode_any_headers(headers)


def append_record(
    out: bytearray,
    timestamp_delta: int,
    offset_delta: int,
    key: Buffer | None,
    value: Buffer | None,
    headers: Sequence[tuple[str, Buffer | None]],
) -> None:
    """Append a record to ``out``, its length in front. Nothing is appended when this raises."""
    parts: list[bytes] = []
    body = None if value is None else bytes(value)
    append_parts(parts, timestamp_delta, offset_delta, key, body, encode_tail(headers))
    out += b"".join(parts)


def record_size_bound(
    key_size: int, value_size: int, headers: Sequence[tuple[str, Buffer | None]] = ()
) -> int:
    """Return the bytes that a record takes at most, without the header of its batch.

    A size of -1 means null.
    """
    size = _MAX_RECORD_OVERHEAD + 1 + key_size + value_size
    size += 1 if 0 <= key_size < 64 else _varint_size_from_null(key_size)
    size += 2 if 64 <= value_size < 8192 else _varint_size_from_null(value_size)
    if headers:
        size += len(_varint(len(headers))) - 1
        for name, value in headers:
            name_size = len(name.encode())
            header_size = -1 if value is None else len(value)
            size += name_size + _varint_size_from_null(name_size)
            size += header_size + _varint_size_from_null(header_size)
    return size


def _encode_headers(headers: Sequence[tuple[str, Buffer | None]]) -> bytes:
    # Joining onto what is there copies it again, and still beats a list of parts for the few
    # headers that records have.
    encoded = _VARINTS[len(headers)]
    for name, value in headers:
        key = name.encode()
        if value is None:
            encoded = b"".join((encoded, _VARINTS[len(key)], key, _NULL))
        else:
            encoded = b"".join((encoded, _VARINTS[len(key)], key, _VARINTS[len(value)], value))
    return encoded


def _encode_any_head(
    timestamp_delta: int, offset_delta: int, key: Buffer | None, value_size: int
) -> bytes:
    """Encode what has a number outside the table."""
    parts: list[Buffer] = [b"\x00", _varint(timestamp_delta), _varint(offset_delta)]
    parts += _field(key)
    parts.append(_varint(value_size))
    return b"".join(parts)


def _encode_any_headers(headers: Sequence[tuple[str, Buffer | None]]) -> bytes:
    parts: list[Buffer] = [_varint(len(headers))]
    for name, value in headers:
        parts += _field(name.encode())
        parts += _field(value)
    return b"".join(parts)


def _field(data: Buffer | None) -> tuple[Buffer, ...]:
    return (_NULL,) if data is None else (_varint(len(data)), data)


def _varint_size_from_null(size: int) -> int:
    """Return the bytes that ``size`` takes as a varint, and one to outweigh the -1 of null."""
    return 2 if size < 0 else len(_varint(size))
