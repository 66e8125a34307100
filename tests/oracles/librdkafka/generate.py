"""Asks librdkafka, in confluent-kafka's wheel, which partitions its partitioners choose.

    python tests/oracles/librdkafka/generate.py

writes ``partitions.json`` beside this file. Records are delivered to librdkafka's own mock broker,
whose topics have four partitions; for other numbers there are the functions that the wheel exposes.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
from confluent_kafka import Message, Producer

PARTITIONERS = (
    "consistent",
    "consistent_random",
    "murmur2",
    "murmur2_random",
    "fnv1a",
    "fnv1a_random",
    "random",
)
HASHES = ("consistent", "murmur2", "fnv1a")
COUNTS = (1, 3, 4, 12, 100, 1000)
# With four partitions, chance gives the same one so often in a row once in 4 ** 23 times.
SENDS = 24


def keys() -> list[bytes]:
    """Return keys of all lengths, text among them."""
    rng = random.Random(3)
    found = [b"a", b"abc", b"foobar", "grüße".encode(), b"\x00", b"\xff" * 4]
    found += [f"user-{number * 7919}".encode() for number in range(40)]
    found += [rng.randbytes(length) for length in range(1, 41)]
    return found


def delivered(partitioner: str, some: Sequence[bytes | None]) -> list[tuple[bytes | None, int]]:
    """Return each key and the partition in which its record arrived, all from one producer."""
    producer = Producer(
        {
            "bootstrap.servers": "replaced by the mock",
            "test.mock.num.brokers": 1,
            "log_level": 0,
            "partitioner": partitioner,
            # Otherwise chance keeps to one partition for a while.
            "sticky.partitioning.linger.ms": 0,
        }
    )
    arrived: list[tuple[bytes | None, int]] = []

    def on_delivery(error: object, message: Message) -> None:
        partition = message.partition()
        assert error is None, error
        assert partition is not None
        arrived.append((message.key(), partition))

    for key in some:
        producer.produce("topic", b"v", key=key, on_delivery=on_delivery)
    assert producer.flush(30) == 0
    assert len(arrived) == len(some)
    return arrived


def fixed(partitioner: str, key: bytes | None) -> int | None:
    """Return the partition of ``key``, None if it is left to chance."""
    partitions = {partition for _, partition in delivered(partitioner, [key] * SENDS)}
    return partitions.pop() if len(partitions) == 1 else None


def by_key(partitioner: str, some: Sequence[bytes]) -> dict[str, int]:
    """Return the partitions of ``some`` keys, by hex."""
    return {key.hex(): partition for key, partition in delivered(partitioner, some) if key}


def main() -> None:
    some = keys()
    answers = {
        "librdkafka": confluent_kafka.libversion()[0],
        "delivered": {
            name: {
                "null key": fixed(name, None),
                "empty key": fixed(name, b""),
                "one key": fixed(name, some[1]),
                "keys": {} if name == "random" else by_key(name, some),
            }
            for name in PARTITIONERS
        },
        "counts": COUNTS,
        "computed": {
            name: {
                key.hex(): [getattr(confluent_kafka, name)(key, count) for count in COUNTS]
                for key in [b"", *some]
            }
            for name in HASHES
        },
    }
    text = json.dumps(answers, indent=1)
    # A list stays in one line.
    text = re.sub(r"\[[^\]]*\]", lambda match: " ".join(match[0].split()), text)
    Path(__file__).with_name("partitions.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
