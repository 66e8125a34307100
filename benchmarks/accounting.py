"""``python -m benchmarks accounting``: what the metrics cost, of the processor time of a record.

Two ways. The calls that count are timed by themselves, in the shape that the run had (so many
records in a batch, so many batches in a request), and set against all the processor time of the
run: that decides, since it is exact to a tenth of a percent. Beside it the same producer sends the
same records to the counting stand-in in turns with its meters and with meters that count nothing,
in one process. The order of each pair of turns is drawn, and the median over the pairs is told with
its spread, which on a busy machine is wider than what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple
from unittest import mock

from aioproducer import AsyncProducer
from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.meters import Meters, NodeSample
from aioproducer.core.sampling import Meter
from aioproducer.delivery import Fate
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


class Turn(NamedTuple):
    """Microseconds of processor time for a record, and the shape of what was sent."""

    microseconds: float
    records_per_batch: float = 0.0
    records_per_request: float = 0.0


async def take_turn(bootstrap: str, topic: str, settings: argparse.Namespace) -> Turn:
    """Send the records and return what that took."""
    value = b"x" * settings.size
    keys = [b"key-%d" % number for number in range(10_000)]
    async with AsyncProducer(
        bootstrap, linger_ms=settings.linger_ms, batch_size=settings.batch_size
    ) as producer:
        await producer.warm_up([topic])

        async def send(records: int) -> None:
            for number in range(records):
                producer.send(topic, value, key=keys[number % 10_000])
                if not number % 100:
                    await producer.drain()
            await producer.flush()

        await send(settings.records // 10)
        begun = time.process_time()
        await send(settings.records)
        taken = (time.process_time() - begun) / float(settings.records) * 1e6
        metrics = producer.metrics()
    per_batch = metrics.record_ack_total / max(metrics.batch_total, 1)
    return Turn(taken, per_batch, metrics.records_per_request_avg)


def compare(bootstrap: str, topic: str, settings: argparse.Namespace) -> list[tuple[Turn, Turn]]:
    """Return a turn with counting and one without, for each pair."""
    rng = random.Random(settings.seed)
    pairs = []
    for _ in range(settings.rounds):
        taken: dict[type[Meters], Turn] = {}
        for kind in rng.sample([Meters, SilentMeters], 2):
            with meters(kind):
                taken[kind] = asyncio.run(take_turn(bootstrap, topic, settings))
        pairs.append((taken[Meters], taken[SilentMeters]))
    return pairs


def time_of_calls(batches: int, records: int, repeats: int = 5) -> float:
    """Return the microseconds that counting a request of so many batches takes, its answer too."""
    book = Meters(2, 30.0, 0.0)
    loop = asyncio.new_event_loop()
    try:
        made = [_batch(loop, partition, records) for partition in range(batches)]
    finally:
        loop.close()
    node = book.node(1, 0.0)
    buffers = [b"x" * 100] * (2 * batches + 1)

    def count_once() -> None:
        book.request_sent(made, 1.0)
        # What BrokerConnection counts, written out as it is there.
        size = sum(map(len, buffers))
        sample = node.at(1.0)
        sample.requests += 1
        sample.request_bytes += size
        if size > sample.request_bytes_max:
            sample.request_bytes_max = size
        node.at(1.0).operations += 1
        sample = node.at(1.0)
        sample.operations += 1
        sample.response_bytes += size
        sample.responses += 1
        book.answered(node, 0.002, 0.0, 1.0)
        for batch in made:
            book.delivered(batch, 1.0)

    best = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        for _ in range(5_000):
            count_once()
        best = min(best, (time.process_time() - begun) / 5_000)
    return best * 1e6


def _batch(loop: asyncio.AbstractEventLoop, partition: int, records: int) -> Batch:
    fate = Fate(loop, "topic", partition, count=records)
    batch = Batch(
        "topic", partition, fate, order=(1,), created=0.0, opened=0.0, limit=16384,
        base_timestamp=0,
    )  # fmt: skip
    for _ in range(records):
        batch.append(0, None, b"x" * (16_000 // records), ())
    batch.payload = batch.body
    batch.sealed = Sealed.LINGER
    return batch


def share_of_calls(turn: Turn) -> float:
    """Return the percentage of the processor time of ``turn`` that counting took."""
    batches = max(1, round(turn.records_per_request / max(turn.records_per_batch, 1)))
    taken = time_of_calls(batches, max(1, round(turn.records_per_batch)))
    return taken / max(turn.records_per_request, 1) / turn.microseconds * 100


def report(pairs: Sequence[tuple[Turn, Turn]], share: float) -> tuple[str, bool]:
    """Return the comparison in words, and whether it is within what is promised."""
    counting = statistics.median(pair[0].microseconds for pair in pairs)
    silent = statistics.median(pair[1].microseconds for pair in pairs)
    shares = sorted((first.microseconds / second.microseconds - 1) * 100 for first, second in pairs)
    spread = f"{shares[len(shares) // 4]:+.1f} to {shares[len(shares) * 3 // 4]:+.1f} %"
    shape = pairs[0][0]
    return (
        f"the calls that count take {share:.2f} % of the processor time (at most {MOST:g} %),"
        f" with {shape.records_per_batch:.0f} records in a batch and"
        f" {shape.records_per_request:.0f} in a request\n"
        f"in turns: {counting:.3f} us a record with metrics, {silent:.3f} us without:"
        f" {statistics.median(shares):+.1f} % (half of the {len(pairs)} pairs: {spread})",
        share < MOST,
    )


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and return 1 if counting costs too much."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks accounting", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--bootstrap", help="use this cluster instead of the stand-in")
    parser.add_argument("--topic", default="accounting")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=9)
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
    # Against the quickest turn: the least in the producer's favour.
    quickest = min((pair[0] for pair in pairs), key=lambda turn: turn.microseconds)
    words, fits = report(pairs, share_of_calls(quickest))
    print(words)
    return 0 if fits else 1
