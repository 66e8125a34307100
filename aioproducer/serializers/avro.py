"""Avro by fastavro: with a schema registry in Confluent's format, or the bare encoding without."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal

from aioproducer.errors import ConfigurationError, DeserializationError
from aioproducer.serializers.base import SerializationContext
from aioproducer.serializers.registered import (
    Registered,
    Schema,
    SubjectStrategy,
    Write,
    as_text,
    read_with,
    their_schema,
)
from aioproducer.serializers.schema_registry import SchemaReference, SchemaRegistry, missing
from aioproducer.serializers.unfit import UnfitValueError

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

_LONGEST_TYPE = 60


class AvroSerializer(Registered[T], Generic[T]):
    """Writes Avro records, of dicts, dataclasses, pydantic and msgspec models, or by ``to_dict``.

    ``schema`` is JSON, or what JSON says. With a ``registry`` the schema is registered under its
    subject when the first record of a topic comes (``auto_register``), or must be there
    (``auto_register=False``), or the subject's newest one is used (``use_latest``); ``normalize``
    lets the registry take schemas for equal that differ in spelling. The schema's id stands before
    the value, or its GUID in a header (``schema_id="header"``). ``references`` are schemas in the
    registry that this one names. ``strict`` refuses fields that the schema does not have. Without
    a registry the bytes are the bare Avro encoding.

    Raises :exc:`ConfigurationError` for a schema that is none, and where fastavro is missing.
    """

    def __init__(
        self,
        schema: Schema,
        registry: SchemaRegistry | None = None,
        *,
        to_dict: Callable[[T], Mapping[str, Any]] | None = None,
        references: Sequence[SchemaReference] = (),
        strict: bool = False,
        auto_register: bool | None = None,
        use_latest: bool = False,
        normalize: bool = False,
        subject: SubjectStrategy = "topic",
        schema_id: Literal["prefix", "header"] = "prefix",
    ) -> None:
        self._fastavro = _fastavro()
        self._text = as_text(schema)
        self._to_dict = to_dict or _as_dict
        self._references = references
        self._strict = strict
        if not references:
            self._parsed(self._text, {})
        super().__init__(
            registry,
            auto_register=auto_register,
            use_latest=use_latest,
            normalize=normalize,
            subject=subject,
            schema_id=schema_id,
        )
        self._conf["validate.strict"] = strict

    def _parsed(self, text: str, named: dict[str, Any]) -> Any:
        try:
            return self._fastavro.parse_schema(json.loads(text), named_schemas=named)
        except (
            ValueError,
            TypeError,
            KeyError,
            self._fastavro.schema.SchemaParseException,
        ) as error:
            raise ConfigurationError(f"the Avro schema is wrong: {error!r}") from error
        except self._fastavro.schema.UnknownType as error:
            raise ConfigurationError(
                f"the Avro schema names a type that is not there: {error.name}"
            ) from error

    def _writer_alone(self) -> Write:
        if self._references:
            raise ConfigurationError("references need a registry, which has those schemas")
        return self._write_by(self._parsed(self._text, {}))

    async def _writer(self, client: Any, latest: Any) -> Write:
        text, references = self._text, self._references
        if latest is not None:
            text, references = latest.schema_str, latest.references or ()
        named: dict[str, Any] = {}
        await self._learn(client, references, named, set())
        return self._write_by(self._parsed(text, named))

    async def _learn(
        self, client: Any, references: Any, named: dict[str, Any], known: set[tuple[str, int]]
    ) -> None:
        """Parse the schemas that others name, each once, those that they name before them."""
        for reference in references:
            place = (reference.subject, reference.version)
            if place not in known:
                known.add(place)
                found = (await client.get_version(*place, True)).schema
                await self._learn(client, found.references or (), named, known)
                self._parsed(found.schema_str, named)

    def _write_by(self, schema: Any) -> Write:
        schemaless_writer, strict = self._fastavro.schemaless_writer, self._strict
        given = self._given
        kind = schema.get("type") if isinstance(schema, dict) else schema

        def write(value: Any) -> bytes:
            if value.__class__ is not dict:
                value = given(value)
            out = io.BytesIO()
            try:
                schemaless_writer(out, schema, value, strict=strict)
            except Exception as error:
                # Whatever fastavro makes of a value that is something else.
                raise _misfit(value, schema, error) from error
            return out.getvalue()

        def write_bytes(value: Any) -> bytes:
            if isinstance(value, (bytes, bytearray, memoryview)):
                return bytes(value)
            raise UnfitValueError(f"bytes expected, not {type(value).__name__}")

        # With a registry, Confluent's serializers write bytes as they are, without Avro's length.
        return write_bytes if kind == "bytes" and self._registry is not None else write

    def _import_theirs(self) -> Any:
        from confluent_kafka.schema_registry.avro import AsyncAvroSerializer

        return AsyncAvroSerializer

    async def _make_theirs(self, client: Any, conf: dict[str, Any]) -> Any:
        schema = their_schema(self._text, "AVRO", self._references)
        # Its constructor is a coroutine.
        return await self._theirs(client, schema, None, conf)

    def _record_name(self) -> str | None:
        return record_name(json.loads(self._text))

    def _given(self, value: Any) -> Any:
        return value if value.__class__ is dict else self._to_dict(value)


class AvroDeserializer:
    """Reads Avro: what is written with a registry by the schema that it names, else by ``schema``.

    With a registry ``schema`` is that of the reader, into which older and newer records are
    resolved; without one it is that of the writer.
    """

    def __init__(
        self,
        registry: SchemaRegistry | None = None,
        schema: Schema | None = None,
        *,
        references: Sequence[SchemaReference] = (),
    ) -> None:
        self._fastavro = _fastavro()
        self._registry = registry
        self._text = None if schema is None else as_text(schema)
        self._references = references
        self._theirs: Any = None
        self._schema: Any = None
        if registry is not None:
            from confluent_kafka.schema_registry.avro import AsyncAvroDeserializer

            self._class = AsyncAvroDeserializer
        else:
            if self._text is None:
                raise ConfigurationError("without a registry the schema of the writer is needed")
            self._schema = self._fastavro.parse_schema(json.loads(self._text))

    async def deserialize(self, data: bytes | None, context: SerializationContext) -> Any:
        """Return the value; raises :exc:`DeserializationError` for bytes that are none.

        Cancelling ends it.
        """
        if data is None:
            return None
        if self._registry is not None:
            return await read_with(self._registry, self._make_theirs, data, context)
        source = io.BytesIO(data)
        try:
            value = self._fastavro.schemaless_reader(source, self._schema, None)
        except Exception as error:
            # Whatever fastavro makes of bytes that are something else.
            raise DeserializationError(
                f"the {context.field} is no Avro of this schema: {type(error).__name__}"
            ) from error
        if source.read(1):
            raise DeserializationError(f"bytes are left behind the Avro of the {context.field}")
        return value

    async def _make_theirs(self) -> Any:
        assert self._registry is not None
        if self._theirs is None:
            reader = None
            if self._text is not None:
                reader = their_schema(self._text, "AVRO", self._references)
            client = self._registry.client
            self._theirs = await self._class(
                client, reader, None, False, {"subject.name.strategy.type": "TOPIC"}
            )
        return self._theirs


def record_name(schema: Any) -> str | None:
    """Return the full name of the record that an Avro schema describes, ``None`` for others."""
    if not isinstance(schema, dict) or "name" not in schema:
        return None
    name, namespace = schema["name"], schema.get("namespace")
    return name if not namespace or "." in name else f"{namespace}.{name}"


def _as_dict(value: Any) -> Any:
    kind = type(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(kind, "__pydantic_serializer__"):
        return value.model_dump()
    if hasattr(kind, "__struct_fields__"):
        return sys.modules["msgspec"].structs.asdict(value)
    return value


def _misfit(value: Any, schema: Any, error: Exception) -> UnfitValueError:
    """Return which field is wrong and what is wanted there, without the value."""
    from fastavro.validation import ValidationError, validate

    try:
        validate(value, schema, raise_errors=True)
    except ValidationError as found:
        problems = [each for each in found.errors if not isinstance(each, str)]
        if problems:
            first = problems[0]
            wanted = " or ".join(
                dict.fromkeys(
                    _type_name(each.schema) for each in problems if each.field == first.field
                )
            )
            where = first.field or "the value"
            if first.datum is None:
                return UnfitValueError(f"{where} is missing or None; {wanted} is wanted")
            return UnfitValueError(f"{where} is of type {type(first.datum).__name__}, not {wanted}")
    except Exception:  # noqa: BLE001 - the first error is told then
        pass
    return UnfitValueError(f"it does not fit the Avro schema: {type(error).__name__}")


def _type_name(schema: Any) -> str:
    if isinstance(schema, dict):
        schema = schema.get("name") or schema.get("logicalType") or schema.get("type")
    name = schema if isinstance(schema, str) else json.dumps(schema)
    return name if len(name) <= _LONGEST_TYPE else f"{name[:_LONGEST_TYPE]}..."


def _fastavro() -> Any:
    try:
        import fastavro
        import fastavro.schema
    except ImportError as error:
        raise missing(error, "pip install 'aioproducer[avro]'") from error
    return fastavro
