"""From a line to a record: text with a key in front, or a JSON object. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from aioproducer.checks import check_partition, check_timestamp, check_topic
from aioproducer.records import Header, Record

Bytes = bytes | None
Plain = Record[bytes, bytes]

FIELDS = (
    "topic", "key", "key_base64", "value", "value_base64", "headers", "partition", "timestamp",
)  # fmt: skip
_BINARY = "base64"


class MalformedLineError(ValueError):
    """A line is no record; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """What all records have that say nothing else."""

    topic: str
    partition: int | None = None
    headers: tuple[Header, ...] = ()


def text_format(
    fixed: Fixed, key_separator: bytes | None = None, null_value: bytes | None = None
) -> Callable[[bytes], Plain]:
    """Return what makes a record of a line.

    Args:
        fixed: what all records have.
        key_separator: what stands between key and value; without it a line is a value.
        null_value: the value that stands for none, which deletes a key of a compacted topic.
    """
    topic, partition, headers = fixed.topic, fixed.partition, fixed.headers

    def record(line: bytes) -> Plain:
        key: bytes | None = None
        value: bytes | None = line
        if key_separator is not None:
            key, found, value = line.partition(key_separator)
            if not found:
                words = f"no {key_separator.decode(errors='replace')!r} between key and value"
                raise MalformedLineError(words)
        if value == null_value:
            value = None
        return Record(topic, value, key, partition, None, headers)

    return record


def json_format(fixed: Fixed) -> Callable[[bytes], Plain]:
    """Return what makes a record of a line that is a JSON object with fields of :data:`FIELDS`."""

    def record(line: bytes) -> Plain:
        fields = _object(line)
        if unknown := sorted(fields.keys() - set(FIELDS)):
            names = ", ".join(map(repr, unknown))
            raise MalformedLineError(f"unknown field {names}; there is {', '.join(FIELDS)}")
        try:
            topic = check_topic(fields.get("topic", fixed.topic))
            partition = fields.get("partition", fixed.partition)
            check_partition(partition)
            timestamp = fields.get("timestamp")
            check_timestamp(timestamp)
        except (TypeError, ValueError) as error:
            raise MalformedLineError(str(error)) from error
        headers = (*fixed.headers, *_headers(fields.get("headers")))
        key, value = _bytes_of(fields, "key"), _bytes_of(fields, "value")
        return Record(topic, value, key, partition, timestamp, headers)

    return record


def fixed_headers(options: Sequence[str]) -> tuple[Header, ...]:
    """Return the headers of NAME=VALUE options.

    Raises:
        ValueError: one has no name or no =.
    """
    headers = []
    for option in options:
        name, found, value = option.partition("=")
        if not found or not name:
            raise ValueError(f"--header takes NAME=VALUE, not {option!r}")
        headers.append((name, value.encode()))
    return tuple(headers)


def unescaped(text: str) -> bytes:
    r"""Return the bytes of an option in which \t, \n, \0, \\ and \xNN stand for what they do.

    Raises:
        ValueError: a backslash stands before something else.
    """
    found, rest = bytearray(), iter(text)
    for character in rest:
        if character != "\\":
            found += character.encode()
            continue
        code = next(rest, "")
        if code == "x":
            digits = next(rest, "") + next(rest, "")
            try:
                found += bytes.fromhex(digits)
            except ValueError:
                code = ""
            if len(digits) == 2 and code:
                continue
        elif code in _ESCAPES:
            found += _ESCAPES[code]
            continue
        raise ValueError(rf"{text!r}: a backslash begins \t, \n, \r, \0, \\ or \xNN")
    return bytes(found)


_ESCAPES = {"t": b"\t", "n": b"\n", "r": b"\r", "0": b"\0", "\\": b"\\"}


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        # As text: of bytes json would guess the encoding.
        found = json.loads(line.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MalformedLineError(f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise MalformedLineError(f"a JSON object is needed, not {_kind(found)}")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _bytes_of(fields: Mapping[str, Any], name: str) -> Bytes:
    binary = f"{name}_{_BINARY}"
    if binary in fields:
        if name in fields:
            raise MalformedLineError(f"{name} and {binary} are both there")
        return _decoded(fields[binary], binary)
    found = fields.get(name)
    if found is None:
        return None
    if not isinstance(found, str):
        try:
            found = json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError as error:
            raise MalformedLineError(f"{name}: {error}") from error
    return _encoded(found, name)


def _headers(found: object) -> list[Header]:
    """Return headers given as an object, or as pairs where a name repeats."""
    if found is None:
        return []
    pairs = list(found.items()) if isinstance(found, dict) else found
    if not isinstance(pairs, (list, tuple)):
        raise MalformedLineError(f"headers must be an object or pairs, not {_kind(found)}")
    headers: list[Header] = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise MalformedLineError(f"a header is a pair of name and value, not {pair!r:.60}")
        _encoded(pair[0], "a header's name")
        headers.append((pair[0], _header_value(*pair)))
    return headers


def _header_value(name: str, value: object) -> Bytes:
    if value is None:
        return None
    if isinstance(value, str):
        return _encoded(value, f"header {name!r}")
    if isinstance(value, dict) and value.keys() == {_BINARY}:
        return _decoded(value[_BINARY], f"header {name!r}")
    raise MalformedLineError(
        f'header {name!r} must be a string, null or {{"{_BINARY}": "..."}}, not {_kind(value)}'
    )


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MalformedLineError(f"{name}: half of a surrogate pair is no character") from error


def _decoded(text: object, name: str) -> Bytes:
    if text is None:
        return None
    if not isinstance(text, str):
        raise MalformedLineError(f"{name} must be a string, not {_kind(text)}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedLineError(f"{name} is no base64: {error}") from error


def _kind(found: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if found is None else names.get(type(found), "a number")
