"""The application of a simulation: sends records, cancels, flushes, drains, and reads failures."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aioproducer import AsyncProducer, Delivery
from aioproducer.errors import (
    BufferExhaustedError,
    MetadataNotReadyError,
    SerializerNotReadyError,
)
from aioproducer.runtime.engine import Engine
from tests.fake_log import FakePartition
from tests.simulation.audit import audit
from tests.simulation.faults import POISON
from tests.simulation.plan import Plan
from tests.virtual_clock import VirtualClockLoop


@dataclass(slots=True)
class Sent:
    """A record and what was asked for it."""

    number: int
    topic: str
    partition: int | None
    at: float
    delivery: Delivery
    # How long the application had held the loop before, and until it was done.
    blocked_before: float
    timeout: float | None = None
    poison: bool = False
    cancelled: bool = False
    # Cancelled while it waited for metadata or memory: it must never be sent.
    withdrawn: bool = False
    done_at: float | None = None
    blocked_after: float = 0.0

    @property
    def error(self) -> BaseException | None:
        """Why it failed, ``None`` for a success."""
        if self.delivery.cancelled():
            return asyncio.CancelledError()
        return self.delivery.exception()

    @property
    def took(self) -> float:
        """Seconds from send() to its outcome, those left out in which the loop was held."""
        assert self.done_at is not None
        return self.done_at - self.at - (self.blocked_after - self.blocked_before)

    def succeeded_before(self, moment: float) -> bool:
        """Return whether it was acknowledged before ``moment``."""
        return self.error is None and self.done_at is not None and self.done_at < moment


class Application:
    """Everything that calls the producer while things go wrong."""

    def __init__(
        self,
        plan: Plan,
        rng: random.Random,
        producer: AsyncProducer[Any, Any],
        engine: Engine,
        strike: Callable[[], None],
        partitions_of: Callable[[str], Sequence[FakePartition]],
    ) -> None:
        self._partitions_of = partitions_of
        self.sent: list[Sent] = []
        self.violations: list[str] = []
        self.outcomes: Counter[str] = Counter()
        # The values that failures() told of.
        self.failures: list[bytes | None] = []
        self._plan = plan
        self._rng = rng
        self._producer = producer
        self._engine = engine
        self._strike = strike
        self._strikes = list(plan.strikes)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        self._loop = loop
        self.reads_failures = rng.random() < 0.5
        self._reader = producer.failures() if self.reads_failures else None

    async def send_everything(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._plan.senders):
                group.create_task(self._send_records())
            group.create_task(self._flush_now_and_then())

    async def read_failures(self) -> None:
        if self._reader is not None:
            async for failure in self._reader:
                self.failures.append(failure.record.value)

    async def _send_records(self) -> None:
        rng = self._rng
        while len(self.sent) < self._plan.records:
            if self._strikes and len(self.sent) >= self._strikes[0]:
                del self._strikes[0]
                self._strike()
            if self._plan.wraps and len(self.sent) % 8 == 0:
                self._age()
            self._send_one()
            pause = rng.random()
            if pause < 0.2:
                await self._drain()
            elif pause < 0.5:
                await asyncio.sleep(rng.choice([0, 0.001, 0.01, 0.1]))

    def _age(self) -> None:
        """Have sequences that are at rest continue just before they wrap."""
        for queue in self._engine.intake.queues():
            sequences = queue.sequences
            if sequences is None or sequences.identity is None or sequences.broken:
                continue
            stamped = any(batch.is_stamped for batch in queue.waiting)
            old = sequences.last_acked_sequence
            if queue.on_wire or stamped or old < 0 or old + 1 != sequences.next_sequence:
                continue
            last = 2**31 - 1 - self._rng.randint(0, 4)
            partitions = self._partitions_of(queue.topic.name)
            there = queue.index < len(partitions)
            if there and old < last and partitions[queue.index].jump(*sequences.identity, last):
                sequences.last_acked_sequence = last
                sequences.next_sequence = (last + 1) % 2**31

    async def _drain(self) -> None:
        try:
            await self._producer.drain(timeout=self._rng.choice([None, 0.01]))
        except TimeoutError:
            self.outcomes["drain timed out"] += 1

    def _send_one(self) -> None:
        rng = self._rng
        number = len(self.sent)
        topic = rng.choice(list(self._plan.topics))
        partition = rng.choice([None, None, 0, 1]) if rng.random() < 0.97 else 5
        key = rng.choice([None, b"a", b"b", b"c"])
        value = b"%d." % number + b"." * rng.choice([0, 0, 10, 60, 240])
        poison = self._plan.poison and rng.random() < 0.03
        if poison:
            value += POISON
        queues = bool(self._engine.admission.room.memory_line)
        try:
            delivery, timeout = self._call(topic, value, key, partition, 1_000_000 + number)
        except (BufferExhaustedError, MetadataNotReadyError, SerializerNotReadyError):
            self.outcomes["refused"] += 1
            return
        if queues and not delivery.done() and delivery._fate.withdraw is None:
            self.violations.append(f"record {number} overtook those who wait for memory")
        if number % 2 == 0:
            self.violations += audit(self._engine, self._plan)
        sent = Sent(
            number, topic, partition, self._loop.now, delivery, self._loop.blocked_for,
            timeout=timeout, poison=poison,
        )  # fmt: skip
        self.sent.append(sent)
        delivery.add_done_callback(lambda _: self._done(sent))
        if rng.random() < 0.05:
            self._loop.call_later(rng.choice([0, 0.003, 0.1]), self._cancel, sent)

    def _call(
        self, topic: str, value: bytes, key: bytes | None, partition: int | None, stamp: int
    ) -> tuple[Delivery, float | None]:
        rng = self._rng
        timeout = rng.choice([0.0, 0.005, 0.3]) if rng.random() < 0.05 else None
        style = rng.random()
        if style < 0.05:
            delivery = self._producer.try_send(
                topic, value, key=key, partition=partition, timestamp_ms=stamp
            )
            return delivery, None
        if style < 0.9:
            delivery = self._producer.send(
                topic, value, key=key, partition=partition, timestamp_ms=stamp, timeout=timeout
            )
            return delivery, timeout
        # What send_and_wait() does; its Delivery is wanted here.
        delivery = self._producer._send(topic, value, key, partition, stamp, (), True, True)
        return delivery, None

    def _done(self, sent: Sent) -> None:
        if sent.done_at is not None:
            self.violations.append(f"record {sent.number} was settled twice")
        sent.done_at = self._loop.now
        sent.blocked_after = self._loop.blocked_for

    def _cancel(self, sent: Sent) -> None:
        waited = sent.delivery._fate.withdraw is not None and not sent.delivery.done()
        if sent.delivery.cancel():
            sent.cancelled = True
            sent.withdrawn = waited

    async def _flush_now_and_then(self) -> None:
        rng = self._rng
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(rng.choice([0.01, 0.1]))
            await self._flush(rng.choice([None, 0.05, 1.0]))

    async def _flush(self, timeout: float | None) -> None:
        before = list(self.sent)
        started = self._loop.now - self._loop.blocked_for
        try:
            await self._producer.flush(timeout)
        except TimeoutError:
            self.outcomes["flush timed out"] += 1
            took = self._loop.now - self._loop.blocked_for - started
            limit = timeout if timeout is not None else self._plan.longest + 1
            if took > limit + 0.01:
                self.violations.append(f"flush({timeout}) took {took} s")
        else:
            late = [s.number for s in before if not s.delivery.done()]
            if late:
                self.violations.append(f"flush returned before {late} were settled")
