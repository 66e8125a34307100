"""BatchBuilder: records gathered by the user, to be sent together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_BATCH_HEADER = 61
"""Bytes before the first record of a batch (Kafka's record format 2)."""

Serialize = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class AppendedRecord:
    """What ``append()`` tells of the record: its place in the batch, its size and its time."""

    offset: int
    size: int
    timestamp: int
    crc: None = None


@dataclass(frozen=True, slots=True)
class GatheredRecord:
    """A record of a batch that is not sent yet."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes | None]]


class BatchBuilder:
    """Records of one partition, up to ``max_batch_size`` bytes; ``send_batch()`` sends them.

    They are sent one after the other in one turn of the loop, so that they stand together in
    their partition. The producer decides how many batches of Kafka that becomes: one as a rule,
    more where another batch of the partition was begun already, or is too full for them.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        key_serializer: Serialize = None,
        value_serializer: Serialize = None,
    ) -> None:
        self.records: list[GatheredRecord] = []
        self._batch_size = batch_size
        self._key_serializer = key_serializer
        self._value_serializer = value_serializer
        self._size = _BATCH_HEADER
        self._closed = False

    def append(
        self,
        *,
        timestamp: float | None,
        key: Any,
        value: Any,
        headers: Sequence[tuple[str, bytes | None]] | None = (),
    ) -> AppendedRecord | None:
        """Add a record and return its metadata; ``None`` if the batch is full or closed.

        ``timestamp`` is in milliseconds, ``None`` means now. The first record always fits.
        """
        if self._closed:
            return None
        if self._key_serializer is not None:
            key = self._key_serializer(key)
        if self._value_serializer is not None:
            value = self._value_serializer(value)
        at = int(time.time() * 1000) if timestamp is None else int(timestamp)
        record = GatheredRecord(key, value, at, tuple(headers or ()))
        size = self._size_of(record)
        if self.records and self._size + size > self._batch_size:
            self.close()
            return None
        self.records.append(record)
        self._size += size
        return AppendedRecord(len(self.records) - 1, size, at)

    def close(self) -> None:
        """Take no more records."""
        self._closed = True

    def size(self) -> int:
        """Return the bytes of the batch before compression."""
        return self._size

    def record_count(self) -> int:
        """Return how many records there are."""
        return len(self.records)

    def closed(self) -> bool:
        """Return whether it takes no more records."""
        return self._closed

    def _size_of(self, record: GatheredRecord) -> int:
        """Return the record's bytes in Kafka's record format 2."""
        first = self.records[0].timestamp_ms if self.records else record.timestamp_ms
        body = 1 + _varint(record.timestamp_ms - first) + _varint(len(self.records))
        for part in (record.key, record.value):
            body += _varint(-1) if part is None else _varint(len(part)) + len(part)
        body += _varint(len(record.headers))
        for name, content in record.headers:
            encoded = len(name.encode())
            body += _varint(encoded) + encoded
            body += _varint(-1) if content is None else _varint(len(content)) + len(content)
        return _varint(body) + body


def _varint(number: int) -> int:
    """Return how many bytes Kafka's zigzag encoding of ``number`` takes."""
    zigzag = number * 2 if number >= 0 else -number * 2 - 1
    return max(1, (zigzag.bit_length() + 6) // 7)
