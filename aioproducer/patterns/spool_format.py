"""The bytes of a spool file: a header, then a frame for each dead letter.

    file   = "AIOPSPL1" id:16 frame*
    frame  = marker:4 length:4 crc:4 payload
    payload = length:4 JSON  key value header-values

``id`` changes whenever the file is begun anew, so that a journal of what was replayed cannot be
taken for that of another. The CRC-32 is over length and payload. A frame that a crash tore stays:
whoever reads looks for the next marker with a whole frame behind it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aioproducer import Header, Record
from aioproducer.patterns.letters import DeadLetter, fate

MAGIC = b"AIOPSPL1"
ID_SIZE = 16
HEADER_SIZE = len(MAGIC) + ID_SIZE
LONGEST = 1 << 30
"""Bytes that a payload may have; what says more is damaged."""

_MARKER = b"\xa5\x5aDL"
_FRAME = struct.Struct(">4sII")
_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 16

ReadAt = Callable[[int, int], bytes]
"""(size, offset) -> bytes, fewer at the end of the file."""


class SpoolFormatError(ValueError):
    """The file is not a spool, or a payload in it is none of ours."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A stretch of the file: a frame with its payload, or damaged bytes without one."""

    offset: int
    end: int
    payload: bytes | None


def frame(payload: bytes) -> bytes:
    """Return a frame around ``payload``."""
    if len(payload) > LONGEST:
        raise SpoolFormatError(f"a dead letter of {len(payload)} bytes is too long for a spool")
    size = _LENGTH.pack(len(payload))
    return _MARKER + size + _LENGTH.pack(zlib.crc32(payload, zlib.crc32(size))) + payload


def frames(read_at: ReadAt, start: int, end: int) -> Iterator[Frame]:
    """Yield what is between ``start`` and ``end``; damaged bytes are one stretch up to the next."""
    offset = start
    damaged_from: int | None = None
    while offset < end:
        payload = _payload_at(read_at, offset, end)
        if payload is None:
            damaged_from = offset if damaged_from is None else damaged_from
            offset = _next_marker(read_at, offset + 1, end)
            continue
        if damaged_from is not None:
            yield Frame(damaged_from, offset, None)
            damaged_from = None
        after = offset + _FRAME.size + len(payload)
        yield Frame(offset, after, payload)
        offset = after
    if damaged_from is not None:
        yield Frame(damaged_from, end, None)


def _payload_at(read_at: ReadAt, offset: int, end: int) -> bytes | None:
    head = read_at(_FRAME.size, offset)
    if len(head) < _FRAME.size:
        return None
    marker, length, crc = _FRAME.unpack(head)
    if marker != _MARKER or length > min(LONGEST, end - offset - _FRAME.size):
        return None
    payload = read_at(length, offset + _FRAME.size)
    if len(payload) < length or zlib.crc32(payload, zlib.crc32(head[4:8])) != crc:
        return None
    return payload


def _next_marker(read_at: ReadAt, offset: int, end: int) -> int:
    while offset < end:
        chunk = read_at(_CHUNK, offset)
        found = chunk.find(_MARKER)
        if found >= 0:
            return offset + found
        if len(chunk) < len(_MARKER):
            return end
        # A marker may lie across the end of the chunk.
        offset += len(chunk) - len(_MARKER) + 1
    return end


def encode(letter: DeadLetter) -> bytes:
    """Return the payload of ``letter``."""
    record = letter.record
    told = {
        "topic": record.topic,
        "fixed": record.partition,
        "partition": letter.partition,
        "timestamp": record.timestamp_ms,
        "failed_at": letter.failed_at_ms,
        "reason": letter.reason,
        "class": letter.failure_class,
        "persisted": letter.persisted,
        "forms": [letter.key_form, letter.value_form],
        "sizes": [_size(record.key), _size(record.value)],
        "headers": [[name, _size(value)] for name, value in record.headers],
    }
    text = json.dumps(told, separators=(",", ":")).encode()
    values = (value or b"" for _, value in record.headers)
    return b"".join(
        (_LENGTH.pack(len(text)), text, record.key or b"", record.value or b"", *values)
    )


def decode(payload: bytes) -> DeadLetter:
    """Return the letter of a payload; raises :exc:`SpoolFormatError` if it is none."""
    try:
        (size,) = _LENGTH.unpack_from(payload)
        told: dict[str, Any] = json.loads(payload[_LENGTH.size : _LENGTH.size + size])
        rest = _Rest(payload, _LENGTH.size + size)
        key, value = (rest.take(each) for each in told["sizes"])
        headers: tuple[Header, ...] = tuple(
            (name, rest.take(each)) for name, each in told["headers"]
        )
        key_form, value_form = told["forms"]
        record = Record(told["topic"], value, key, told["fixed"], told["timestamp"], headers)
        return DeadLetter(
            record, told["partition"], told["failed_at"], told["reason"], told["class"],
            fate(told["persisted"]), key_form, value_form,
        )  # fmt: skip
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise SpoolFormatError(f"no dead letter: {error!r}") from error


class _Rest:
    """What is left of a payload."""

    def __init__(self, payload: bytes, offset: int) -> None:
        self._payload = payload
        self._offset = offset

    def take(self, size: int | None) -> bytes | None:
        if size is None:
            return None
        taken = self._payload[self._offset : self._offset + size]
        if len(taken) != size:
            raise SpoolFormatError("a payload is shorter than it says")
        self._offset += size
        return taken


def _size(part: bytes | None) -> int | None:
    return None if part is None else len(part)
