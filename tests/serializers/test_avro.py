"""Avro, bare and with a registry; the bytes are those of confluent-kafka and of fastavro."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from typing import Any

import fastavro
import msgspec
import pydantic
import pytest
from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.avro import AsyncAvroSerializer
from confluent_kafka.serialization import SerializationContext as TheirContext

from aioproducer.errors import ConfigurationError, DeserializationError
from aioproducer.serializers import (
    AvroDeserializer,
    AvroSerializer,
    SchemaReference,
    UnfitValueError,
)
from tests.serializers.registries import context, troubled, written

LINE = {
    "type": "record",
    "name": "Line",
    "namespace": "shop",
    "fields": [{"name": "name", "type": "string"}, {"name": "price", "type": "double"}],
}
ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "lines", "type": {"type": "array", "items": LINE}, "default": []},
    ],
}
VALUE = {"id": 7, "note": "soon", "lines": [{"name": "tea", "price": 2.5}]}


def bare(value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(ORDER), value)
    return out.getvalue()


class TestBare:
    """Without a registry the bytes are Avro's alone."""

    @pytest.mark.parametrize("schema", [ORDER, json.dumps(ORDER)])
    async def test_they_are_fastavro_s_and_are_read_back(self, schema: Any) -> None:
        data = AvroSerializer(schema).serialize(VALUE, context())
        assert data == bare(VALUE)
        assert isinstance(data, bytes)
        reader = AvroDeserializer(schema=schema)
        assert await reader.deserialize(data, context()) == VALUE
        assert await reader.deserialize(None, context()) is None

    @pytest.mark.parametrize(
        "value",
        [
            dataclasses.make_dataclass("Order", ["id", "note", "lines"])(7, "soon", VALUE["lines"]),
            pydantic.create_model("Order", id=int, note=str, lines=list)(**VALUE),
            msgspec.defstruct("Order", ["id", "note", "lines"])(7, "soon", VALUE["lines"]),
        ],
        ids=["dataclass", "pydantic", "msgspec"],
    )
    def test_models_are_taken_apart(self, value: Any) -> None:
        assert AvroSerializer(ORDER).serialize(value, context()) == bare(VALUE)

    def test_or_by_a_function(self) -> None:
        serializer = AvroSerializer[int](ORDER, to_dict=lambda number: {"id": number})
        assert serializer.serialize(7, context()) == bare({"id": 7})

    @pytest.mark.parametrize("data", [b"", b"\xff", bare(VALUE) + b"x"])
    async def test_bytes_of_something_else_are_refused(self, data: bytes) -> None:
        with pytest.raises(DeserializationError, match="value"):
            await AvroDeserializer(schema=ORDER).deserialize(data, context())

    def test_to_read_them_the_schema_is_needed(self) -> None:
        with pytest.raises(ConfigurationError, match="schema of the writer"):
            AvroDeserializer()


class TestMisfits:
    """A value that does not fit is told by its field, and never printed."""

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"id": "secret"}, "shop.Order.id is of type str, not long"),
            ({}, "shop.Order.id is missing or None; long is wanted"),
            ({"id": 1, "note": 31337}, "shop.Order.note is of type int, not null or string"),
            ({"id": 1, "lines": [{"name": 31337, "price": 1.0}]}, "shop.Line.name is of type int"),
            ({"id": 2**70}, "shop.Order.id is of type int, not long"),
            (31337, "the value is of type int, not shop.Order"),
        ],
    )
    @pytest.mark.parametrize("registered", [False, True])
    async def test_the_field_is_named(self, value: Any, words: str, registered: bool) -> None:
        registry, client = troubled()
        serializer: AvroSerializer[Any] = AvroSerializer(ORDER, registry if registered else None)
        with pytest.raises(UnfitValueError, match=words) as caught:
            await written(serializer, value)
        assert "secret" not in str(caught.value)
        assert "31337" not in str(caught.value)
        # Nothing is registered for a value that does not fit.
        assert client.calls == []

    def test_fields_that_the_schema_lacks_are_refused_if_told_so(self) -> None:
        value = {**VALUE, "extra": 1}
        assert AvroSerializer(ORDER).serialize(value, context()) == bare(VALUE)
        with pytest.raises(UnfitValueError):
            AvroSerializer(ORDER, strict=True).serialize(value, context())

    @pytest.mark.parametrize(
        "schema", ["{", {"type": "recrod"}, {"type": "Missing"}, {"type": "enum", "name": "A B"}]
    )
    def test_a_schema_that_is_none_is_told_when_it_is_given(self, schema: Any) -> None:
        with pytest.raises(ConfigurationError, match="schema"):
            AvroSerializer(schema)


class TestRegistered:
    """With a registry, in Confluent's format."""

    async def theirs(self, client: Any, value: Any, schema: Any = ORDER, **conf: Any) -> bytes:
        conf = {"subject.name.strategy.type": "TOPIC", **conf}
        serializer = await AsyncAvroSerializer(  # type: ignore[misc]
            client, Schema(json.dumps(schema), "AVRO"), None, conf
        )
        data: bytes = await serializer(value, TheirContext("orders", "value", []))
        return data

    async def test_first_and_later_bytes_are_those_of_confluent_kafka(self) -> None:
        registry, client = troubled()
        serializer = AvroSerializer(ORDER, registry)
        expected = await self.theirs(client, VALUE)
        assert expected[:5] == b"\0\0\0\0\1"
        assert await written(serializer, VALUE) == expected
        assert serializer.serialize(VALUE, context()) == expected

    async def test_they_are_read_by_the_schema_that_they_name(self) -> None:
        registry, _ = troubled()
        data = await written(AvroSerializer(ORDER, registry), VALUE)
        assert await AvroDeserializer(registry).deserialize(data, context()) == VALUE

    async def test_bytes_stay_as_they_are(self) -> None:
        """As Confluent's serializers do it, for Java's: without Avro's length."""
        registry, client = troubled()
        serializer: AvroSerializer[Any] = AvroSerializer({"type": "bytes"}, registry)
        data = await written(serializer, b"raw")
        assert data == await self.theirs(client, b"raw", {"type": "bytes"}) == b"\0\0\0\0\1raw"
        with pytest.raises(UnfitValueError, match="bytes expected, not str"):
            serializer.serialize("raw", context())

    async def test_references_are_fetched_once_whoever_names_them(self) -> None:
        registry, client = troubled()
        await client.register_schema("line", Schema(json.dumps(LINE), "AVRO"))
        order = json.loads(json.dumps(ORDER))
        order["fields"][2]["type"]["items"] = "shop.Line"
        basket = {
            "type": "record",
            "name": "Basket",
            "namespace": "shop",
            "fields": [{"name": "first", "type": "shop.Order"}, {"name": "rest", "type": "Line"}],
        }
        line = SchemaReference("shop.Line", "line", 1)
        first = AvroSerializer(order, registry, references=[line])
        data = await written(first, VALUE, context("orders"))
        assert data[5:] == bare(VALUE)
        both = [SchemaReference("shop.Order", "orders-value", 1), line]
        second = AvroSerializer(basket, registry, references=both)
        value = {"first": VALUE, "rest": {"name": "milk", "price": 1.0}}
        data = await written(second, value, context("baskets"))
        assert await AvroDeserializer(registry).deserialize(data, context("baskets")) == value

    def test_references_without_a_registry_are_told(self) -> None:
        with pytest.raises(ConfigurationError, match="references need a registry"):
            AvroSerializer(ORDER, references=[SchemaReference("a", "b", 1)])

    async def test_a_reader_s_schema_resolves_what_is_older(self) -> None:
        registry, _ = troubled()
        data = await written(AvroSerializer(LINE, registry), {"name": "tea", "price": 2.5})
        newer = {**LINE, "fields": [*LINE["fields"], {"name": "n", "type": "int", "default": 1}]}
        reader = AvroDeserializer(registry, newer)
        found = await reader.deserialize(data, context())
        assert found == {"name": "tea", "price": 2.5, "n": 1}

    async def test_rules_stay_with_confluent_kafka_s_serializer(self) -> None:
        """Its rule is run for every record, not for the first alone."""
        from confluent_kafka.schema_registry import Rule, RuleKind, RuleMode, RuleSet
        from confluent_kafka.schema_registry.rule_registry import RuleRegistry
        from confluent_kafka.schema_registry.serde import RuleExecutor

        class Doubling(RuleExecutor):
            def type(self) -> str:
                return "AIOPRODUCER_DOUBLING"

            def transform(self, ctx: Any, message: Any) -> Any:
                return {**message, "id": message["id"] * 2}

        RuleRegistry.register_rule_executor(Doubling())
        rule = Rule(
            "double", None, RuleKind.TRANSFORM, RuleMode.WRITE, "AIOPRODUCER_DOUBLING",
            None, None, None, None, None, False,
        )  # fmt: skip
        registry, client = troubled()
        schema = Schema(json.dumps(ORDER), "AVRO", [], None, RuleSet(None, [rule]))
        await client.register_schema("orders-value", schema)
        serializer = AvroSerializer(ORDER, registry, use_latest=True)
        for _ in range(2):
            assert await written(serializer, VALUE) == b"\0\0\0\0\1" + bare({**VALUE, "id": 14})


def test_without_fastavro_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(ConfigurationError, match="fastavro") as caught:
        AvroSerializer(ORDER)
    assert caught.value.what_next == "pip install 'aioproducer[avro]'"
