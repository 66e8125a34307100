"""Independent encoders of Kafka's messages, to hold ours against.

All take the same plain values: dictionaries keyed by the schema's field names in snake case. Fields
that a version does not have are left out by the oracle, which is how one set of values serves all
versions.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib
import importlib.resources
import io
import json
import re
import struct
import typing
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka.protocol import metadata as kafka_python_metadata  # type: ignore[import-untyped]
from kafka.protocol import producer as kafka_python_producer
from kafka.protocol import sasl as kafka_python_sasl
from kafka.protocol.admin import configs as kafka_python_configs  # type: ignore[import-untyped]
from kafka.protocol.admin import topics as kafka_python_topics
from kafka.protocol.admin import transactions as kafka_python_transactions
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer
from kio.static.primitive import TZAware, i32Timedelta, i64Timedelta

Values = Mapping[str, Any]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


# --- kafka-python -------------------------------------------------------------------------------


_KAFKA_PYTHON_MODULES = (
    kafka_python_metadata,
    kafka_python_producer,
    kafka_python_sasl,
    kafka_python_configs,
    kafka_python_topics,
    kafka_python_transactions,
)


def has_kafka_python(name: str) -> bool:
    """Return whether kafka-python knows the message at all: of KIP-714 it knows none."""
    return any(hasattr(module, name) for module in _KAFKA_PYTHON_MODULES)


def _kafka_python_class(name: str) -> Any:
    for module in _KAFKA_PYTHON_MODULES:
        if hasattr(module, name):
            return getattr(module, name)
    raise AssertionError(f"kafka-python has no {name}")


def _fill(data_class: Any, version: int, values: Values) -> Any:
    given = {}
    for name, field in data_class.fields.items():
        if name not in values or not field.for_version_q(version):
            continue
        value = values[name]
        if field.is_struct_array() and value is not None:
            value = [_fill(field.data_class, version, element) for element in value]
        elif field.is_struct() and value is not None:
            value = _fill(field.data_class, version, value)
        elif isinstance(value, bytes) and len(value) == 16 and name == "topic_id":
            value = uuid.UUID(bytes=value)
        given[name] = value
    return data_class(version=version, **given)


def kafka_python_bytes(name: str, version: int, values: Values) -> bytes:
    return bytes(_fill(_kafka_python_class(name), version, values).encode(version=version))


def kafka_python_reencoded(name: str, version: int, data: bytes) -> bytes:
    """Return what kafka-python makes of ``data``, encoded again."""
    message = _kafka_python_class(name).decode(data, version=version)
    message._header = None  # decoding makes the message without it, encoding looks at it
    return bytes(message.encode(version=version))


# --- kio ----------------------------------------------------------------------------------------


def _kio_class(name: str, version: int) -> Any:
    stem, kind = re.fullmatch(r"(\w+)(Request|Response)", name).groups()  # type: ignore[union-attr]
    module = f"kio.schema.{_snake(stem)}.v{version}.{kind.lower()}"
    return getattr(importlib.import_module(module), name)


def _kio_value(hint: Any, kafka_type: str | None, value: Any) -> Any:
    match kafka_type:
        case "timedelta_i32" | "timedelta_i64":
            wide = i64Timedelta if kafka_type == "timedelta_i64" else i32Timedelta
            return wide.parse(datetime.timedelta(milliseconds=value))
        case "datetime_i64":
            if value == -1:
                return None
            return TZAware.parse(datetime.datetime.fromtimestamp(value // 1000, datetime.UTC))
        case "error_code":
            return ErrorCode(value)
        case "uuid":
            return None if value == bytes(16) else uuid.UUID(bytes=value)
    if value is None:
        return None
    arguments = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) is not tuple and arguments and not isinstance(hint, type):
        hint = arguments[0]  # an optional type
    if typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        return tuple(_kio_value(element, None, one) for one in value)
    if dataclasses.is_dataclass(hint):
        return _kio_fill(hint, value)
    return value


def _kio_fill(entity: Any, values: Values) -> Any:
    hints = typing.get_type_hints(entity)
    given = {}
    for field in dataclasses.fields(entity):
        name = field.name if field.name in values else f"{field.name}_ms"
        if name not in values:
            continue
        kafka_type = field.metadata.get("kafka_type")
        given[field.name] = _kio_value(hints[field.name], kafka_type, values[name])
    return entity(**given)


def kio_entity(name: str, version: int, values: Values) -> Any:
    return _kio_fill(_kio_class(name, version), values)


def kio_bytes(name: str, version: int, values: Values) -> bytes:
    entity = kio_entity(name, version, values)
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def kio_decoded(name: str, version: int, data: bytes) -> Any:
    """Return the entity that kio reads from the whole of ``data``."""
    entity, size = entity_reader(_kio_class(name, version))(data, 0)
    assert size == len(data)
    return entity


# --- Apache's schemas, interpreted --------------------------------------------------------------
# Neither package can write what a newer broker might send: unknown error codes and unknown tags.

_SCALARS = {"int8": ">b", "int16": ">h", "int32": ">i", "int64": ">q", "bool": ">?"}


def _uvarint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low]) if not rest else bytes([low | 0x80]) + _uvarint(rest)


def _within(versions: str | None, version: int) -> bool:
    if versions is None or versions == "none":
        return False
    low, _, high = versions.partition("-")
    if low.endswith("+"):
        return version >= int(low[:-1])
    return int(low) <= version <= int(high or low)


class _SchemaEncoder:
    def __init__(self, version: int, flexible: bool, unknown: Mapping[int, bytes]) -> None:
        self.version, self.flexible, self.unknown = version, flexible, unknown

    def sized(self, data: bytes | None, layout: str) -> bytes:
        if self.flexible:
            return b"\0" if data is None else _uvarint(len(data) + 1) + data
        return struct.pack(layout, -1) if data is None else struct.pack(layout, len(data)) + data

    def value(self, kind: str, fields: Any, value: Any) -> bytes:
        if kind in _SCALARS:
            return struct.pack(_SCALARS[kind], value)
        if kind == "uuid":
            return bytes(value)
        if kind == "bytes":
            return self.sized(value, ">i")
        if kind == "string":
            return self.sized(None if value is None else value.encode(), ">h")
        if kind.startswith("[]"):
            if value is None:
                return b"\0" if self.flexible else struct.pack(">i", -1)
            count = len(value)
            head = _uvarint(count + 1) if self.flexible else struct.pack(">i", count)
            return head + b"".join(self.value(kind[2:], fields, one) for one in value)
        return self.fields(fields, value)

    def fields(self, fields: Any, values: Values) -> bytes:
        out, tagged = b"", dict(self.unknown)
        for field in fields:
            if not _within(field["versions"], self.version):
                continue
            name = _snake(field["name"])
            is_tag = _within(field.get("taggedVersions"), self.version)
            if is_tag and name not in values:
                continue
            default = {"string": None, "int32": -(2**31)}.get(field["type"], False)
            data = self.value(field["type"], field.get("fields"), values.get(name, default))
            if is_tag:
                tagged[field["tag"]] = data
            else:
                out += data
        if not self.flexible:
            return out
        sections = [
            _uvarint(tag) + _uvarint(len(data)) + data for tag, data in sorted(tagged.items())
        ]
        return out + _uvarint(len(tagged)) + b"".join(sections)


def schema_of(name: str) -> Any:
    """Return Apache's schema of a message, from kafka-python or from the few beside this file."""
    own = Path(__file__).parent / "schemas" / f"{name}.json"
    folder = importlib.resources.files("kafka.protocol.schemas.resources")
    text = own.read_text() if own.exists() else (folder / f"{name}.json").read_text()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


@functools.cache
def _schema(name: str) -> Any:
    schema = schema_of(name)
    _spell_out(schema["fields"], {one["name"]: one for one in schema.get("commonStructs", ())})
    return schema


def _spell_out(fields: list[Any], common: Mapping[str, Any]) -> None:
    """Put the fields of structures that are described once into every place that names them."""
    for field in fields:
        struct_ = common.get(field["type"].removeprefix("[]"))
        if struct_ is not None:
            field["fields"] = struct_["fields"]
        _spell_out(field.get("fields", []), common)


def schema_bytes(
    name: str, version: int, values: Values, unknown: Mapping[int, bytes] | None = None
) -> bytes:
    """Encode by the schema, with the ``unknown`` tags in every place that may carry tags."""
    schema = _schema(name)
    flexible = _within(schema["flexibleVersions"], version)
    return _SchemaEncoder(version, flexible, unknown or {}).fields(schema["fields"], values)
