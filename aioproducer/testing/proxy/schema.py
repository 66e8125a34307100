"""Messages of Kafka as tables: decoded to dictionaries and encoded again, in every version.

A table is text, one field a line, nested by indentation:

    Name ?string 1-12          nullable, in the versions 1 to 12
    Rows [] 2+                 an array of what is indented below it
      Code int16 =-1           with a default other than 0
    Leader {} 10+ tag0         a tagged field
    Nodes []int32              an array of numbers
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aioproducer.wire.primitives import ZERO_UUID, Reader, encode_string, encode_uvarint

NEWEST = 2**15
TAGS = "tags"
"""Where a decoded message keeps the tagged fields that its table does not name."""

REST = "rest"
"""Where it keeps the bytes that follow its end."""

_NUMBERS = {
    "bool": struct.Struct(">?"),
    "int8": struct.Struct(">b"),
    "int16": struct.Struct(">h"),
    "int32": struct.Struct(">i"),
    "int64": struct.Struct(">q"),
}
_SIZE = struct.Struct(">i")
_LINE = re.compile(
    r"(?P<name>\w+) (?P<null>\??)(?P<kind>[\w\[\]{}]+)"
    r"(?: (?P<since>\d+)(?P<to>[+]|-(?P<until>\d+))?)?"
    r"(?: tag(?P<tag>\d+))?(?: =(?P<default>-?\d+))?"
)

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``kind`` is a scalar's name, or "{}" for what ``fields`` describe."""

    name: str
    kind: str
    is_array: bool
    nullable: bool
    since: int
    until: int
    tag: int | None
    default: int
    fields: tuple[Field, ...] = ()

    def is_in(self, version: int) -> bool:
        """Return whether ``version`` has it."""
        return self.since <= version <= self.until

    def empty(self) -> Any:
        """Return what it is when nobody says."""
        if self.is_array:
            return []
        if self.kind == "{}":
            return {}
        if self.kind in _NUMBERS:
            return self.default
        if self.kind == "uuid":
            return ZERO_UUID
        if self.nullable:
            return None
        return "" if self.kind == "string" else b""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer in all its versions."""

    name: str
    flexible_since: int
    fields: tuple[Field, ...]

    def decode(self, data: bytes, version: int, offset: int = 0) -> Values:
        """Return what ``data`` says from ``offset`` on.

        What stands behind it is kept: clients leave it unread, and some brokers write too much.
        Raises :exc:`MalformedResponseError` for bytes that cannot be this message.
        """
        reader = Reader(data, offset)
        values = _decode(self.fields, reader, version, version >= self.flexible_since)
        if reader.remaining:
            values[REST] = reader.take(reader.remaining)
        return values

    def encode(self, values: Mapping[str, Any], version: int) -> bytes:
        """Return the bytes; fields that are left out are empty."""
        out: list[bytes] = []
        _encode(self.fields, values, version, version >= self.flexible_since, out)
        return b"".join((*out, values.get(REST, b"")))


def message(name: str, table: str, *, flexible: int = NEWEST) -> Message:
    """Make a message of its table."""
    lines = [line for line in table.splitlines() if line.strip()]
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    rows = [((len(line) - len(line.lstrip()) - margin) // 2, line.strip()) for line in lines]
    fields, rest = _parse(rows, 0)
    assert not rest, f"{name}: {rest[0]}"
    return Message(name, flexible, fields)


def _parse(
    rows: list[tuple[int, str]], depth: int
) -> tuple[tuple[Field, ...], list[tuple[int, str]]]:
    fields = []
    while rows and rows[0][0] == depth:
        match = _LINE.fullmatch(rows[0][1])
        assert match is not None, rows[0][1]
        inner, rows = _parse(rows[1:], depth + 1)
        kind = match["kind"]
        since = int(match["since"] or 0)
        until = NEWEST if match["to"] == "+" or match["since"] is None else since
        fields.append(
            Field(
                match["name"],
                kind.removeprefix("[]") or "{}",
                kind.startswith("[]"),
                bool(match["null"]),
                since,
                int(match["until"] or until),
                None if match["tag"] is None else int(match["tag"]),
                int(match["default"] or 0),
                inner,
            )
        )
    return tuple(fields), rows


# Decoding


def _decode(fields: tuple[Field, ...], reader: Reader, version: int, flexible: bool) -> Values:
    values: Values = {}
    for field in fields:
        if field.tag is None and field.is_in(version):
            values[field.name] = _decode_field(field, reader, version, flexible)
    if flexible:
        tags = reader.tagged_fields()
        for field in fields:
            if field.tag is not None and field.is_in(version) and field.tag in tags:
                inner = Reader(tags.pop(field.tag))
                values[field.name] = _decode_field(field, inner, version, flexible)
                inner.finish()
        if tags:
            values[TAGS] = tags
    return values


def _decode_field(field: Field, reader: Reader, version: int, flexible: bool) -> Any:
    if not field.is_array:
        return _decode_one(field, reader, version, flexible)
    count = reader.array_length(flexible)
    if count < 0:
        return None
    return [_decode_one(field, reader, version, flexible) for _ in range(count)]


def _decode_one(field: Field, reader: Reader, version: int, flexible: bool) -> Any:
    kind = field.kind
    if kind in _NUMBERS:
        layout = _NUMBERS[kind]
        return layout.unpack(reader.take(layout.size))[0]
    if kind == "{}":
        return _decode(field.fields, reader, version, flexible)
    if kind == "uuid":
        return reader.uuid()
    if kind == "string":
        return reader.nullable_string(flexible)
    return reader.nullable_bytes(flexible)


# Encoding


def _encode(
    fields: tuple[Field, ...],
    values: Mapping[str, Any],
    version: int,
    flexible: bool,
    out: list[bytes],
) -> None:
    tags: dict[int, bytes] = dict(values.get(TAGS, {}))
    for field in fields:
        if not field.is_in(version):
            continue
        if field.tag is None:
            value = values.get(field.name, _MISSING)
            _encode_field(
                field, field.empty() if value is _MISSING else value, version, flexible, out
            )
        elif field.name in values:
            inner: list[bytes] = []
            _encode_field(field, values[field.name], version, flexible, inner)
            tags[field.tag] = b"".join(inner)
    if flexible:
        out.append(encode_uvarint(len(tags)))
        for tag, data in sorted(tags.items()):
            out += (encode_uvarint(tag), encode_uvarint(len(data)), data)


_MISSING = object()


def _encode_field(field: Field, value: Any, version: int, flexible: bool, out: list[bytes]) -> None:
    if not field.is_array:
        _encode_one(field, value, version, flexible, out)
        return
    count = -1 if value is None else len(value)
    out.append(encode_uvarint(count + 1) if flexible else _SIZE.pack(count))
    for each in value or ():
        _encode_one(field, each, version, flexible, out)


def _encode_one(field: Field, value: Any, version: int, flexible: bool, out: list[bytes]) -> None:
    kind = field.kind
    if kind in _NUMBERS:
        out.append(_NUMBERS[kind].pack(value))
    elif kind == "{}":
        _encode(field.fields, value, version, flexible, out)
    elif kind == "uuid":
        out.append(value)
    elif kind == "string":
        out.append(encode_string(value, flexible))
    else:
        size = -1 if value is None else len(value)
        out.append(encode_uvarint(size + 1) if flexible else _SIZE.pack(size))
        out.append(value or b"")
