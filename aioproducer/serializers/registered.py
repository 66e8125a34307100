"""What serializers with a schema registry have in common.

The first record of a topic goes through confluent-kafka's own serializer, which registers or looks
up the schema and says by which id it is known. From then on a record costs one dictionary look-up
and the encoding itself. Schemas with rules (encryption, conditions) stay with their serializer.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from aioproducer.errors import (
    ConfigurationError,
    DeserializationError,
    SchemaRegistryError,
)
from aioproducer.serializers.base import Bytes, SerializationContext
from aioproducer.serializers.schema_registry import SchemaReference, SchemaRegistry, modules
from aioproducer.serializers.single_flight import SingleFlight
from aioproducer.serializers.unfit import UnfitValueError

T = TypeVar("T")

Schema = str | Mapping[str, Any] | Sequence[Any]
"""A schema as JSON, or what JSON says."""

SubjectStrategy = (
    Literal["topic", "record", "topic_record"] | Callable[[SerializationContext, str | None], str]
)
"""Under which subject a schema is registered: "orders-value", the record's name, "orders-" and the
record's name, or what a function of the context and the record's name returns."""

Write = Callable[[Any], bytes]
_Encode = Callable[[Any, SerializationContext], Bytes]


class Registered(ABC, Generic[T]):
    """A serializer whose schema is in a registry, or that does without one."""

    def __init__(
        self,
        registry: SchemaRegistry | None,
        *,
        auto_register: bool | None,
        use_latest: bool,
        normalize: bool,
        subject: SubjectStrategy,
        schema_id: Literal["prefix", "header"],
    ) -> None:
        if auto_register and use_latest:
            raise ConfigurationError("auto_register and use_latest exclude each other")
        self._registry = registry
        self._use_latest = use_latest
        self._subject = subject
        self._in_header = schema_id == "header"
        self._conf = {
            "auto.register.schemas": not use_latest if auto_register is None else auto_register,
            "use.latest.version": use_latest,
            "normalize.schemas": normalize,
        }
        # Imported here and not when the first record comes: that takes half a second.
        self._theirs: Any = None if registry is None else self._import_theirs()
        self._encoders: dict[tuple[str, str], _Encode] = {}
        self._plain: Write | None = self._writer_alone() if registry is None else None
        self._flights = SingleFlight()
        self._troubles: dict[tuple[str, str], SchemaRegistryError] = {}

    def serialize(self, value: T, context: SerializationContext) -> Bytes:
        """Return the bytes of ``value``, or what will be them while its schema is looked up."""
        if self._plain is not None:
            return self._plain(value)
        encode = self._encoders.get((context.topic, context.field))
        if encode is None:
            return self._first(value, context)
        return encode(value, context)

    async def _first(self, value: T, context: SerializationContext) -> bytes:
        key = (context.topic, context.field)
        context.trouble = lambda: self._troubles.get(key)
        while True:
            encode = self._encoders.get(key)
            if encode is not None:
                answer: Any = encode(value, context)
                data: bytes = await answer if isinstance(answer, Awaitable) else answer
                return data
            await self._flights.ask(
                key,
                lambda: self._set_up(key, value, context),
                lambda error: isinstance(error, SchemaRegistryError),
            )

    async def _set_up(self, key: tuple[str, str], value: T, context: SerializationContext) -> None:
        """Have the schema registered or looked up, with ``value`` as the first to be written."""
        registry = self._registry
        assert registry is not None

        def ask(call: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
            return registry.ask(
                call, lambda error: self._troubles.__setitem__(key, error), (self, key)
            )

        try:
            first = _FirstRecord(context, self._subject, self._in_header)
            conf = {**self._conf, **first.conf}
            theirs = await ask(lambda: self._make_theirs(registry.client, conf))
            latest = await ask(lambda: self._latest(first)) if self._use_latest else None
            write = await ask(lambda: self._writer(registry.client, latest))
            has_rules = latest is not None and latest.rule_set is not None
            if not has_rules:
                # A value that does not fit registers nothing, and is told in our words.
                write(value)
            given = self._given(value)
            await ask(lambda: theirs(given, first.context))
            encode = self._with_rules(theirs) if has_rules else first.encoder(write)
            self._encoders[key] = encode
        finally:
            self._troubles.pop(key, None)

    async def _latest(self, first: _FirstRecord) -> Any:
        assert self._registry is not None
        subject = first.subject(self._record_name())
        return (await self._registry.client.get_latest_version(subject)).schema

    def _with_rules(self, theirs: Any) -> _Encode:
        registry = self._registry
        assert registry is not None

        async def encode(value: Any, context: SerializationContext) -> bytes:
            their_context = _their_context(context)
            given = self._given(value)
            data: bytes = await registry.ask(lambda: theirs(given, their_context))
            for name, content in their_context.headers:
                context.add_header(name, content)
            return data

        return encode

    @abstractmethod
    def _writer_alone(self) -> Write:
        """Return what writes a value where there is no registry."""

    @abstractmethod
    async def _writer(self, client: Any, latest: Any) -> Write:
        """Return what writes a value by the ``latest`` schema, or by the serializer's own."""

    @abstractmethod
    def _import_theirs(self) -> Any:
        """Return the class of confluent-kafka's serializer."""

    @abstractmethod
    async def _make_theirs(self, client: Any, conf: dict[str, Any]) -> Any:
        """Return confluent-kafka's serializer."""

    @abstractmethod
    def _record_name(self) -> str | None:
        """Return the name of the record that the schema describes."""

    def _given(self, value: Any) -> Any:
        """Return ``value`` as confluent-kafka's serializer takes it."""
        return value


class _FirstRecord:
    """What is learned as a first record goes through confluent-kafka's serializer."""

    def __init__(
        self, context: SerializationContext, strategy: SubjectStrategy, in_header: bool
    ) -> None:
        self.context = _their_context(context)
        self._ours = context
        self._strategy = strategy
        self._in_header = in_header
        self._schema_id: Any = None
        self.conf = {
            "subject.name.strategy": lambda _, name: self.subject(name),
            "schema.id.serializer": self._frame,
        }

    def subject(self, record_name: str | None) -> str:
        """Return the subject of the schema."""
        topic = self._ours.topic
        if callable(self._strategy):
            return self._strategy(self._ours, record_name)
        if self._strategy == "topic":
            return f"{topic}-{self._ours.field}"
        if record_name is None:
            raise UnfitValueError(
                f"the schema has no name, which subject={self._strategy!r} goes by"
            )
        return record_name if self._strategy == "record" else f"{topic}-{record_name}"

    def _frame(self, payload: bytes, context: Any, schema_id: Any) -> bytes:
        self._schema_id = schema_id
        if not self._in_header:
            return bytes(modules().prefix_schema_id_serializer(payload, context, schema_id))
        if schema_id.guid is None:
            raise SchemaRegistryError(
                "this schema registry gives its schemas no GUID, which the header form needs",
                what_next="Leave schema_id='prefix', or use a registry that has GUIDs.",
            )
        return bytes(modules().header_schema_id_serializer(payload, context, schema_id))

    def encoder(self, write: Write) -> _Encode:
        """Return what frames from now on what ``write`` writes."""
        if self._in_header:
            name, content = self.context.headers[-1]

            def encode_beside(value: Any, context: SerializationContext) -> bytes:
                context.add_header(name, content)
                return write(value)

            return encode_beside
        prefix: bytes = modules().prefix_schema_id_serializer(b"", self.context, self._schema_id)
        return lambda value, context: prefix + write(value)


def _their_context(context: SerializationContext) -> Any:
    return modules().SerializationContext(context.topic, context.field, [])


def as_text(schema: Schema) -> str:
    """Return ``schema`` as JSON; raises :exc:`ConfigurationError` for text that is none."""
    if not isinstance(schema, str):
        return json.dumps(schema)
    try:
        json.loads(schema)
    except ValueError as error:
        raise ConfigurationError(f"the schema is no JSON: {error}") from error
    return schema


def their_schema(text: str, kind: str, references: Sequence[SchemaReference]) -> Any:
    """Return a schema as confluent-kafka has it."""
    theirs = modules()
    named = [theirs.SchemaReference(each.name, each.subject, each.version) for each in references]
    return theirs.Schema(text, kind, named)


async def read_with(
    registry: SchemaRegistry,
    theirs: Callable[[], Awaitable[Any]],
    data: bytes,
    context: SerializationContext,
) -> Any:
    """Return what confluent-kafka's deserializer reads in ``data``.

    Raises :exc:`DeserializationError` for bytes that it cannot read.
    """
    if not data or (data[0] != 0 and not _has_guid(context)):
        first = f"begins with {data[0]}" if data else "is empty"
        raise DeserializationError(
            f"the {context.field} {first}, not with 0 and a schema's id: it was not written with"
            " a schema registry"
        )
    their_context = modules().SerializationContext(
        context.topic, context.field, list(context.headers)
    )

    async def call() -> Any:
        return await (await theirs())(data, their_context)

    try:
        return await registry.ask(call)
    except SchemaRegistryError:
        raise
    except Exception as error:
        # Whatever the libraries below make of broken bytes.
        raise DeserializationError(
            f"the {context.field} could not be read: {type(error).__name__}"
        ) from error


def _has_guid(context: SerializationContext) -> bool:
    name = f"__{context.field}_schema_id"
    return any(header == name for header, _ in context.headers)
