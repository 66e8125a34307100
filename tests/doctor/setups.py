"""Setups to look at, without a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aioproducer.config import ProducerConfig
from aioproducer.doctor.facts import Setup, TopicFacts
from aioproducer.wire.messages.metadata import PartitionMetadata, TopicMetadata

WRITE_AND_DESCRIBE = 1 << 4 | 1 << 8
GOOD_TOPIC = {
    "min.insync.replicas": "2",
    "max.message.bytes": "1048588",
    "compression.type": "producer",
}
GOOD_BROKER = {
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "replica.lag.time.max.ms": "30000",
    "socket.request.max.bytes": "104857600",
    "transaction.max.timeout.ms": "900000",
}


def config(**options: Any) -> ProducerConfig:
    """Return the settings of a producer that nothing is wrong with, with these changed."""
    good = {"bootstrap_servers": "kafka:9092", "compression_type": "gzip"}
    return ProducerConfig.create(config={**good, **options})


def topic(
    name: str = "orders",
    *,
    error_code: int = 0,
    partitions: int = 3,
    replicas: int = 3,
    in_sync: int | None = None,
    leader: int = 1,
    operations: int = WRITE_AND_DESCRIBE,
    settings: Mapping[str, str | None] | None = None,
) -> TopicFacts:
    nodes = tuple(range(1, replicas + 1))
    rows = tuple(
        PartitionMetadata(0, index, leader, 0, nodes, nodes[:in_sync], ())
        for index in range(0 if error_code else partitions)
    )
    metadata = TopicMetadata(error_code, name, bytes(16), False, rows, operations)
    return TopicFacts(metadata, None if error_code else {**GOOD_TOPIC, **(settings or {})})


def setup(*topics: TopicFacts, brokers: int = 3, **given: Any) -> Setup:
    """Return a setup with these topics, one good topic if none is given."""
    facts = {
        "config": config(**given.pop("config", {})),
        "brokers": brokers,
        "topics": topics or (topic(),),
        "broker_settings": GOOD_BROKER,
        **given,
    }
    facts.setdefault("topics_named", tuple(each.name for each in facts["topics"]))
    return Setup(**facts)
