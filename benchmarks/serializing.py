"""``python -m benchmarks serializers``: what a serializer costs per record, its schema cached.

Ours are called as ``send()`` calls them, confluent-kafka's as its SerializingProducer does, both
with the same value and the same library below (but for JSON Schema, which ours has checked by
fastjsonschema); the registry is one in memory. Rows take turns, and the figure is the median of the
rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aioproducer.runtime.serializing import Answer
from aioproducer.serializers import (
    AvroSerializer,
    JsonSchemaSerializer,
    ProtobufSerializer,
    SchemaRegistry,
    resolve_serializer,
)

TOPIC = "orders"
ORDER = {
    "id": 123_456_789,
    "customer": "Ada Lovelace",
    "amount": 12.5,
    "paid": True,
    "lines": [{"name": "tea", "count": 2}, {"name": "milk", "count": 1}],
}
_LINE_FIELDS = [{"name": "name", "type": "string"}, {"name": "count", "type": "int"}]
_LINE = {"type": "record", "name": "Line", "fields": _LINE_FIELDS}
AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "customer", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "paid", "type": "boolean"},
        {"name": "lines", "type": {"type": "array", "items": _LINE}},
    ],
}
JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "customer": {"type": "string"},
        "amount": {"type": "number"},
        "paid": {"type": "boolean"},
        "lines": {"type": "array", "items": {"type": "object", "required": ["name", "count"]}},
    },
    "required": ["id", "customer"],
}

Call = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """One serializer: ours, and confluent-kafka's where it has one."""

    name: str
    ours: Call
    theirs: Call | None = None


def ours(given: object, value: object) -> Call:
    """Return a call of a serializer as ``send()`` makes it; the schema is registered before."""
    serialize = resolve_serializer(given, "value")
    if serialize is None:
        raise ValueError("bytes need no serializer")
    first = serialize(value, TOPIC, ())
    if isinstance(first, Answer):
        asyncio.run(_awaited(first))
    return lambda: serialize(value, TOPIC, ())  # type: ignore[return-value]


async def _awaited(answer: Answer) -> None:
    await answer.later("value")


def theirs(serializer: Callable[[Any, Any], Any], value: object) -> Call:
    """Return a call of one of confluent-kafka's as its producer makes it."""
    from confluent_kafka.serialization import MessageField, SerializationContext

    def call() -> bytes:
        data: bytes = serializer(value, SerializationContext(TOPIC, MessageField.VALUE, []))
        return data

    call()
    return call


def message() -> Any:
    """Return a Protobuf message that comes with protobuf itself, of several fields."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    return FieldDescriptorProto(name="amount", number=3, type_name="Order", json_name="amount")


def rows() -> list[Row]:
    """Return what is compared."""
    import json

    from confluent_kafka import serialization
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer as TheirAvro
    from confluent_kafka.schema_registry.json_schema import JSONSerializer as TheirJson
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer as TheirProtobuf

    client: Any = SchemaRegistryClient.new_client({"url": "mock://theirs"})
    registry = SchemaRegistry("mock://ours")
    conf = {"subject.name.strategy.type": "TOPIC"}
    avro, schema = json.dumps(AVRO), json.dumps(JSON_SCHEMA)
    one = message()
    return [
        Row("string", ours("string", "Ada Lovelace"), _plain(serialization.StringSerializer())),
        Row("integer", ours("integer", 12345), _plain(serialization.IntegerSerializer(), 12345)),
        Row("double", ours("double", 12.5), _plain(serialization.DoubleSerializer(), 12.5)),
        Row("json", ours("json", ORDER)),
        Row("avro, bare", ours(AvroSerializer(AVRO), ORDER)),
        Row(
            "avro, registry",
            ours(AvroSerializer(AVRO, registry), ORDER),
            theirs(TheirAvro(client, avro, None, conf), ORDER),
        ),
        Row("protobuf, bare", ours(ProtobufSerializer(type(one)), one)),
        Row(
            "protobuf, registry",
            ours(ProtobufSerializer(type(one), registry), one),
            theirs(TheirProtobuf(type(one), client, conf), one),
        ),
        Row(
            "json schema, registry",
            ours(JsonSchemaSerializer(JSON_SCHEMA, registry), ORDER),
            theirs(TheirJson(schema, client, None, conf), ORDER),
        ),
    ]


def _plain(serializer: Any, value: object = "Ada Lovelace") -> Call:
    return theirs(serializer, value)


def microseconds(call: Call, records: int) -> float:
    """Return the microseconds of processor time that one call takes."""
    begun = time.process_time()
    for _ in range(records):
        call()
    return (time.process_time() - begun) / records * 1e6


def measure(compared: Sequence[Row], rounds: int, records: int) -> dict[str, tuple[float, float]]:
    """Return the medians of both for each row; 0 where confluent-kafka has none."""
    found: dict[str, tuple[list[float], list[float]]] = {row.name: ([], []) for row in compared}
    for _ in range(rounds):
        for row in compared:
            found[row.name][0].append(microseconds(row.ours, records))
            if row.theirs is not None:
                found[row.name][1].append(microseconds(row.theirs, records))
    return {
        name: (statistics.median(mine), statistics.median(others) if others else 0.0)
        for name, (mine, others) in found.items()
    }


def table(figures: dict[str, tuple[float, float]]) -> str:
    """Return the figures as Markdown."""
    lines = ["| serializer | aioproducer µs | confluent-kafka µs | |", "|---|---:|---:|---:|"]
    for name, (mine, others) in figures.items():
        peer = f"{others:.2f} | {others / mine:.1f}x |" if others else "- | |"
        lines.append(f"| {name} | {mine:.2f} | {peer}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks serializers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=10_000)
    given = parser.parse_args(arguments)
    print("### Serializers: processor time per record, schemas cached\n")
    print(table(measure(rows(), given.rounds, given.records)))
    return 0
