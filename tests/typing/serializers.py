# pyright: standard
# pyright: reportUnnecessaryTypeIgnoreComment=error
"""What mypy and pyright must see of serializers; `make lint` checks this file with both.

Nothing here runs. Each `type: ignore` stands for a mistake that both have to find: an unused one
is an error. docs/serialization.md shows three of these functions.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_type

from aioproducer import AsyncProducer
from aioproducer.serializers import (
    AvroSerializer,
    IntegerSerializer,
    JsonSchemaSerializer,
    JsonSerializer,
    PerTopic,
    ProtobufSerializer,
    SchemaRegistry,
    SerializationContext,
    StringSerializer,
    UuidSerializer,
    on_thread,
)

if TYPE_CHECKING:
    from google.protobuf.wrappers_pb2 import StringValue

SCHEMA: dict[str, Any] = {}


@dataclass
class Order:
    number: int


def typed_by_serializers(registry: SchemaRegistry) -> None:
    producer = AsyncProducer(
        "localhost:9092",
        key_serializer=StringSerializer(),
        value_serializer=AvroSerializer[Order](SCHEMA, registry),
    )
    assert_type(producer, AsyncProducer[str, Order])
    producer.send("orders", Order(7), key="k")


def typed_by_hand() -> None:
    producer = AsyncProducer[str, Order](
        "localhost:9092", key_serializer="string", value_serializer="json"
    )
    producer.send("orders", Order(7), key="k")


def wrong_types(producer: AsyncProducer[str, Order], registry: SchemaRegistry) -> None:
    producer.send("orders", "seven", key="k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    producer.send("orders", Order(7), key=b"k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    AsyncProducer[str, Order]("localhost:9092", value_serializer=IntegerSerializer())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def later(value: Order) -> bytes:
    return b""


def at_once(value: Order) -> bytes:
    return b""


class WithContext:
    async def serialize(self, value: Order, context: SerializationContext) -> bytes | None:
        context.add_header("version", b"2")
        return None


def every_kind_tells_its_type(registry: SchemaRegistry) -> None:
    for producer in (
        AsyncProducer("a:1", value_serializer=later),
        AsyncProducer("a:1", value_serializer=WithContext()),
        AsyncProducer("a:1", value_serializer=on_thread(at_once)),
        AsyncProducer("a:1", value_serializer=JsonSerializer[Order]()),
        AsyncProducer("a:1", value_serializer=JsonSchemaSerializer[Order](SCHEMA, registry)),
    ):
        assert_type(producer, AsyncProducer[bytes, Order])
    numbers = AsyncProducer(
        "a:1", key_serializer=UuidSerializer(), value_serializer=IntegerSerializer()
    )
    assert_type(numbers, AsyncProducer[uuid.UUID, int])


def messages_tell_theirs(registry: SchemaRegistry, message: type[StringValue]) -> None:
    producer = AsyncProducer("a:1", value_serializer=ProtobufSerializer(message, registry))
    producer.send("names", message(value="Ada"))
    producer.send("names", "Ada")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ProtobufSerializer(Order)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def several_topics_have_one_union(registry: SchemaRegistry) -> None:
    values = PerTopic[Order | str]({"orders": later, "names": "string"})
    producer = AsyncProducer("a:1", value_serializer=values)
    assert_type(producer, AsyncProducer[bytes, Order | str])
    producer.send("orders", Order(7))
    producer.send("names", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
