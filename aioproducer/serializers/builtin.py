"""Bytes, strings and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aioproducer.serializers.unfit import UnfitValueError

Buffer = bytes | bytearray | memoryview


class BytesSerializer:
    """Takes buffers as they are."""

    def __call__(self, value: Buffer | None) -> Buffer | None:
        """Return ``value``; raises :exc:`UnfitValueError` for anything that is no buffer."""
        if value is None or isinstance(value, (bytes, bytearray, memoryview)):
            return value
        raise UnfitValueError(f"bytes expected, not {type(value).__name__}")


class StringSerializer:
    """Encodes text; UTF-8 unless another ``encoding`` is given."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._encoding = encoding

    def __call__(self, value: str | None) -> bytes | None:
        """Return the encoded text; raises :exc:`UnfitValueError` for anything that is no text."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise UnfitValueError(f"str expected, not {type(value).__name__}")
        return value.encode(self._encoding)


class JsonSerializer:
    """Writes compact UTF-8 JSON; ``sort_keys`` makes equal objects equal bytes, as keys need."""

    def __init__(self, *, sort_keys: bool = False) -> None:
        self._encoder = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
        )

    def __call__(self, value: Any) -> bytes | None:
        """Return the JSON of ``value``, ``None`` (a tombstone) for ``None``."""
        return None if value is None else self._encoder.encode(value).encode()


BY_NAME: dict[str, Callable[[], Callable[[Any], Buffer | None] | None]] = {
    "bytes": lambda: None,
    "string": StringSerializer,
    "json": JsonSerializer,
    "org.apache.kafka.common.serialization.ByteArraySerializer": lambda: None,
    "org.apache.kafka.common.serialization.StringSerializer": StringSerializer,
}
"""What a name means; ``None`` for buffers that are taken as they are."""
