"""A simulated world: one producer, several brokers, faults, and what must hold afterwards.

Everything random comes from one seed, and time is virtual, so a seed replays exactly.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aioproducer import AsyncProducer, Delivery
from aioproducer.errors import (
    BufferExhaustedError,
    DeliveryTimeoutError,
    MetadataNotReadyError,
    MetadataTimeoutError,
    ProducerClosedError,
    ProducerError,
    RecordTooLargeError,
)
from aioproducer.runtime.engine import Engine
from tests.fake_broker import FakeCluster
from tests.simulation_faults import Faults
from tests.simulation_plan import Plan, make_plan
from tests.virtual_clock import VirtualClockLoop

PATIENCE = 0.5
"""Seconds by which a bound may be missed: a latency, a turn of the loop, the network's delays."""

_CALM_ERRORS = (
    asyncio.CancelledError,
    BufferExhaustedError,
    MetadataTimeoutError,
    ProducerClosedError,
    RecordTooLargeError,
    DeliveryTimeoutError,
)


@dataclass(slots=True)
class Sent:
    """A record and what was asked for it."""

    number: int
    topic: str
    partition: int | None
    at: float
    delivery: Delivery
    cancelled: bool = False
    timeout: float | None = None
    done_at: float | None = None


@dataclass(slots=True)
class Simulation:
    """One run. ``violations`` is empty when everything held."""

    seed: int
    sent: list[Sent] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    plan: Plan = field(init=False)
    rng: random.Random = field(init=False)
    trouble: Faults = field(init=False)
    cluster: FakeCluster = field(init=False)
    producer: AsyncProducer[Any, Any] = field(init=False)
    # How many records were sent to see whether all is well again.
    extra: int = 0

    @property
    def faults(self) -> Counter[str]:
        """How often what went wrong."""
        return self.trouble.counts

    def run(self) -> Simulation:
        self.rng = random.Random(self.seed)
        self.plan = make_plan(self.rng)
        self.trouble = Faults(self.plan, self.rng)
        self.cluster = self.trouble.cluster
        loop = VirtualClockLoop(self.cluster)
        with asyncio.Runner(debug=False, loop_factory=lambda: loop) as runner:
            runner.run(self._main())
            self._check_loop(loop)
        return self

    # The application

    async def _main(self) -> None:
        rng = self.rng
        plan = self.plan
        self.producer = AsyncProducer(self.cluster.bootstrap, **plan.options)
        self.producer._rng.seed(self.seed)
        await self.producer.start()
        engine = self._engine()
        chaos = asyncio.create_task(self.trouble.chaos())
        share = plan.records // plan.senders
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.senders):
                group.create_task(self._send_records(share))
            group.create_task(self._flush_now_and_then())
        if rng.random() < 0.7:
            self.trouble.heal()
            if self._has_patience:
                await self._expect_life()
        await self._close()
        self.trouble.healed = True
        chaos.cancel()
        await asyncio.wait([chaos])
        # What brokers still hold of closed connections comes to its end.
        await asyncio.sleep(60)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            self.violations.append(f"tasks left: {left}")
        budget = engine.budget
        if budget.held or budget.waiting:
            self.violations.append(f"memory left: {budget.held} held, {budget.waiting} waiting")
        if plan.calm and engine.ledger.records_retried:
            self.violations.append(f"{engine.ledger.records_retried} records retried for nothing")
        self._check()

    async def _expect_life(self) -> None:
        """Once the cluster is well again, every partition takes a record in good time."""
        await asyncio.sleep(self._longest() + 1)
        budget = self._engine().budget
        if budget.held or budget.waiting:
            self.violations.append(f"{budget.held} bytes held and {budget.waiting} waiting at rest")
        loop = asyncio.get_running_loop()
        for name, topic in sorted(self.cluster.topics.items()):
            await self.producer.warm_up([name], timeout=5)
            for partition in topic.partitions:
                started = loop.time()
                value = b"%d" % self._note_number()
                delivery = self.producer.send(name, value, partition=partition.index)
                try:
                    await self.producer.flush(2)
                except TimeoutError:
                    self.violations.append(f"{delivery!r}, flush() took {loop.time() - started} s")
                if not delivery.done() or delivery.exception() is not None:
                    self.violations.append(f"{delivery!r} although all is well")

    def _note_number(self) -> int:
        self.extra += 1
        return 1_000_000 + self.extra

    def _engine(self) -> Engine:
        assert self.producer._engine is not None
        return self.producer._engine

    async def _send_records(self, count: int) -> None:
        rng = self.rng
        for _ in range(count):
            self._send_one()
            pause = rng.random()
            if pause < 0.2:
                await self._drain()
            elif pause < 0.5:
                await asyncio.sleep(rng.choice([0, 0.001, 0.01, 0.1]))

    async def _drain(self) -> None:
        try:
            await self.producer.drain(timeout=self.rng.choice([None, 0.01]))
        except TimeoutError:
            self.outcomes["drain timed out"] += 1

    def _send_one(self) -> None:
        rng = self.rng
        number = len(self.sent)
        topic = rng.choice(list(self.plan.topics))
        partition = rng.choice([None, None, 0, 1]) if rng.random() < 0.97 else 5
        key = rng.choice([None, b"a", b"b", b"c"])
        value = b"%d" % number + b"." * rng.choice([0, 0, 10, 60, 240])
        now = asyncio.get_running_loop().time()
        timeout = rng.choice([0.0, 0.005, 0.3]) if rng.random() < 0.05 else None
        stamp = 1_000_000 + number
        style = rng.random()
        try:
            if style < 0.05:
                delivery = self.producer.try_send(
                    topic, value, key=key, partition=partition, timestamp_ms=stamp
                )
                timeout = None
            elif style < 0.9:
                delivery = self.producer.send(
                    topic, value, key=key, partition=partition, timestamp_ms=stamp, timeout=timeout
                )
            else:
                # What send_and_wait() does; its Delivery is wanted here.
                delivery = self.producer._send(topic, value, key, partition, stamp, (), True, True)
                timeout = None
        except (BufferExhaustedError, MetadataNotReadyError):
            self.outcomes["refused"] += 1
            return
        budget = self._engine().budget
        if max(budget.held, budget.waiting) > budget.total:
            self.violations.append(f"{budget.held} bytes held, {budget.waiting} waiting")
        sent = Sent(number, topic, partition, now, delivery, timeout=timeout)
        self.sent.append(sent)
        delivery.add_done_callback(lambda _: self._done(sent))
        if rng.random() < 0.05:
            asyncio.get_running_loop().call_later(rng.choice([0, 0.003, 0.1]), self._cancel, sent)

    def _done(self, sent: Sent) -> None:
        if sent.done_at is not None:
            self.violations.append(f"record {sent.number} was settled twice")
        sent.done_at = asyncio.get_running_loop().time()

    def _cancel(self, sent: Sent) -> None:
        if sent.delivery.cancel():
            sent.cancelled = True

    async def _flush_now_and_then(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(rng.choice([0.01, 0.1]))
            before = list(self.sent)
            started = asyncio.get_running_loop().time()
            timeout = rng.choice([None, 0.05, 1.0])
            try:
                await self.producer.flush(timeout)
            except TimeoutError:
                self.outcomes["flush timed out"] += 1
                took = asyncio.get_running_loop().time() - started
                limit = timeout if timeout is not None else self._longest() + 1
                if took > limit + 0.01:
                    self.violations.append(f"flush({timeout}) took {took} s")
            else:
                late = [s.number for s in before if not s.delivery.done()]
                if late:
                    self.violations.append(f"flush returned before {late} were settled")

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        timeout = self.rng.choice([None, None, 0, 0.05, 1.0])
        started = loop.time()
        report = await self.producer.close(timeout)
        took = loop.time() - started
        limit = self._longest() + 1 if timeout is None else timeout
        if took > limit + PATIENCE:
            self.violations.append(f"close({timeout}) took {took} s")
        counted = report.delivered + report.failed + report.abandoned
        withdrawn = sum(1 for s in self.sent if s.cancelled or s.timeout is not None)
        sent = len(self.sent) + self.extra
        if not sent - withdrawn <= counted <= sent:
            self.violations.append(f"{sent} records sent, but reported are {report}")
        if timeout is None and report.abandoned:
            self.violations.append(f"close() without a timeout abandoned {report.abandoned}")

    def _longest(self) -> float:
        options = self.plan.options
        return float(max(options["delivery_timeout_ms"], options["max_block_ms"])) / 1000

    @property
    def _has_patience(self) -> bool:
        """Whether the configuration leaves time to find out what has changed."""
        options = self.plan.options
        return (
            options["delivery_timeout_ms"] >= 2000
            and options["max_block_ms"] >= 1000
            and "retries" not in options
        )

    @property
    def _is_idempotent(self) -> bool:
        return bool(self.plan.options["enable_idempotence"])

    # What must hold

    def _check_loop(self, loop: VirtualClockLoop) -> None:
        if loop.pending_timers():
            self.violations.append(f"timers left: {loop.pending_timers()}")
        excused = any(s.cancelled or s.timeout is not None for s in self.sent)
        for context in loop.reported:
            if excused and "nobody looked" in context["message"]:
                continue
            self.violations.append(f"the loop was told: {context}")

    def _check(self) -> None:
        where: dict[int, list[tuple[str, int, int]]] = {}
        for name, topic in self.cluster.topics.items():
            for partition in topic.partitions:
                order = []
                for offset, value in enumerate(partition.values):
                    number = int((value or b"").split(b".")[0])
                    order.append(number)
                    where.setdefault(number, []).append((name, partition.index, offset))
                self._check_order(f"{name}-{partition.index}", order)
        for sent in self.sent:
            self._check_record(sent, where.get(sent.number, []))

    def _check_order(self, name: str, order: list[int]) -> None:
        if self.plan.options["acks"] == 0:
            # What was written to a lost connection may be worked on after the next one's requests.
            return
        if not self._is_idempotent:
            acknowledged = {
                s.number for s in self.sent if s.delivery.done() and self._error(s) is None
            }
            order = [n for n in dict.fromkeys(order) if n in acknowledged]
        if order != sorted(order):
            self.violations.append(f"{name} is out of order: {order}")

    def _error(self, sent: Sent) -> BaseException | None:
        if sent.delivery.cancelled():
            return asyncio.CancelledError()
        return sent.delivery.exception()

    def _check_record(self, sent: Sent, places: list[tuple[str, int, int]]) -> None:
        delivery = sent.delivery
        if not delivery.done():
            self.violations.append(f"record {sent.number} was never settled: {delivery!r}")
            return
        if self._is_idempotent and len(places) > 1:
            self.violations.append(f"record {sent.number} is there {len(places)} times: {places}")
        error = self._error(sent)
        self.outcomes[type(error).__name__] += 1
        if self.plan.calm and error is not None and not isinstance(error, _CALM_ERRORS):
            self.violations.append(f"record {sent.number} failed for nothing: {error!r}")
        if error is None:
            self._check_acknowledged(sent, places)
        elif isinstance(error, ProducerError) and error.persisted == "no" and places:
            self.violations.append(
                f"record {sent.number} is at {places}, but its error says it is not: {error!r}"
            )
        assert sent.done_at is not None
        bound = sent.timeout if sent.timeout is not None else self._longest()
        if sent.done_at - sent.at > bound + 0.01:
            self.violations.append(
                f"record {sent.number} took {sent.done_at - sent.at} s; {error!r}"
            )

    def _check_acknowledged(self, sent: Sent, places: list[tuple[str, int, int]]) -> None:
        metadata = sent.delivery.result()
        if self.plan.options["acks"] == 0:
            return
        if not places:
            self.violations.append(f"record {sent.number} was acknowledged and is lost: {metadata}")
        elif metadata.has_offset and (*metadata.topic_partition, metadata.offset) not in places:
            self.violations.append(f"{metadata} is not true: it is at {places}")
        if sent.partition is not None and metadata.partition != sent.partition:
            self.violations.append(f"{metadata} is not in partition {sent.partition}")
