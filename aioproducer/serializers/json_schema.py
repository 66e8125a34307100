"""JSON Schema: values that are checked as they are written, with a schema registry or without."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal

from aioproducer.errors import ConfigurationError, DeserializationError
from aioproducer.serializers.base import SerializationContext
from aioproducer.serializers.json_values import JsonDeserializer, JsonSerializer
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
from aioproducer.serializers.unfit import UnfitBytesError, UnfitValueError

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

_LONGEST_RULE = 80


class JsonSchemaSerializer(Registered[T], Generic[T]):
    """Writes JSON that fits a schema.

    Values are those of :class:`JsonSerializer`; ``to_plain`` makes other ones plain. What is
    written is checked against the schema, unless ``validate`` is false; ``deterministic`` gives
    equal values equal bytes, as keys need. The other arguments are
    those of :class:`AvroSerializer`; without a ``registry`` the bytes are the bare JSON.
    Raises :exc:`ConfigurationError` for a schema that is none, and where jsonschema is missing.
    """

    def __init__(
        self,
        schema: Schema,
        registry: SchemaRegistry | None = None,
        *,
        to_plain: Callable[[Any], Any] | None = None,
        validate: bool = True,
        deterministic: bool = False,
        references: Sequence[SchemaReference] = (),
        auto_register: bool | None = None,
        use_latest: bool = False,
        normalize: bool = False,
        subject: SubjectStrategy = "topic",
        schema_id: Literal["prefix", "header"] = "prefix",
    ) -> None:
        self._text = as_text(schema)
        self._references = references
        self._json: JsonSerializer[Any] = JsonSerializer(
            default=to_plain, deterministic=deterministic
        )
        self._validate = validate
        _check(self._text)
        self._compiled = None if references else _compiled(self._text)
        super().__init__(
            registry,
            auto_register=auto_register,
            use_latest=use_latest,
            normalize=normalize,
            subject=subject,
            schema_id=schema_id,
        )
        self._conf["validate"] = validate

    def _writer_alone(self) -> Write:
        if self._references:
            raise ConfigurationError("references need a registry, which has those schemas")
        return self._write_by(_validator(self._text, {}), self._compiled)

    async def _writer(self, client: Any, latest: Any) -> Write:
        text, references, compiled = self._text, self._references, self._compiled
        if latest is not None:
            # Nothing is compiled of what comes over the network.
            text, references, compiled = latest.schema_str, latest.references or (), None
        named: dict[str, Any] = {}
        await _learn(client, references, named)
        return self._write_by(_validator(text, named), compiled)

    def _write_by(self, validator: Any, compiled: Callable[[Any], bool] | None) -> Write:
        def write(value: Any) -> bytes:
            data = self._json(value)
            if self._validate:
                # What is written, not what it was made of: a date is text by now.
                plain = json.loads(data)
                if compiled is None or not compiled(plain):
                    problem = next(validator.iter_errors(plain), None)
                    if problem is not None:
                        raise UnfitValueError(_words(problem))
            return data

        return write

    def _import_theirs(self) -> Any:
        from confluent_kafka.schema_registry.json_schema import AsyncJSONSerializer

        return AsyncJSONSerializer

    async def _make_theirs(self, client: Any, conf: dict[str, Any]) -> Any:
        schema = their_schema(self._text, "JSON", self._references)
        # Its constructor is a coroutine.
        return await self._theirs(schema, client, None, conf)

    def _record_name(self) -> str | None:
        title = json.loads(self._text).get("title")
        return None if title is None else str(title)

    def _given(self, value: Any) -> Any:
        return json.loads(self._json(value))


class JsonSchemaDeserializer:
    """Reads JSON and checks it: by the schema that it names, or without a registry ``schema``."""

    def __init__(
        self, registry: SchemaRegistry | None = None, schema: Schema | None = None
    ) -> None:
        _jsonschema()
        self._registry = registry
        self._theirs: Any = None
        self._text = None if schema is None else as_text(schema)
        self._read: JsonDeserializer[Any] = JsonDeserializer()
        if registry is None and self._text is None:
            raise ConfigurationError("without a registry the schema is needed")
        if registry is not None:
            from confluent_kafka.schema_registry.json_schema import AsyncJSONDeserializer

            self._class = AsyncJSONDeserializer
        self._validator = None if self._text is None else _validator(self._text, {})

    async def deserialize(self, data: bytes | None, context: SerializationContext) -> Any:
        """Return the value; raises :exc:`DeserializationError` for bytes that do not fit.

        Cancelling ends it.
        """
        if data is None:
            return None
        if self._registry is not None:
            return await read_with(self._registry, self._make_theirs, data, context)
        try:
            value = self._read(data)
        except UnfitBytesError as error:
            raise DeserializationError(f"the {context.field} is {error}") from error
        assert self._validator is not None
        problem = next(self._validator.iter_errors(value), None)
        if problem is not None:
            raise DeserializationError(f"the {context.field} does not fit: {_words(problem)}")
        return value

    async def _make_theirs(self) -> Any:
        assert self._registry is not None
        if self._theirs is None:
            conf = {"subject.name.strategy.type": "TOPIC"}
            self._theirs = await self._class(self._text, None, self._registry.client, conf)
        return self._theirs


def _check(text: str) -> None:
    jsonschema = _jsonschema()
    schema = json.loads(text)
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigurationError(
            f"the JSON schema is wrong at {error.json_path}: {error.message}"
        ) from error


_COMPILED = ("/draft-04/schema", "/draft-06/schema", "/draft-07/schema")


def _compiled(text: str) -> Callable[[Any], bool] | None:
    """Return a quick check of a schema that says of which draft it is, if there is one.

    What it does not let through jsonschema looks at again: that one judges, and has the words.
    """
    schema = json.loads(text)
    draft = schema.get("$schema", "") if isinstance(schema, dict) else ""
    if not str(draft).rstrip("#").endswith(_COMPILED):
        return None
    try:
        import fastjsonschema
    except ImportError:
        return None
    try:
        # Neither are defaults filled in nor formats checked: jsonschema does neither.
        check = fastjsonschema.compile(schema, use_default=False, use_formats=False)
    except Exception:  # noqa: BLE001 - what it cannot compile it need not check
        return None

    def fits(value: Any) -> bool:
        try:
            check(value)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return fits


def _validator(text: str, named: dict[str, Any]) -> Any:
    """Return what checks values against a schema, which may name others."""
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    schema = json.loads(text)
    resources = [
        (name, Resource.from_contents(content, default_specification=DRAFT7))
        for name, content in named.items()
    ]
    registry: Any = Registry().with_resources(resources)
    return _jsonschema().validators.validator_for(schema)(schema, registry=registry)


async def _learn(client: Any, references: Any, named: dict[str, Any]) -> None:
    for reference in references:
        if reference.name not in named:
            found = (await client.get_version(reference.subject, reference.version, True)).schema
            named[reference.name] = json.loads(found.schema_str)
            await _learn(client, found.references or (), named)


def _words(problem: Any) -> str:
    """Return where a value does not fit and by which rule, without the value."""
    where = problem.json_path
    rule, wanted, found = problem.validator, problem.validator_value, problem.instance
    if rule == "required" and isinstance(found, dict):
        absent = ", ".join(name for name in wanted if name not in found)
        return f"{where} lacks {absent}"
    if rule == "type":
        kinds = " or ".join(wanted) if isinstance(wanted, list) else wanted
        return f"{where} is of type {type(found).__name__}, not {kinds}"
    if rule == "additionalProperties" and isinstance(found, dict):
        known = problem.schema.get("properties", {})
        return f"{where} has fields of no schema: {', '.join(n for n in found if n not in known)}"
    told = json.dumps(wanted)
    told = told if len(told) <= _LONGEST_RULE else f"{told[:_LONGEST_RULE]}..."
    return f"{where} does not fit the rule {rule}: {told}"


def _jsonschema() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise missing(error, "pip install 'aioproducer[jsonschema]'") from error
    return jsonschema
