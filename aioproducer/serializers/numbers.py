"""Numbers, booleans and UUIDs, byte for byte as Kafka's own serializers for Java write them."""

from __future__ import annotations

import struct
import uuid
from typing import ClassVar, Generic, TypeVar

from aioproducer.serializers.unfit import UnfitBytesError, UnfitValueError

N = TypeVar("N", int, float)


class _Packed(Generic[N]):
    """A number of a fixed width, the highest byte first."""

    _java: ClassVar[str]
    _types: ClassVar[tuple[type, ...]]
    _format: ClassVar[struct.Struct]

    def __init_subclass__(cls, *, java: str = "", format: str = "", types: str = "") -> None:
        if java:
            cls._java = java
            cls._format = struct.Struct(format)
            cls._types = (int,) if types == "int" else (int, float)

    def __call__(self, value: N) -> bytes:
        """Return the bytes; raises :exc:`UnfitValueError` for what is no such number."""
        if type(value) not in self._types:
            wanted = " or ".join(each.__name__ for each in reversed(self._types))
            raise UnfitValueError(f"{wanted} expected, not {type(value).__name__}")
        try:
            return self._format.pack(value)
        except (struct.error, OverflowError) as error:
            raise UnfitValueError(f"out of the range of Java's {self._java}") from error


class ShortSerializer(_Packed[int], java="short", format=">h", types="int"):
    """An integer in 2 bytes."""


class IntegerSerializer(_Packed[int], java="int", format=">i", types="int"):
    """An integer in 4 bytes."""


class LongSerializer(_Packed[int], java="long", format=">q", types="int"):
    """An integer in 8 bytes."""


class FloatSerializer(_Packed[float], java="float", format=">f", types="float"):
    """A floating-point number in 4 bytes, rounded to what they hold."""


class DoubleSerializer(_Packed[float], java="double", format=">d", types="float"):
    """A floating-point number in 8 bytes."""


class BooleanSerializer:
    """One byte: 1 or 0."""

    def __call__(self, value: bool) -> bytes:
        """Return the byte; raises :exc:`UnfitValueError` for what is neither true nor false."""
        if value.__class__ is not bool:
            raise UnfitValueError(f"bool expected, not {type(value).__name__}")
        return b"\1" if value else b"\0"


class UuidSerializer:
    """The usual text of a UUID, in small letters."""

    def __call__(self, value: uuid.UUID) -> bytes:
        """Return the text; raises :exc:`UnfitValueError` for anything that is no UUID."""
        if not isinstance(value, uuid.UUID):
            raise UnfitValueError(f"UUID expected, not {type(value).__name__}")
        return str(value).encode()


class _Unpacked(Generic[N]):
    _format: ClassVar[struct.Struct]

    def __init_subclass__(cls, *, format: str = "") -> None:
        if format:
            cls._format = struct.Struct(format)

    def __call__(self, data: bytes | None) -> N | None:
        """Return the number; raises :exc:`UnfitBytesError` for bytes of another size."""
        if data is None:
            return None
        if len(data) != self._format.size:
            raise UnfitBytesError(f"{self._format.size} bytes expected, not {len(data)}")
        number: N = self._format.unpack(data)[0]
        return number


class ShortDeserializer(_Unpacked[int], format=">h"):
    """Reads what :class:`ShortSerializer` wrote."""


class IntegerDeserializer(_Unpacked[int], format=">i"):
    """Reads what :class:`IntegerSerializer` wrote."""


class LongDeserializer(_Unpacked[int], format=">q"):
    """Reads what :class:`LongSerializer` wrote."""


class FloatDeserializer(_Unpacked[float], format=">f"):
    """Reads what :class:`FloatSerializer` wrote."""


class DoubleDeserializer(_Unpacked[float], format=">d"):
    """Reads what :class:`DoubleSerializer` wrote."""


class BooleanDeserializer:
    """Reads what :class:`BooleanSerializer` wrote."""

    def __call__(self, data: bytes | None) -> bool | None:
        """Return it; raises :exc:`UnfitBytesError` for anything but one byte 0 or 1."""
        if data is None:
            return None
        if data not in (b"\0", b"\1"):
            raise UnfitBytesError("one byte expected, 0 or 1")
        return data == b"\1"


class UuidDeserializer:
    """Reads what :class:`UuidSerializer` wrote."""

    def __call__(self, data: bytes | None) -> uuid.UUID | None:
        """Return the UUID; raises :exc:`UnfitBytesError` for bytes that are no UUID's text."""
        if data is None:
            return None
        try:
            return uuid.UUID(data.decode("ascii"))
        except ValueError:
            raise UnfitBytesError("no text of a UUID") from None
