"""What was serialized is read from Kafka by others: confluent-kafka's deserializers, and Java's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer as TheirAvro
from confluent_kafka.schema_registry.json_schema import JSONDeserializer as TheirJson
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer as TheirProtobuf
from confluent_kafka.serialization import SerializationContext as TheirContext

from aioproducer import AsyncProducer
from aioproducer.serializers import (
    AvroSerializer,
    JsonSchemaSerializer,
    PerTopic,
    ProtobufSerializer,
    SchemaRegistry,
)
from aioproducer.testing import KafkaCluster
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import ReadRecord, read_topic_async
from tests.conftest import TopicFactory
from tests.serializers.messages import Customer

PARTITIONS = 3
COUNT = 300
AVRO = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
JSON = {"title": "Order", "type": "object", "properties": {"id": {"type": "integer"}}}


def by_key(
    schema_registry: str, records: dict[str, list[ReadRecord]], names: dict[str, str]
) -> dict[str, dict[int, list[Any]]]:
    """Return what confluent-kafka's deserializers read, by format and key, in order."""
    client = SchemaRegistryClient({"url": schema_registry})
    conf = {"subject.name.strategy.type": "TOPIC"}
    readers: dict[str, Any] = {
        "avro": TheirAvro(client, conf=conf),
        "json": TheirJson(None, schema_registry_client=client, conf=conf),
        "protobuf": TheirProtobuf(Customer, {**conf, "use.deprecated.format": False}, client),
    }
    found: dict[str, dict[int, list[Any]]] = {kind: {} for kind in names}
    for kind, name in names.items():
        for record in records[kind]:
            key = readers["avro"](record.key, TheirContext(name, "key", []))
            value = readers[kind](record.value, TheirContext(name, "value", []))
            found[kind].setdefault(key, []).append(value)
    client._rest_client.session.close()
    return found


async def test_three_formats_in_three_topics_by_one_producer_keep_their_order(
    bootstrap: str, topic: TopicFactory, schema_registry: str
) -> None:
    """The first records of all partitions wait for their schemas at once."""
    names = {kind: topic(PARTITIONS) for kind in ("avro", "json", "protobuf")}
    make: dict[str, Any] = {
        "avro": lambda number: {"id": number},
        "json": lambda number: {"id": number},
        "protobuf": lambda number: Customer(name=str(number)),
    }
    async with SchemaRegistry(schema_registry) as registry:
        values: PerTopic[Any] = PerTopic(
            {
                names["avro"]: AvroSerializer(AVRO, registry),
                names["json"]: JsonSchemaSerializer(JSON, registry),
                names["protobuf"]: ProtobufSerializer(Customer, registry),
            }
        )
        keys = AvroSerializer[int]({"type": "long"}, registry)
        async with AsyncProducer(
            bootstrap, key_serializer=keys, value_serializer=values, max_block_ms=200_000
        ) as producer:
            for number in range(COUNT):
                for kind, name in names.items():
                    producer.send(name, make[kind](number), key=number % 7)
            await producer.flush()
    records = {kind: await read_topic_async(bootstrap, name) for kind, name in names.items()}
    found = await asyncio.to_thread(by_key, schema_registry, records, names)
    for kind, of_key in found.items():
        assert of_key == {
            key: [make[kind](number) for number in range(key, COUNT, 7)] for key in range(7)
        }


JAVA = "org.apache.kafka.common.serialization."
CASES: list[tuple[str, list[Any], list[str]]] = [
    ("String", ["tea", "größe", "キー"], ["tea", "größe", "キー"]),
    ("Integer", [1, -1, 2**31 - 1], ["1", "-1", "2147483647"]),
    ("Long", [1, -(2**63)], ["1", "-9223372036854775808"]),
    ("Double", [2.5, 1e300], ["2.5", "1.0E300"]),
]


# Plain functions: the bytes are made without the loop, so that one loop is enough.
@pytest.mark.parametrize(("java", "values", "printed"), CASES, ids=[c[0] for c in CASES])
def test_java_s_console_consumer_reads_them(
    kafka: KafkaCluster, topic: TopicFactory, java: str, values: list[Any], printed: list[str]
) -> None:
    if not isinstance(kafka, JavaCluster):
        pytest.skip("Java's consumer comes with a cluster of Java's")
    place = topic()

    async def produce() -> None:
        config = {"value.serializer": f"{JAVA}{java}Serializer"}
        async with AsyncProducer[Any, Any](kafka.bootstrap_servers, config=config) as producer:
            await asyncio.gather(*[producer.send(place, value) for value in values])

    asyncio.run(produce())
    output = kafka.run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "--bootstrap-server", kafka.bootstrap_servers, "--topic", place, "--from-beginning",
        "--max-messages", str(len(values)), "--timeout-ms", "200000",
        "--formatter-property", f"value.deserializer={JAVA}{java}Deserializer",
        timeout=250,
    )  # fmt: skip
    assert [line for line in output.splitlines() if line in printed] == printed


async def test_json_is_read_by_any_json_reader(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    async with AsyncProducer[str, Any](
        bootstrap, key_serializer="string", value_serializer="json"
    ) as producer:
        await producer.send(name, {"id": 7, "tags": ["ö", None]}, key="k")
    (record,) = await read_topic_async(bootstrap, name)
    assert record.key == b"k"
    assert json.loads(record.value or b"") == {"id": 7, "tags": ["ö", None]}
