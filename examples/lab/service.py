"""The producers of the lab, their topics, and one run of each kind at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from aioproducer import AsyncProducer, PartitionerRecord, PartitionList, partition_of_key
from aioproducer.integrations.fastapi import FastAPIProducer
from aioproducer.observe.exporters.prometheus import expose
from aioproducer.testing import admin
from examples.lab.live import Live
from examples.lab.runs import RunResult, Tally, one_by_one, pipelined

logger = logging.getLogger("lab")

EVENTS, ORDERS, BENCHMARK = "lab-events", "lab-orders", "lab-benchmark"
PARTITIONS = 6
# Nobody waits for a page as long as a background job may wait for Kafka.
PATIENCE = 3.0
_RUNS_KEPT = 8

CreateTopic = Callable[[str, int], None]


class BusyError(Exception):
    """A run of this kind is under way."""


class Lanes:
    """HIGH orders have partition 0 to themselves; the others share the rest by key."""

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        if ("priority", b"HIGH") in record.headers or partitions.all == 1:
            return 0
        return 1 + partition_of_key(record.key_bytes or b"", partitions.all - 1)


class Lab:
    """Everything behind the page; ``async with`` it for the life of the service.

    Args:
        bootstrap: the cluster, which need not be there.
        create_topic: makes a topic that is missing, given its name and number of partitions;
            it blocks, and raises while it cannot.
        patience: seconds for which a button waits for a cluster that does not answer; a record
            that is on its way has about three times that.
    """

    def __init__(
        self,
        bootstrap: str,
        create_topic: CreateTopic | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.bootstrap = bootstrap
        self._patience = patience
        self.registry = CollectorRegistry()
        self.live = Live()
        self.tally = Tally()
        self.runs: deque[dict[str, object]] = deque(maxlen=_RUNS_KEPT)
        self.orders = Counter[str]()
        self.kafka: dict[str, FastAPIProducer[bytes, bytes]] = {
            "throughput": self._lifespan(profile="throughput"),
            "latency": self._lifespan(profile="latency"),
            "priority": self._lifespan(
                client_id="lab-priority", profile="balanced", partitioner=Lanes()
            ),
        }
        self._create_topic = create_topic or (lambda *topic: ensure_topic(bootstrap, *topic))
        self._busy: set[str] = set()

    def _lifespan(self, **options: Any) -> FastAPIProducer[bytes, bytes]:
        options.setdefault("client_id", f"lab-{options['profile']}")
        return FastAPIProducer(
            lambda: self._producer(**options),
            details=True,
            patience=self._patience + 2,
            drain_timeout=10,
        )

    def _producer(self, **options: Any) -> AsyncProducer[bytes, bytes]:
        patience_ms = round(self._patience * 1000)
        config = {
            "max.block.ms": patience_ms,
            "request.timeout.ms": patience_ms + 1_000,
            "delivery.timeout.ms": 3 * patience_ms + 1_000,
            "allow.auto.create.topics": False,
        }
        return AsyncProducer(self.bootstrap, config=config, **options)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the producers, their sampling, and see to the topics."""
        async with AsyncExitStack() as stack:
            for name, kafka in self.kafka.items():
                await stack.enter_async_context(kafka)
                stack.enter_context(expose(kafka.producer, self.registry))
                self.live.watch(name, kafka.producer)
            tasks = [
                asyncio.create_task(self.live.keep_sampling(), name="lab-live"),
                asyncio.create_task(self._see_to_topics(), name="lab-topics"),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _see_to_topics(self) -> None:
        missing = [EVENTS, ORDERS, BENCHMARK]
        while missing:
            try:
                await asyncio.to_thread(self._create_topic, missing[0], PARTITIONS)
            except Exception as error:  # noqa: BLE001 - whatever it was, the cluster may come yet
                logger.info("topic %s is not there yet: %s", missing[0], error)
                await asyncio.sleep(1)
            else:
                missing.pop(0)

    # Runs

    async def high_throughput(self, count: int) -> dict[str, object]:
        producer = self.kafka["throughput"].producer
        return await self._run(
            "high-throughput",
            lambda: pipelined(producer, EVENTS, count, "high-throughput", self.tally),
        )

    async def low_latency(self, count: int) -> dict[str, object]:
        producer = self.kafka["latency"].producer
        return await self._run(
            "low-latency", lambda: one_by_one(producer, EVENTS, count, "low-latency", self.tally)
        )

    async def benchmark(self, messages: int, batch_size: int, linger_ms: int) -> dict[str, object]:
        async def run() -> RunResult:
            async with self._producer(
                client_id="lab-benchmark", batch_size=batch_size, linger_ms=linger_ms
            ) as producer:
                self.live.watch("benchmark", producer)
                with expose(producer, self.registry):
                    return await pipelined(producer, BENCHMARK, messages, "benchmark", self.tally)

        return await self._run("benchmark", run)

    async def _run(self, kind: str, work: Callable[[], Awaitable[RunResult]]) -> dict[str, object]:
        with self._alone(kind):
            result = (await work()).as_dict()
        self.runs.appendleft({**result, "at": time.time()})
        return result

    @contextmanager
    def _alone(self, kind: str) -> Any:
        if kind in self._busy:
            raise BusyError(f"a {kind} run is under way: wait for its answer")
        self._busy.add(kind)
        try:
            yield
        finally:
            self._busy.discard(kind)

    # What is shown

    def partition_stats(self) -> dict[str, object]:
        """Return what each partition got from this lab, as the brokers acknowledged it."""
        topics: dict[str, object] = {}
        for topic in (EVENTS, ORDERS, BENCHMARK):
            records = self.tally.places.get(topic, Counter())
            total, count = records.total(), max(PARTITIONS, 1 + max(records, default=0))
            rows = [
                {
                    "partition": number,
                    "records": records[number],
                    "share": round(records[number] / total, 4) if total else 0.0,
                }
                for number in range(count)
            ]
            topics[topic] = {"records": total, "partitions": rows}
        return {"topics": topics}

    def health(self) -> tuple[bool, list[str]]:
        """Return whether all producers are ready, and why not."""
        reasons = [
            f"{name}: {reason}"
            for name, kafka in self.kafka.items()
            for reason in kafka.health().reasons
        ]
        return not reasons, reasons

    def now(self, after: int) -> dict[str, object]:
        """Return all that the page shows, with the frames since number ``after``."""
        ready, reasons = self.health()
        brokers = max(kafka.health().brokers_connected for kafka in self.kafka.values())
        return {
            "cluster": {
                "bootstrap": self.bootstrap,
                "ready": ready,
                "brokers": brokers,
                "reasons": reasons,
            },
            "frames": self.live.frames(after),
            "producers": self.live.producers(),
            "partitions": self.partition_stats()["topics"],
            "orders": dict(self.orders),
            "runs": list(self.runs),
        }


def ensure_topic(bootstrap: str, name: str, partitions: int) -> None:
    """Create a topic unless it is there; blocks, and raises while the cluster is away."""
    topics = admin.partition_states(bootstrap, timeout=3)
    if not admin.broker_ids(bootstrap, timeout=3):
        raise ConnectionError(f"no broker answers at {bootstrap}")
    if name not in topics:
        admin.create_topic(bootstrap, name, partitions, None, None)
