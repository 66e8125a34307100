"""JSON Schema, bare and with a registry."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.json_schema import AsyncJSONDeserializer
from confluent_kafka.serialization import SerializationContext as TheirContext
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from aioproducer.errors import ConfigurationError, DeserializationError
from aioproducer.serializers import (
    JsonSchemaDeserializer,
    JsonSchemaSerializer,
    SchemaReference,
    UnfitValueError,
)
from aioproducer.serializers.json_schema import _compiled
from tests.serializers.registries import context, troubled, written

MONEY = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Money",
    "type": "object",
    "properties": {"units": {"type": "integer", "minimum": 0}},
    "required": ["units"],
}
ORDER = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string"},
        "total": MONEY,
        "state": {"enum": ["open", "paid"]},
    },
    "required": ["id"],
    "additionalProperties": False,
}
VALUE = {"id": 7, "total": {"units": 5}}


@dataclasses.dataclass
class Order:
    id: int
    at: datetime.date


class TestBare:
    """Without a registry the bytes are the JSON alone."""

    async def test_it_is_written_and_read_back(self) -> None:
        data = JsonSchemaSerializer(ORDER).serialize(VALUE, context())
        assert data == b'{"id":7,"total":{"units":5}}'
        assert isinstance(data, bytes)
        reader = JsonSchemaDeserializer(schema=ORDER)
        assert await reader.deserialize(data, context()) == VALUE
        assert await reader.deserialize(None, context()) is None

    def test_what_is_checked_is_what_is_written(self) -> None:
        """A date is text by then."""
        value = Order(7, datetime.date(2026, 3, 1))
        serializer = JsonSchemaSerializer[Order](ORDER)
        assert serializer.serialize(value, context()) == b'{"id":7,"at":"2026-03-01"}'

    def test_other_types_are_made_plain(self) -> None:
        serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(
            {"type": "array"}, to_plain=sorted
        )
        assert serializer.serialize({2, 1}, context()) == b"[1,2]"

    def test_a_deterministic_one_sorts_names(self) -> None:
        serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(
            {"type": "object"}, deterministic=True
        )
        assert serializer.serialize({"b": 1, "a": 2}, context()) == b'{"a":2,"b":1}'

    @pytest.mark.parametrize(
        ("data", "words"),
        [(b"{", "no JSON"), (b'{"id":"secret"}', r"\$\.id is of type str, not integer")],
    )
    async def test_bytes_that_do_not_fit_are_refused(self, data: bytes, words: str) -> None:
        with pytest.raises(DeserializationError, match=words) as caught:
            await JsonSchemaDeserializer(schema=ORDER).deserialize(data, context())
        assert "secret" not in str(caught.value)

    def test_to_read_them_the_schema_is_needed(self) -> None:
        with pytest.raises(ConfigurationError, match="the schema is needed"):
            JsonSchemaDeserializer()


class TestMisfits:
    """A value that does not fit is told by its field, and never printed."""

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"id": "secret"}, r"\$\.id is of type str, not integer"),
            ({"at": "2026"}, r"\$ lacks id"),
            ({"id": 1, "total": {"units": -31337}}, r"\$\.total\.units does not fit the rule min"),
            ({"id": 1, "state": "secret"}, r'\$\.state does not fit the rule enum: \["open", "p'),
            ({"id": 1, "extra": "secret"}, r"\$ has fields of no schema: extra"),
            ([31337], r"\$ is of type list, not object"),
        ],
    )
    @pytest.mark.parametrize("registered", [False, True])
    async def test_the_field_is_named(self, value: Any, words: str, registered: bool) -> None:
        registry, client = troubled()
        serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(
            ORDER, registry if registered else None
        )
        with pytest.raises(UnfitValueError, match=words) as caught:
            await written(serializer, value)
        assert "secret" not in str(caught.value)
        assert "31337" not in str(caught.value)
        assert client.calls == []

    def test_unless_nothing_is_to_be_checked(self) -> None:
        serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(ORDER, validate=False)
        assert serializer.serialize({"id": "x"}, context()) == b'{"id":"x"}'

    @pytest.mark.parametrize("schema", ["{", {"type": "objekt"}])
    def test_a_schema_that_is_none_is_told_when_it_is_given(self, schema: Any) -> None:
        with pytest.raises(ConfigurationError, match="schema"):
            JsonSchemaSerializer(schema)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats(-2, 5) | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "at", "total", "units", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
SCHEMAS: list[dict[str, Any]] = [
    ORDER,
    {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 7, "multipleOf": 2},
    {"type": "array", "items": {"type": "number"}, "minItems": 1, "uniqueItems": True},
    {"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "boolean"}], "not": {"const": True}},
    {"properties": {"id": {"$ref": "#/definitions/n"}}, "definitions": {"n": {"type": "integer"}}},
    {"patternProperties": {"^i": {"type": "integer"}}, "minProperties": 1, "required": ["id"]},
    {"if": {"type": "integer"}, "then": {"maximum": 3}, "else": {"type": ["object", "string"]}},
]


class TestQuickCheck:
    """fastjsonschema lets values through; whatever it refuses jsonschema judges."""

    @given(st.sampled_from(SCHEMAS), anything)
    def test_what_it_lets_through_fits(self, schema: dict[str, Any], value: Any) -> None:
        schema = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
        fits = _compiled(json.dumps(schema))
        assert fits is not None
        plain = json.loads(json.dumps(value))
        assert fits(plain) == Draft7Validator(schema).is_valid(plain)

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "integer"},
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": []},
            True,
        ],
    )
    def test_other_drafts_are_left_to_jsonschema(self, schema: Any) -> None:
        assert _compiled(json.dumps(schema)) is None

    def test_it_is_used_where_it_is_there_and_missed_where_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert JsonSchemaSerializer(ORDER)._compiled is not None
        monkeypatch.setitem(sys.modules, "fastjsonschema", None)
        serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(ORDER)
        assert serializer._compiled is None
        assert serializer.serialize(VALUE, context()) == b'{"id":7,"total":{"units":5}}'
        with pytest.raises(UnfitValueError, match=r"\$\.id is of type str"):
            serializer.serialize({"id": "x"}, context())


class TestRegistered:
    """With a registry, in Confluent's format."""

    async def test_confluent_kafka_reads_first_and_later_ones(self) -> None:
        registry, client = troubled()
        serializer = JsonSchemaSerializer(ORDER, registry)
        conf = {"subject.name.strategy.type": "TOPIC"}
        reader = await AsyncJSONDeserializer(None, None, client, conf)  # type: ignore[misc]
        for data in (await written(serializer, VALUE), serializer.serialize(VALUE, context())):
            assert data[:5] == b"\0\0\0\0\1"
            assert await reader(data, TheirContext("orders", "value", [])) == VALUE
            assert await JsonSchemaDeserializer(registry).deserialize(data, context()) == VALUE

    async def test_references_are_followed(self) -> None:
        registry, client = troubled()
        await client.register_schema("money", Schema(json.dumps(MONEY), "JSON"))
        order = json.loads(json.dumps(ORDER))
        order["properties"]["total"] = {"$ref": "money.json"}
        serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(
            order, registry, references=[SchemaReference("money.json", "money", 1)]
        )
        assert (await written(serializer, VALUE))[5:] == b'{"id":7,"total":{"units":5}}'
        with pytest.raises(UnfitValueError, match=r"\$\.total\.units is of type str"):
            await written(serializer, {"id": 7, "total": {"units": "5"}})

    def test_references_without_a_registry_are_told(self) -> None:
        with pytest.raises(ConfigurationError, match="references need a registry"):
            JsonSchemaSerializer(ORDER, references=[SchemaReference("a", "b", 1)])


def test_without_jsonschema_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ConfigurationError) as caught:
        JsonSchemaSerializer(ORDER)
    assert caught.value.what_next == "pip install 'aioproducer[jsonschema]'"
