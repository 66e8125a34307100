"""Registering, looking up, caching and failing: alike for every format with a schema."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import attrs
import pytest
from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.error import OAuthTokenError
from confluent_kafka.schema_registry.error import SchemaRegistryError as TheirError

from aioproducer.errors import (
    ConfigurationError,
    DeserializationError,
    SchemaRegistryError,
    SerializationError,
    SerializerTimeoutError,
)
from aioproducer.serializers import (
    AvroDeserializer,
    AvroSerializer,
    JsonSchemaDeserializer,
    JsonSchemaSerializer,
    ProtobufDeserializer,
    ProtobufSerializer,
    SerializationContext,
    UnfitValueError,
)
from tests.fake_broker import FakeCluster
from tests.runtime.world import now, outcomes, running, values_of
from tests.serializers.messages import Customer
from tests.serializers.registries import context, troubled, written

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
VALUE = {"id": 7}
DATA = b"\0\0\0\0\1\x0e"
INCOMPATIBLE = TheirError(409, 409, "new field without a default")
DOWN = TheirError(503, 50301, "not now")


class TestRegistering:
    """The schema is asked for once for each topic and field."""

    async def test_a_cached_schema_is_not_asked_for(self) -> None:
        registry, client = troubled()
        serializer = AvroSerializer(ORDER, registry)
        assert await written(serializer, VALUE) == DATA
        for _ in range(5):
            # At once, without an await: no registry is asked.
            assert serializer.serialize(VALUE, context()) == DATA
        assert client.calls == ["register"]

    async def test_many_first_records_ask_once(self) -> None:
        registry, client = troubled()
        serializer = AvroSerializer(ORDER, registry)
        data = await asyncio.gather(*[written(serializer, {"id": n}) for n in range(20)])
        assert [each[5:] for each in data] == [bytes([2 * n]) for n in range(20)]
        assert client.calls == ["register"]

    async def test_each_topic_and_field_has_its_own_subject_and_id(self) -> None:
        registry, client = troubled()
        serializer = AvroSerializer(ORDER, registry)
        keys = await written(serializer, VALUE, context("orders", "key"))
        values = await written(serializer, VALUE, context("orders", "value"))
        other = await written(serializer, VALUE, context("other", "value"))
        assert [each[4] for each in (keys, values, other)] == [1, 2, 3]
        assert sorted(await client.get_subjects()) == ["orders-key", "orders-value", "other-value"]
        # And keeps it, whichever was asked for last.
        assert serializer.serialize(VALUE, context("orders", "key")) == keys

    @pytest.mark.parametrize(
        ("strategy", "subject"),
        [
            ("topic", "orders-value"),
            ("record", "shop.Order"),
            ("topic_record", "orders-shop.Order"),
            (lambda asked, name: f"{asked.field} of {name}", "value of shop.Order"),
        ],
    )
    @pytest.mark.parametrize("use_latest", [False, True])
    async def test_the_subject_goes_by_its_strategy(
        self, strategy: Any, subject: str, use_latest: bool
    ) -> None:
        registry, client = troubled()
        schema = {**ORDER, "namespace": "shop"}
        if use_latest:
            await client.register_schema(subject, Schema(json.dumps(schema), "AVRO"))
        serializer = AvroSerializer(schema, registry, subject=strategy, use_latest=use_latest)
        await written(serializer, VALUE)
        assert await client.get_subjects() == [subject]

    async def test_a_schema_without_a_name_has_no_subject_by_name(self) -> None:
        registry, _ = troubled()
        serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(
            {"type": "integer"}, registry, subject="record"
        )
        with pytest.raises(UnfitValueError, match="the schema has no name"):
            await written(serializer, 5)

    async def test_without_auto_register_it_must_be_there(self) -> None:
        registry, client = troubled()
        serializer = AvroSerializer(ORDER, registry, auto_register=False)
        with pytest.raises(SchemaRegistryError, match="does not know it") as caught:
            await written(serializer, VALUE)
        assert (caught.value.status, caught.value.retriable) == (404, False)
        await client.register_schema("orders-value", Schema(json.dumps(ORDER), "AVRO"))
        await asyncio.sleep(1)
        assert await written(serializer, VALUE) == DATA
        assert client.calls == ["lookup", "register", "lookup"]

    async def test_the_newest_of_a_subject_may_be_used(self) -> None:
        registry, client = troubled()
        newer = {**ORDER, "fields": [*ORDER["fields"], {"name": "n", "type": "int", "default": 9}]}
        for schema in (ORDER, newer):
            await client.register_schema("orders-value", Schema(json.dumps(schema), "AVRO"))
        serializer = AvroSerializer(ORDER, registry, use_latest=True)
        data = await written(serializer, VALUE)
        assert data == b"\0\0\0\0\2\x0e\x12"
        assert await AvroDeserializer(registry).deserialize(data, context()) == {"id": 7, "n": 9}

    def test_who_uses_the_newest_registers_none(self) -> None:
        registry, _ = troubled()
        with pytest.raises(ConfigurationError, match="exclude each other"):
            AvroSerializer(ORDER, registry, use_latest=True, auto_register=True)

    async def test_normalizing_is_left_to_the_registry(self) -> None:
        registry, client = troubled()
        asked: list[bool] = []
        register = client.register_schema_full_response

        async def record(*args: Any, normalize_schemas: bool = False) -> Any:
            asked.append(normalize_schemas)
            return await register(*args, normalize_schemas=normalize_schemas)

        client.register_schema_full_response = record  # type: ignore[method-assign]
        await written(AvroSerializer(ORDER, registry, normalize=True), VALUE)
        assert asked == [True]


class TestHeader:
    """The newer form: a GUID in a header, and nothing before the value."""

    @pytest.mark.parametrize("field", ["key", "value"])
    @pytest.mark.parametrize("kind", ["avro", "json", "protobuf"])
    async def test_it_is_read_back_by_the_header_alone(self, kind: str, field: str) -> None:
        registry, _ = troubled()
        made: dict[str, tuple[Any, Any, Any]] = {
            "avro": (
                AvroSerializer(ORDER, registry, schema_id="header"),
                {"id": 2**40},
                AvroDeserializer(registry),
            ),
            "json": (
                JsonSchemaSerializer({"type": "object"}, registry, schema_id="header"),
                VALUE,
                JsonSchemaDeserializer(registry),
            ),
            "protobuf": (
                ProtobufSerializer(Customer, registry, schema_id="header"),
                Customer(name="Ada Lovelace"),
                ProtobufDeserializer(Customer, registry),
            ),
        }
        serializer, value, reader = made[kind]
        for _ in range(2):
            asked = context("orders", field)
            data = await written(serializer, value, asked)
            assert data[:1] != b"\0"
            ((name, content),) = asked.added
            assert name == f"__{field}_schema_id"
            assert content is not None
            assert content[0] == 1
            uuid.UUID(bytes=content[1:17])
            read = SerializationContext("orders", asked.field, asked.added)
            assert await reader.deserialize(data, read) == value

    async def test_a_registry_without_guids_is_told(self) -> None:
        registry, client = troubled()
        register = client.register_schema_full_response

        async def without(*args: Any, **kwargs: Any) -> Any:
            return attrs.evolve(await register(*args, **kwargs), guid=None)

        client.register_schema_full_response = without  # type: ignore[method-assign]
        serializer = AvroSerializer(ORDER, registry, schema_id="header")
        with pytest.raises(SchemaRegistryError, match="no GUID") as caught:
            await written(serializer, VALUE)
        assert "schema_id='prefix'" in caught.value.what_next


class TestFailures:
    """What the registry refuses fails those who ask within a second, and nobody after them."""

    async def test_a_failed_registration_is_remembered_for_a_second(self) -> None:
        registry, client = troubled()
        client.failures = [INCOMPATIBLE]
        serializer = AvroSerializer(ORDER, registry)
        for _ in range(9):
            with pytest.raises(SchemaRegistryError, match="not compatible") as caught:
                await written(serializer, VALUE)
            assert caught.value.status == 409
            await asyncio.sleep(0.1)
        assert client.calls == ["register"]
        await asyncio.sleep(0.1)
        assert await written(serializer, VALUE) == DATA

    async def test_what_is_refused_of_one_topic_is_asked_of_another(self) -> None:
        registry, client = troubled()
        client.failures = [INCOMPATIBLE]
        serializer = AvroSerializer(ORDER, registry)
        with pytest.raises(SchemaRegistryError, match="not compatible"):
            await written(serializer, VALUE)
        assert await written(serializer, VALUE, context("payments")) == DATA

    @pytest.mark.parametrize(
        "refusal", [TheirError(401, 401, "Unauthorized"), OAuthTokenError("none")]
    )
    async def test_refused_credentials_are_shown_once_a_second_whatever_is_asked(
        self, refusal: Exception
    ) -> None:
        registry, client = troubled()
        client.always = refusal
        serializers = [AvroSerializer(ORDER, registry) for _ in range(2)]
        for number in range(40):
            with pytest.raises(SchemaRegistryError):
                await written(serializers[number % 2], VALUE, context(f"topic-{number}"))
            await asyncio.sleep(0.1)
        assert 3 <= len(client.calls) <= 4
        client.always = None
        await asyncio.sleep(1)
        assert await written(serializers[0], VALUE) == DATA

    async def test_all_who_waited_for_it_are_told(self) -> None:
        registry, client = troubled()
        client.failures = [INCOMPATIBLE]
        serializer = AvroSerializer(ORDER, registry)
        asking = [written(serializer, VALUE) for _ in range(5)]
        failures = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(failure) for failure in failures] == [SchemaRegistryError] * 5
        assert client.calls == ["register"]

    async def test_a_bad_first_value_fails_alone(self) -> None:
        registry, client = troubled()
        serializer: AvroSerializer[Any] = AvroSerializer(ORDER, registry)
        asking = [written(serializer, value) for value in ({"id": "x"}, VALUE, {"id": "y"}, VALUE)]
        told = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in told] == [UnfitValueError, bytes, UnfitValueError, bytes]
        assert client.calls == ["register"]

    async def test_what_passes_is_asked_again(self) -> None:
        registry, client = troubled()
        client.failures = [DOWN, DOWN, OSError("refused")]
        started = now()
        assert await written(AvroSerializer(ORDER, registry), VALUE) == DATA
        assert 0.3 < now() - started < 2
        assert client.calls == ["register"] * 4


class TestInAProducer:
    """The record waits in its place, for no longer than max.block.ms."""

    def cluster(self) -> FakeCluster:
        cluster = FakeCluster(latency=lambda: 0.01)
        cluster.add_topic("orders")
        return cluster

    async def test_a_registry_that_is_down_bounds_the_wait_and_is_named(self) -> None:
        registry, client = troubled()
        client.always = DOWN
        serializer = AvroSerializer(ORDER, registry)
        options: dict[str, Any] = {"value_serializer": serializer, "max_block_ms": 3000}
        async with running(self.cluster(), **options) as producer:
            started = now()
            sent = [producer.send("orders", VALUE) for _ in range(3)]
            failures = await outcomes(sent)
            assert now() - started == pytest.approx(3, abs=0.05)
            for failure in failures:
                assert isinstance(failure, SerializerTimeoutError)
                assert isinstance(failure.__cause__, SchemaRegistryError)
                assert failure.retriable
                assert "cannot answer just now: not now" in str(failure)

    async def test_one_that_comes_back_loses_nothing(self) -> None:
        registry, client = troubled()
        client.failures = [DOWN] * 5
        cluster = self.cluster()
        async with running(cluster, value_serializer=AvroSerializer(ORDER, registry)) as producer:
            sent = [producer.send("orders", {"id": number}) for number in range(5)]
            await asyncio.gather(*sent)
            await producer.send("orders", {"id": 5})
        values = [value[5:] for value in values_of(cluster, "orders") if value]
        assert values == [bytes([2 * number]) for number in range(6)]

    async def test_a_refusal_is_the_record_s_error(self) -> None:
        registry, client = troubled()
        client.failures = [INCOMPATIBLE]
        serializer = AvroSerializer(ORDER, registry)
        async with running(self.cluster(), value_serializer=serializer) as producer:
            with pytest.raises(SerializationError, match="without a default") as caught:
                await producer.send("orders", VALUE)
            assert isinstance(caught.value, SchemaRegistryError)
            assert caught.value.topic == "orders"
            assert not caught.value.retriable
            await asyncio.sleep(1)
            assert (await producer.send("orders", VALUE)).offset == 0


class TestReading:
    """Bytes of somebody else."""

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"\7\0\0\0\1\x0e", "begins with 7, not with 0 and a schema's id"),
            (b'{"id":7}', "begins with 123"),
            (b"", "is empty"),
            (b"\0\0\0", "could not be read"),
            (b"\0\0\0\0\1\xff\xff\xff", "could not be read"),
        ],
    )
    async def test_they_are_told_and_not_printed(self, data: bytes, words: str) -> None:
        registry, _ = troubled()
        await written(AvroSerializer(ORDER, registry), VALUE)
        with pytest.raises(DeserializationError, match=words):
            await AvroDeserializer(registry).deserialize(data, context())

    async def test_a_schema_that_nobody_registered_is_told(self) -> None:
        registry, _ = troubled()
        with pytest.raises(SchemaRegistryError, match="does not know it"):
            await AvroDeserializer(registry).deserialize(b"\0\0\0\0\x63\x0e", context())

    @pytest.mark.parametrize("kind", ["avro", "json", "protobuf"])
    async def test_null_is_null(self, kind: str) -> None:
        registry, _ = troubled()
        made: dict[str, Any] = {
            "avro": AvroDeserializer(registry),
            "json": JsonSchemaDeserializer(registry),
            "protobuf": ProtobufDeserializer(Customer, registry),
        }
        assert await made[kind].deserialize(None, context()) is None
