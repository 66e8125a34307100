"""Protobuf, bare and with a registry; the bytes are those of confluent-kafka's serializer."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from confluent_kafka.schema_registry.protobuf import AsyncProtobufSerializer
from confluent_kafka.serialization import SerializationContext as TheirContext

from aioproducer.errors import ConfigurationError, DeserializationError
from aioproducer.serializers import ProtobufDeserializer, ProtobufSerializer, UnfitValueError
from tests.serializers.messages import Customer, Line, Money, Order, Strict
from tests.serializers.registries import context, troubled, written

ORDER = Order(id=7, total=Money(currency="EUR", units=5), lines=[Line(name="tea")])


class TestBare:
    """Without a registry the bytes are the message alone."""

    async def test_they_are_protobuf_s_and_are_read_back(self) -> None:
        data = ProtobufSerializer(Order).serialize(ORDER, context())
        assert data == ORDER.SerializeToString()
        assert isinstance(data, bytes)
        reader = ProtobufDeserializer(Order)
        assert await reader.deserialize(data, context()) == ORDER
        assert await reader.deserialize(None, context()) is None

    def test_a_deterministic_one_gives_equal_messages_equal_bytes(self) -> None:
        names = [f"tag {number}" for number in range(50)]
        one, other = Order(), Order()
        for name in names:
            one.tags[name] = name
        for name in reversed(names):
            other.tags[name] = name
        serializer = ProtobufSerializer(Order, deterministic=True)
        assert serializer.serialize(one, context()) == serializer.serialize(other, context())

    async def test_bytes_of_something_else_are_refused(self) -> None:
        with pytest.raises(DeserializationError, match="the value is no Order"):
            await ProtobufDeserializer(Order).deserialize(b"\xff", context())


class TestMisfits:
    """A value that does not fit is told, and never printed."""

    async def test_another_message_is_refused(self) -> None:
        registry, client = troubled()
        for serializer in (ProtobufSerializer(Order), ProtobufSerializer(Order, registry)):
            with pytest.raises(UnfitValueError, match="Order expected, not Customer"):
                await written(serializer, Customer(name="secret"))
        assert client.calls == []

    def test_required_fields_are_named(self) -> None:
        with pytest.raises(UnfitValueError, match="required fields are missing: id"):
            ProtobufSerializer(Strict).serialize(Strict(), context())

    @pytest.mark.parametrize("given", [dict, ORDER, "Order"])
    def test_what_is_no_message_class_is_told_at_once(self, given: Any) -> None:
        with pytest.raises(ConfigurationError, match="message class"):
            ProtobufSerializer(given)


class TestRegistered:
    """With a registry, in Confluent's format, with the path of the message in its file."""

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            (Customer(name="Ada"), b"\0"),
            (ORDER, b"\x02\x02"),
            (Line(name="tea"), b"\x04\x02\x00"),
            (Money(units=1), b"\0"),
        ],
        ids=["first of its file", "second", "inside the second", "imported file"],
    )
    async def test_first_and_later_bytes_are_those_of_confluent_kafka(
        self, value: Any, path: bytes
    ) -> None:
        registry, client = troubled()
        conf = {"subject.name.strategy.type": "TOPIC"}
        theirs = await AsyncProtobufSerializer(type(value), client, conf)  # type: ignore[misc]
        expected = await theirs(value, TheirContext("orders", "value", []))
        serializer = ProtobufSerializer(type(value), registry)
        assert await written(serializer, value) == expected
        assert serializer.serialize(value, context()) == expected
        assert expected[5:].startswith(path + value.SerializeToString())

    async def test_what_its_file_imports_is_registered_too(self) -> None:
        registry, client = troubled()
        await written(ProtobufSerializer(Order, registry), ORDER)
        assert sorted(await client.get_subjects()) == [
            "aioproducer/tests/money.proto",
            "orders-value",
        ]
        latest = await client.get_latest_version("orders-value")
        assert [each.name for each in latest.schema.references] == ["aioproducer/tests/money.proto"]

    async def test_they_are_read_back(self) -> None:
        registry, _ = troubled()
        data = await written(ProtobufSerializer(Order, registry), ORDER)
        assert await ProtobufDeserializer(Order, registry).deserialize(data, context()) == ORDER


def test_without_protobuf_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.protobuf.message", None)
    with pytest.raises(ConfigurationError) as caught:
        ProtobufSerializer(Order)
    assert caught.value.what_next == "pip install 'aioproducer[protobuf]'"
