"""The scalar types of the Kafka protocol: a bounded reader and a writer.

``flexible`` chooses between the two encodings of strings, byte strings and arrays: fixed-width
lengths (-1 is null) and, since KIP-482, unsigned varints of length + 1 (0 is null).

The messages on the per-request path reach into ``Reader.buffer`` and ``Reader.offset`` to decode
several fields with one ``struct`` call; everything else goes through the methods.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

from aioproducer.errors import MalformedResponseError

Buffer: TypeAlias = bytes | bytearray | memoryview

ZERO_UUID = bytes(16)

_INT8 = struct.Struct(">b")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_UINT32 = struct.Struct(">I")
_FLOAT64 = struct.Struct(">d")

_unpack_int32 = _INT32.unpack_from

_ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def encode_uvarint(value: int) -> bytes:
    """Return ``value`` (not negative) as an unsigned varint."""
    if value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0x200000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_string(value: str | None, flexible: bool) -> bytes:
    """Return a nullable string with its length in front."""
    if value is None:
        return b"\x00" if flexible else b"\xff\xff"
    data = value.encode()
    if flexible:
        return encode_uvarint(len(data) + 1) + data
    return _INT16.pack(len(data)) + data


class Reader:
    """Read values one after the other, never past the end of ``buffer``.

    Raises:
        MalformedResponseError: from every method, when the bytes cannot be what is asked for.
    """

    __slots__ = ("buffer", "offset")

    def __init__(self, buffer: Buffer, offset: int = 0) -> None:
        # Slices of bytes are cheaper than views, and what was read cannot change later.
        self.buffer = buffer if type(buffer) is bytes else bytes(buffer)
        self.offset = offset

    @property
    def remaining(self) -> int:
        return len(self.buffer) - self.offset

    def finish(self) -> None:
        """Refuse bytes that nobody has read."""
        if self.offset != len(self.buffer):
            raise MalformedResponseError(
                f"{self.remaining} unexpected bytes follow the end of the response"
            )

    def ends_early(self, wanted: int) -> MalformedResponseError:
        """Return (not raise) the error for ``wanted`` bytes that are not there."""
        return MalformedResponseError(
            f"the response ends early: {wanted} more bytes belong at byte {self.offset}, "
            f"{self.remaining} are there"
        )

    def take(self, size: int) -> bytes:
        start = self.offset
        end = start + size
        if end > len(self.buffer):
            raise self.ends_early(size)
        self.offset = end
        return self.buffer[start:end]

    def int8(self) -> int:
        return self._scalar(_INT8)

    def int16(self) -> int:
        return self._scalar(_INT16)

    def int32(self) -> int:
        offset = self.offset
        try:
            value: int = _unpack_int32(self.buffer, offset)[0]
        except struct.error:
            raise self.ends_early(4) from None
        self.offset = offset + 4
        return value

    def int64(self) -> int:
        return self._scalar(_INT64)

    def uint32(self) -> int:
        return self._scalar(_UINT32)

    def boolean(self) -> bool:
        return self._scalar(_INT8) != 0

    def float64(self) -> float:
        try:
            value: float = _FLOAT64.unpack_from(self.buffer, self.offset)[0]
        except struct.error:
            raise self.ends_early(8) from None
        self.offset += 8
        return value

    def uuid(self) -> bytes:
        return self.take(16)

    def uvarint(self) -> int:
        buffer, offset = self.buffer, self.offset
        if offset < len(buffer) and (byte := buffer[offset]) < 0x80:
            self.offset = offset + 1
            return byte
        return self._unsigned(32)

    def varint(self) -> int:
        value = self._unsigned(32)
        return value >> 1 ^ -(value & 1)

    def varlong(self) -> int:
        value = self._unsigned(64)
        return value >> 1 ^ -(value & 1)

    def string(self, flexible: bool) -> str:
        value = self.nullable_string(flexible)
        if value is None:
            raise MalformedResponseError(f"null before byte {self.offset}, where a string belongs")
        return value

    def nullable_string(self, flexible: bool) -> str | None:
        size = self.uvarint() - 1 if flexible else self.int16()
        if size == -1:
            return None
        if size < 0:
            raise self._negative(size)
        data = self.take(size)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise MalformedResponseError(
                f"the {size} bytes before byte {self.offset} are no UTF-8 string"
            ) from None

    def bytes_(self, flexible: bool) -> bytes:
        value = self.nullable_bytes(flexible)
        if value is None:
            raise MalformedResponseError(f"null before byte {self.offset}, where bytes belong")
        return value

    def nullable_bytes(self, flexible: bool) -> bytes | None:
        return self._sized(self.uvarint() - 1 if flexible else self.int32())

    def array_length(self, flexible: bool, min_element_size: int = 1) -> int:
        """Return the number of elements that follow, -1 for a null array.

        A count that cannot fit into what is left, at ``min_element_size`` bytes for each element,
        is refused here, so that nobody loops or allocates on the word of a corrupt length.
        """
        count = self.uvarint() - 1 if flexible else self.int32()
        if count < -1 or count * min_element_size > len(self.buffer) - self.offset:
            raise MalformedResponseError(
                f"an array of {count} elements cannot fit into the {self.remaining} bytes left "
                f"at byte {self.offset}"
            )
        return count

    def int32_array(self, flexible: bool) -> tuple[int, ...]:
        count = self.array_length(flexible, 4)
        if count <= 0:
            return ()
        values = struct.unpack_from(f">{count}i", self.buffer, self.offset)
        self.offset += 4 * count
        return values

    def tagged_fields(self) -> dict[int, bytes]:
        """Return the tagged fields by tag, undecoded: whoever knows a tag decodes it."""
        count = self.uvarint()
        if not count:
            return {}
        if count * 2 > self.remaining:
            raise MalformedResponseError(
                f"{count} tagged fields cannot fit into the {self.remaining} bytes left "
                f"at byte {self.offset}"
            )
        return {self.uvarint(): self.take(self.uvarint()) for _ in range(count)}

    def _scalar(self, layout: struct.Struct) -> int:
        try:
            value: int = layout.unpack_from(self.buffer, self.offset)[0]
        except struct.error:
            raise self.ends_early(layout.size) from None
        self.offset += layout.size
        return value

    def _sized(self, size: int) -> bytes | None:
        if size < -1:
            raise self._negative(size)
        return None if size == -1 else self.take(size)

    def _negative(self, size: int) -> MalformedResponseError:
        return MalformedResponseError(f"negative length {size} before byte {self.offset}")

    def _unsigned(self, bits: int) -> int:
        buffer, offset = self.buffer, self.offset
        value = 0
        for shift in range(0, bits, 7):
            if offset >= len(buffer):
                raise self.ends_early(offset - self.offset + 1)
            byte = buffer[offset]
            offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> bits:
                    break
                self.offset = offset
                return value
        raise MalformedResponseError(f"the varint at byte {self.offset} exceeds {bits} bits")


class Writer:
    """Collect encoded values in one growing buffer."""

    __slots__ = ("_out",)

    def __init__(self) -> None:
        self._out = bytearray()

    def __len__(self) -> int:
        return len(self._out)

    def getvalue(self) -> bytes:
        return bytes(self._out)

    def raw(self, data: Buffer) -> None:
        """Append bytes as they are."""
        self._out += data

    def int8(self, value: int) -> None:
        self._out += _INT8.pack(value)

    def int16(self, value: int) -> None:
        self._out += _INT16.pack(value)

    def int32(self, value: int) -> None:
        self._out += _INT32.pack(value)

    def int64(self, value: int) -> None:
        self._out += _INT64.pack(value)

    def uint32(self, value: int) -> None:
        self._out += _UINT32.pack(value)

    def boolean(self, value: bool) -> None:
        self._out.append(1 if value else 0)

    def float64(self, value: float) -> None:
        self._out += _FLOAT64.pack(value)

    def uuid(self, value: bytes) -> None:
        if len(value) != 16:
            raise ValueError(f"a UUID has 16 bytes, not {len(value)}")
        self._out += value

    def uvarint(self, value: int) -> None:
        self._out += encode_uvarint(value)

    def varint(self, value: int) -> None:
        self._out += encode_uvarint(value << 1 if value >= 0 else ~(value << 1))

    varlong = varint

    def string(self, value: str, flexible: bool) -> None:
        self._out += encode_string(value, flexible)

    def nullable_string(self, value: str | None, flexible: bool) -> None:
        self._out += encode_string(value, flexible)

    def bytes_(self, value: Buffer, flexible: bool) -> None:
        self.array_length(len(value), flexible)
        self._out += value

    def nullable_bytes(self, value: Buffer | None, flexible: bool) -> None:
        if value is None:
            self.array_length(-1, flexible)
        else:
            self.bytes_(value, flexible)

    def array_length(self, count: int, flexible: bool) -> None:
        """Write how many elements follow; -1 is a null array."""
        if flexible:
            self._out += encode_uvarint(count + 1)
        else:
            self._out += _INT32.pack(count)

    def tagged_fields(self, fields: Mapping[int, Buffer] | None = None) -> None:
        """Write tagged fields in the ascending order of tags that KIP-482 demands."""
        if not fields:
            self._out.append(0)
            return
        self._out += encode_uvarint(len(fields))
        for tag in sorted(fields):
            value = fields[tag]
            self._out += encode_uvarint(tag) + encode_uvarint(len(value))
            self._out += value
