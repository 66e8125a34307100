"""What Apache's own client has in its tables: the data and how it was made are in tests/data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_DATA = Path(__file__).parent / "data" / "kafka_4_3_tables.tsv"
_METRICS = _DATA.with_name("kafka_4_3_metrics.tsv")


class KafkaError(NamedTuple):
    code: int
    name: str
    retriable: bool
    refreshes_metadata: bool


class KafkaKey(NamedTuple):
    name: str
    type: str
    default: str
    validator: str


class KafkaMetric(NamedTuple):
    group: str
    name: str
    tags: list[str]
    meaning: str


def kafka_metrics() -> list[KafkaMetric]:
    """Return what the producer of Kafka 4.3 measures."""
    rows = [line.split("\t") for line in _METRICS.read_text(encoding="utf-8").splitlines()]
    return [KafkaMetric(group, name, tags.split(","), words) for group, name, tags, words in rows]


def _rows(kind: str) -> Iterator[list[str]]:
    for line in _DATA.read_text(encoding="utf-8").splitlines():
        first, *rest = line.split("\t")
        if first == kind:
            yield rest


def kafka_errors() -> list[KafkaError]:
    """Return the error codes of Kafka 4.3."""
    return [
        KafkaError(int(code), name, retriable == "true", refreshes == "true")
        for code, name, retriable, refreshes in _rows("error")
    ]


def kafka_keys() -> list[KafkaKey]:
    """Return the configuration keys of Kafka 4.3's producer."""
    return [KafkaKey(*(row + [""] * (4 - len(row)))) for row in _rows("key")]
