"""Buffers and text, and what the short names of serializers mean."""

from __future__ import annotations

import codecs
import importlib
from collections.abc import Callable
from typing import Any

from aioproducer.serializers.unfit import UnfitBytesError, UnfitValueError

Buffer = bytes | bytearray | memoryview


class BytesSerializer:
    """Takes buffers as they are; nothing is copied unless the record has to wait."""

    def __call__(self, value: Buffer) -> Buffer:
        """Return ``value``; raises :exc:`UnfitValueError` for anything that is no buffer."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            return value
        raise UnfitValueError(f"bytes expected, not {type(value).__name__}")


class StringSerializer:
    """Encodes text; UTF-8 unless another ``encoding`` is given. Follows Kafka's own.

    Raises :exc:`LookupError` for an encoding that Python does not know.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._encoding = codecs.lookup(encoding).name

    def __call__(self, value: str) -> bytes:
        """Return the encoded text.

        Raises :exc:`UnfitValueError` for anything that is no text or cannot be encoded.
        """
        if not isinstance(value, str):
            raise UnfitValueError(f"str expected, not {type(value).__name__}")
        try:
            return value.encode(self._encoding)
        except UnicodeEncodeError as error:
            raise UnfitValueError(
                f"character {error.start} cannot be written in {self._encoding}"
            ) from error


class StringDeserializer:
    """Reads what :class:`StringSerializer` wrote."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._encoding = codecs.lookup(encoding).name

    def __call__(self, data: bytes | None) -> str | None:
        """Return the text; raises :exc:`UnfitBytesError` for bytes that are none."""
        try:
            return None if data is None else data.decode(self._encoding)
        except UnicodeDecodeError as error:
            raise UnfitBytesError(f"byte {error.start} is no text in {self._encoding}") from error


_NUMBERS = "aioproducer.serializers.numbers"

BY_NAME: dict[str, tuple[str, str]] = {
    "bytes": (__name__, "BytesSerializer"),
    "string": (__name__, "StringSerializer"),
    "json": ("aioproducer.serializers.json_values", "JsonSerializer"),
    "short": (_NUMBERS, "ShortSerializer"),
    "integer": (_NUMBERS, "IntegerSerializer"),
    "long": (_NUMBERS, "LongSerializer"),
    "float": (_NUMBERS, "FloatSerializer"),
    "double": (_NUMBERS, "DoubleSerializer"),
    "boolean": (_NUMBERS, "BooleanSerializer"),
    "uuid": (_NUMBERS, "UuidSerializer"),
}
"""What a short name means: a class and its module, which is imported when it is asked for."""


def make_named(name: str) -> Callable[[Any], Buffer] | None:
    """Return the serializer of a short name, ``None`` if there is none."""
    if name not in BY_NAME:
        return None
    module, kind = BY_NAME[name]
    serializer: Callable[[Any], Buffer] = getattr(importlib.import_module(module), kind)()
    return serializer
