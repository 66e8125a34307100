"""``python -m benchmarks transactions``: what a transaction costs, beside other clients.

Each client commits transactions of some sizes one after another, on the same real cluster, in
alternating rounds; what is measured is the time from begin to the end of commit.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from aioproducer import AsyncProducer
from benchmarks.cluster import ClusterProcess
from benchmarks.noise import load_average
from benchmarks.peers import PEERS, REFERENCE

PARTITIONS = 6
VALUE = b"x" * 100
SIZES = (0, 1, 100)


class Client(ABC):
    """One client with an open transactional producer."""

    name: ClassVar[str]

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.topic = topic
        self.transactional_id = f"bench-{self.name}-{uuid.uuid4().hex[:8]}"

    @abstractmethod
    async def start(self) -> None:
        """Connect and initialize."""

    @abstractmethod
    async def transact(self, records: int) -> None:
        """Commit one transaction with that many records."""

    @abstractmethod
    async def stop(self) -> None:
        """Close."""


class Aioproducer(Client):
    name = "aioproducer"

    async def start(self) -> None:
        self._producer = AsyncProducer(
            self.bootstrap_servers, transactional_id=self.transactional_id
        )
        await self._producer.start()

    async def transact(self, records: int) -> None:
        producer, topic = self._producer, self.topic
        async with producer.transaction() as transaction:
            for number in range(records):
                transaction.send(topic, VALUE, partition=number % PARTITIONS)

    async def stop(self) -> None:
        await self._producer.close()


class Aiokafka(Client):
    name = "aiokafka"

    async def start(self) -> None:
        from aiokafka import AIOKafkaProducer

        self._producer: Any = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, transactional_id=self.transactional_id
        )
        await self._producer.start()

    async def transact(self, records: int) -> None:
        producer, topic = self._producer, self.topic
        async with producer.transaction():
            for number in range(records):
                await producer.send(topic, VALUE, partition=number % PARTITIONS)

    async def stop(self) -> None:
        await self._producer.stop()


class Confluent(Client):
    name = "confluent"

    async def start(self) -> None:
        from confluent_kafka import Producer

        self._producer: Any = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "transactional.id": self.transactional_id,
                "log_level": 0,
            }
        )
        self._producer.init_transactions()

    async def transact(self, records: int) -> None:
        # Its calls block, and nothing else wants the loop: a thread would only add to the time.
        producer, topic = self._producer, self.topic
        producer.begin_transaction()
        for number in range(records):
            producer.produce(topic, VALUE, partition=number % PARTITIONS)
        producer.commit_transaction()

    async def stop(self) -> None:
        self._producer.flush()


CLIENTS: tuple[type[Client], ...] = (Aioproducer, Aiokafka, Confluent)


async def measure(
    clients: Sequence[Client], records: int, rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Return each client's times in milliseconds, all rounds together."""
    times: dict[str, list[float]] = {client.name: [] for client in clients}
    for turn in range(rounds + 1):
        for client in clients:
            for _ in range(repeats):
                started = time.perf_counter()
                await client.transact(records)
                # The first round warms up.
                if turn:
                    times[client.name].append((time.perf_counter() - started) * 1000)
    return times


def table(results: dict[int, dict[str, list[float]]]) -> str:
    """Return the medians with their ratio to the reference client's, and the 95th percentiles."""
    names = list(next(iter(results.values())))
    lines = [
        "| records | " + " | ".join(f"{name}: median, p95 ms" for name in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for records, times in results.items():
        reference = statistics.median(times[REFERENCE]) if REFERENCE in times else 0.0
        cells = []
        for name in names:
            median = statistics.median(times[name])
            tail = statistics.quantiles(times[name], n=20)[-1]
            ratio = f" ({median / reference:.2f}x)" if reference else ""
            cells.append(f"{median:.2f}{ratio}, {tail:.2f}")
        lines.append(f"| {records} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def run(
    bootstrap_servers: str, topic: str, rounds: int, repeats: int
) -> dict[int, dict[str, list[float]]]:
    """Start every client, measure every size, stop them."""
    clients = [each(bootstrap_servers, topic) for each in CLIENTS if not PEERS[each.name].missing()]
    for client in clients:
        await client.start()
    try:
        return {size: await measure(clients, size, rounds, repeats) for size in SIZES}
    finally:
        for client in clients:
            await client.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks transactions", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=20, help="transactions of a round")
    parser.add_argument("--bootstrap", default=None, help="measure against this cluster")
    settings = parser.parse_args(arguments)
    before = load_average()
    with ClusterProcess("real", bootstrap_servers=settings.bootstrap) as cluster:
        topic = f"benchmark-{uuid.uuid4().hex[:12]}"
        cluster.create_topic(topic, PARTITIONS)
        results = asyncio.run(
            run(cluster.bootstrap_servers, topic, settings.rounds, settings.repeats)
        )
        versions = ", ".join(f"{each.name} {PEERS[each.name].version()}" for each in CLIENTS)
        print(f"- clients: {versions}\n- cluster: {cluster.description}, {PARTITIONS} partitions")
    print(f"- {settings.rounds} alternating rounds of {settings.repeats}; 100-byte values")
    print(f"- load average before: {before}; after: {load_average()}\n\n{table(results)}")
    return 0
