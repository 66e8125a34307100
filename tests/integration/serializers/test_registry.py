"""A real schema registry: registering, evolving, refusing, and being away."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaRegistryClient,
    ServerConfig,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer as TheirAvro
from confluent_kafka.schema_registry.json_schema import JSONDeserializer as TheirJson
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer as TheirProtobuf
from confluent_kafka.serialization import SerializationContext as TheirContext

from aioproducer import AsyncProducer, SchemaRegistryError, SerializerTimeoutError
from aioproducer.serializers import (
    AvroDeserializer,
    AvroSerializer,
    JsonSchemaSerializer,
    ProtobufDeserializer,
    ProtobufSerializer,
    SchemaReference,
    SchemaRegistry,
    SerializationContext,
    UnfitValueError,
)
from aioproducer.testing.java_cluster import free_ports
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory
from tests.serializers.messages import Money, Order

LINE = {
    "type": "record",
    "name": "Line",
    "namespace": "shop",
    "fields": [{"name": "name", "type": "string"}],
}
V1 = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [{"name": "id", "type": "long"}],
}
V2 = {**V1, "fields": [*V1["fields"], {"name": "note", "type": "string", "default": "-"}]}
BROKEN = {**V1, "fields": [*V1["fields"], {"name": "note", "type": "string"}]}


@pytest.fixture
def name() -> str:
    return f"orders-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def registry(schema_registry: str) -> AsyncIterator[SchemaRegistry]:
    async with SchemaRegistry(schema_registry, {"timeout": 120}) as registry:
        yield registry


async def written(serializer: Any, value: object, topic: str) -> Any:
    answer = serializer.serialize(value, SerializationContext(topic, "value"))
    return await answer if inspect.isawaitable(answer) else answer


async def read(deserializer: Any, data: bytes, topic: str) -> Any:
    return await deserializer.deserialize(data, SerializationContext(topic, "value"))


async def by_confluent(schema_registry: str, kind: str, data: bytes, topic: str) -> Any:
    """Return what confluent-kafka's own deserializer reads, with a client of its own."""

    def work() -> Any:
        client = SchemaRegistryClient({"url": schema_registry, "timeout": 120})
        conf = {"subject.name.strategy.type": "TOPIC"}
        readers: dict[str, Any] = {
            "avro": lambda: TheirAvro(client, conf=conf),
            "json": lambda: TheirJson(None, schema_registry_client=client, conf=conf),
            "protobuf": lambda: TheirProtobuf(
                Order, {**conf, "use.deprecated.format": False}, client
            ),
        }
        try:
            return readers[kind]()(data, TheirContext(topic, "value", []))
        finally:
            client._rest_client.session.close()

    return await asyncio.to_thread(work)


async def test_avro_is_read_by_confluent_kafka(
    registry: SchemaRegistry, schema_registry: str, name: str
) -> None:
    serializer = AvroSerializer(V2, registry)
    for number in (1, 2):
        value = {"id": number, "note": "ö"}
        data = await written(serializer, value, name)
        assert await by_confluent(schema_registry, "avro", data, name) == value


async def test_json_schema_is_read_by_confluent_kafka(
    registry: SchemaRegistry, schema_registry: str, name: str
) -> None:
    schema = {"title": "Order", "type": "object", "properties": {"id": {"type": "integer"}}}
    serializer: JsonSchemaSerializer[Any] = JsonSchemaSerializer(schema, registry)
    for number in (1, 2):
        data = await written(serializer, {"id": number}, name)
        assert await by_confluent(schema_registry, "json", data, name) == {"id": number}
    with pytest.raises(UnfitValueError, match=r"\$\.id is of type str"):
        await written(serializer, {"id": "x"}, name)


async def test_protobuf_with_an_import_is_read_by_confluent_kafka(
    registry: SchemaRegistry, schema_registry: str, name: str
) -> None:
    serializer = ProtobufSerializer(Order, registry)
    for number in (1, 2):
        value = Order(id=number, total=Money(units=5))
        data = await written(serializer, value, name)
        assert await by_confluent(schema_registry, "protobuf", data, name) == value
        assert await read(ProtobufDeserializer(Order, registry), data, name) == value


async def test_references_are_resolved_by_the_registry(
    registry: SchemaRegistry, schema_registry: str, name: str
) -> None:
    await registry.client.register_schema(
        f"line-{name}", Schema(str(LINE).replace("'", '"'), "AVRO")
    )
    field = {"name": "lines", "type": {"type": "array", "items": "shop.Line"}}
    order = {**V1, "fields": [*V1["fields"], field]}
    reference = SchemaReference("shop.Line", f"line-{name}", 1)
    serializer = AvroSerializer(order, registry, references=[reference])
    value = {"id": 7, "lines": [{"name": "tea"}]}
    await written(serializer, value, name)
    data = await written(serializer, value, name)
    assert await by_confluent(schema_registry, "avro", data, name) == value


class TestEvolution:
    """Apicurio checks no compatibility until a subject asks for it."""

    async def ask_for_it(self, registry: SchemaRegistry, name: str) -> None:
        config = ServerConfig(compatibility=ConfigCompatibilityLevel.BACKWARD)
        await registry.client.set_config(f"{name}-value", config)

    async def test_a_compatible_change_is_read_across_versions(
        self, registry: SchemaRegistry, name: str
    ) -> None:
        old = await written(AvroSerializer(V1, registry), {"id": 1}, name)
        await self.ask_for_it(registry, name)
        new = await written(AvroSerializer(V2, registry), {"id": 2, "note": "n"}, name)
        assert old[:5] != new[:5]
        by_new = AvroDeserializer(registry, V2)
        assert await read(by_new, old, name) == {"id": 1, "note": "-"}
        by_old = AvroDeserializer(registry, V1)
        assert await read(by_old, new, name) == {"id": 2}

    async def test_an_incompatible_one_is_refused_in_words_and_harms_nobody(
        self, registry: SchemaRegistry, name: str
    ) -> None:
        first = AvroSerializer(V1, registry)
        await written(first, {"id": 1}, name)
        await self.ask_for_it(registry, name)
        broken = AvroSerializer(BROKEN, registry)
        for _ in range(2):
            with pytest.raises(SchemaRegistryError, match="is not compatible with") as caught:
                await written(broken, {"id": 2, "note": "n"}, name)
            assert (caught.value.status, caught.value.retriable) == (409, False)
            assert "default" in caught.value.what_next
        assert await written(first, {"id": 3}, name)
        # Once the subject allows it, the same serializer is served: refusals are kept for a second.
        anything = ServerConfig(compatibility=ConfigCompatibilityLevel.NONE)
        await registry.client.set_config(f"{name}-value", anything)
        await asyncio.sleep(1.1)
        assert await written(broken, {"id": 2, "note": "n"}, name)

    async def test_the_newest_version_is_used_if_told_so(
        self, registry: SchemaRegistry, name: str
    ) -> None:
        for schema in (V1, V2):
            await written(AvroSerializer(schema, registry), {"id": 1, "note": "n"}, name)
        data = await written(AvroSerializer(V1, registry, use_latest=True), {"id": 5}, name)
        assert await read(AvroDeserializer(registry), data, name) == {"id": 5, "note": "-"}

    async def test_protobuf_s_too(self, registry: SchemaRegistry, name: str) -> None:
        value = Order(id=7)
        first = await written(ProtobufSerializer(Order, registry), value, name)
        newest = ProtobufSerializer(Order, registry, use_latest=True)
        assert await written(newest, value, name) == first


async def test_a_subject_that_nobody_registered_is_told(
    registry: SchemaRegistry, name: str
) -> None:
    for options in ({"auto_register": False}, {"use_latest": True}):
        serializer = AvroSerializer(V1, registry, **options)  # type: ignore[arg-type]
        with pytest.raises(SchemaRegistryError, match="does not know it") as caught:
            await written(serializer, {"id": 1}, name)
        assert (caught.value.status, caught.value.retriable) == (404, False)


async def test_a_spelling_that_differs_is_the_same_schema_once_normalized(
    registry: SchemaRegistry, name: str
) -> None:
    field = {"type": {"type": "long"}, "name": "id"}
    other = {"namespace": "shop", "fields": [field], "name": "Order", "type": "record"}
    first = await written(AvroSerializer(V1, registry, normalize=True), {"id": 1}, name)
    second = await written(AvroSerializer(other, registry, normalize=True), {"id": 1}, name)
    assert first == second


async def test_the_header_form_needs_guids_which_this_one_has_not(
    registry: SchemaRegistry, name: str
) -> None:
    serializer = AvroSerializer(V1, registry, schema_id="header")
    with pytest.raises(SchemaRegistryError, match="no GUID"):
        await written(serializer, {"id": 1}, name)


class Away:
    """A registry where nobody listens, or somebody who never answers."""

    def __init__(self) -> None:
        self.url = ""
        # Counted by the test; and for each question how often that was while it was open.
        self.ticks = 0
        self.ticks_while_asked: list[int] = []
        self.asked: set[asyncio.Task[Any]] = set()

    async def ignore(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.asked.add(task)
        before = self.ticks
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
        self.ticks_while_asked.append(self.ticks - before)
        writer.close()


@asynccontextmanager
async def away(kind: str) -> AsyncIterator[Away]:
    found = Away()
    if kind == "nobody listens":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            found.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            yield found
        return
    server = await asyncio.start_server(found.ignore, "127.0.0.1")
    try:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield found
    finally:
        server.close()
        if found.asked:
            await asyncio.wait(found.asked)
        await server.wait_closed()


@pytest.mark.parametrize("kind", ["nobody listens", "nobody answers"])
async def test_a_registry_that_is_away_bounds_the_wait_and_blocks_nobody(
    bootstrap: str, kind: str
) -> None:
    """Neither the loop, whose clock goes on, nor other topics."""
    async with away(kind) as there, SchemaRegistry(there.url, {"timeout": 1}) as registry:
        serializer = AvroSerializer(V1, registry)
        async with AsyncProducer(
            bootstrap, value_serializer=serializer, max_block_ms=4000
        ) as producer:
            began = time.monotonic()
            delivery = producer.send("never-sent", {"id": 1})
            while not delivery.done():
                await asyncio.sleep(0.01)
                there.ticks += 1
            with pytest.raises(SerializerTimeoutError, match="within 4000 ms") as caught:
                await delivery
            assert 3.9 < time.monotonic() - began < 60
            assert caught.value.retriable
            cause = caught.value.__cause__
            assert isinstance(cause, SchemaRegistryError)
            assert there.url in str(cause)
    if kind == "nobody answers":
        # A question of a second: a loop that it holds up counts hardly once meanwhile.
        assert max(there.ticks_while_asked) > 2


@asynccontextmanager
async def forwarding(port: int, schema_registry: str) -> AsyncIterator[None]:
    """Have ``port`` lead to the registry."""
    parts = urlsplit(schema_registry)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection(parts.hostname, parts.port)
        for source, sink in ((reader, other_writer), (other_reader, writer)):
            tasks.add(asyncio.create_task(pump(source, sink)))

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks, timeout=30)


async def test_a_registry_that_comes_back_loses_nothing_and_no_order(
    bootstrap: str, topic: TopicFactory, schema_registry: str
) -> None:
    place = topic()
    # A connection of somebody else's could take one that the kernel gives.
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}{urlsplit(schema_registry).path}"
    async with AsyncExitStack() as stack:
        registry = SchemaRegistry(url)
        async with AsyncProducer(
            bootstrap, value_serializer=AvroSerializer(V1, registry), max_block_ms=200_000
        ) as producer:
            sent = [producer.send(place, {"id": number}) for number in range(20)]
            await asyncio.sleep(0.5)
            assert not any(delivery.done() for delivery in sent)
            await stack.enter_async_context(forwarding(port, schema_registry))
            metadata = await asyncio.gather(*sent)
        assert [each.offset for each in metadata] == list(range(20))
        # Its connections end before the way there does.
        await registry.close()
    records = await read_topic_async(bootstrap, place)
    assert [(record.value or b"")[5:] for record in records] == [bytes([2 * n]) for n in range(20)]
