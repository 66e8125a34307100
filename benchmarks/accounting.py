"""``python -m benchmarks accounting``: what the metrics cost, of the processor time of a record.

The same producer sends the same records to the counting stand-in, in turns with its meters and with
meters that count nothing, in one process; what is compared is the processor time of that process.
The order of each pair of turns is drawn, and the figure is the median over the pairs, so that
neither drift nor neighbours decide it. What is counted of connections, under a microsecond for each
request, is in both.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from unittest import mock

from aioproducer import AsyncProducer
from aioproducer.core.batch import Batch
from aioproducer.core.meters import Meters, NodeSample
from aioproducer.core.sampling import Meter
from aioproducer.runtime import engine
from benchmarks.standin.process import StandInProcess

PARTITIONS = 6
MOST = 2.0
"""Percent of the processor time that counting may take."""


class SilentMeters(Meters):
    """Counts nothing."""

    def request_sent(self, batches: Iterable[Batch], now: float) -> None:
        """Do nothing."""

    def answered(
        self, node: Meter[NodeSample], latency: float, throttle: float, now: float
    ) -> None:
        """Do nothing."""

    def delivered(self, batch: Batch, now: float) -> None:
        """Do nothing."""


def meters(kind: type[Meters]) -> AbstractContextManager[object]:
    """Have producers that start meanwhile count with ``kind``."""
    return mock.patch.object(engine, "Meters", kind)


async def turn(bootstrap: str, topic: str, settings: argparse.Namespace) -> float:
    """Return the microseconds of processor time that a record took."""
    value = b"x" * settings.size
    keys = [b"key-%d" % number for number in range(10_000)]
    async with AsyncProducer(
        bootstrap, linger_ms=settings.linger_ms, batch_size=settings.batch_size
    ) as producer:
        await producer.warm_up([topic])
        for number in range(settings.records // 10):
            producer.send(topic, value, key=keys[number % 10_000])
            if not number % 100:
                await producer.drain()
        await producer.flush()
        begun = time.process_time()
        for number in range(settings.records):
            producer.send(topic, value, key=keys[number % 10_000])
            if not number % 100:
                await producer.drain()
        await producer.flush()
        taken = time.process_time() - begun
    return taken / float(settings.records) * 1e6


def compare(bootstrap: str, topic: str, settings: argparse.Namespace) -> list[tuple[float, float]]:
    """Return the time of a record with counting and without, for each pair of turns."""
    rng = random.Random(settings.seed)
    pairs = []
    for _ in range(settings.rounds):
        taken: dict[type[Meters], float] = {}
        for kind in rng.sample([Meters, SilentMeters], 2):
            with meters(kind):
                taken[kind] = asyncio.run(turn(bootstrap, topic, settings))
        pairs.append((taken[Meters], taken[SilentMeters]))
    return pairs


def report(pairs: Sequence[tuple[float, float]]) -> tuple[str, bool]:
    """Return the comparison in words, and whether it is within what is promised."""
    counting = statistics.median(pair[0] for pair in pairs)
    silent = statistics.median(pair[1] for pair in pairs)
    shares = sorted((first / second - 1) * 100 for first, second in pairs)
    share = statistics.median(shares)
    spread = f"{shares[len(shares) // 4]:+.1f} to {shares[len(shares) * 3 // 4]:+.1f} %"
    words = (
        f"a record takes {counting:.3f} us with metrics, {silent:.3f} us without:"
        f" {share:+.2f} % (half of the {len(pairs)} pairs: {spread}; at most {MOST:g} %)"
    )
    return words, share < MOST


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and return 1 if counting costs too much."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks accounting", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--bootstrap", help="use this cluster instead of the stand-in")
    parser.add_argument("--topic", default="accounting")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=100, help="bytes of a value")
    parser.add_argument("--batch-size", type=int, default=16384)
    parser.add_argument("--linger-ms", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    settings = parser.parse_args(arguments)
    if settings.bootstrap:
        pairs = compare(settings.bootstrap, settings.topic, settings)
    else:
        with StandInProcess(1) as cluster:
            cluster.create_topic(settings.topic, PARTITIONS)
            pairs = compare(cluster.bootstrap_servers, settings.topic, settings)
    words, fits = report(pairs)
    print(words)
    return 0 if fits else 1
