"""One run of the simulated world, from its seed to what did not hold.

Everything random comes from the seed, and time is virtual, so a seed replays exactly.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aioproducer import AsyncProducer, Delivery
from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.errors import DeliveryTimeoutError
from aioproducer.records import CloseReport
from aioproducer.runtime.engine import Engine
from tests.fake_log import FakePartition
from tests.simulation.application import Application, Sent
from tests.simulation.audit import audit
from tests.simulation.faults import Faults
from tests.simulation.havoc import Havoc
from tests.simulation.invariants import Invariants
from tests.simulation.plan import FEWEST_FAULTS, FEWEST_RECORDS, Plan, make_plan
from tests.simulation.serializers import LateSerializer, is_late
from tests.simulation.watch import Watch
from tests.virtual_clock import VirtualClockLoop

PATIENCE = 0.5
"""Seconds by which a bound may be missed: a latency, a turn of the loop, the network's delays."""
_PROMPT = 2.0
"""Seconds within which a record goes through when all is well, a new connection included."""


class _Unexpected(logging.Handler):
    """Hears what the producer logs as unexpected: nothing here is."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "unexpected" in record.msg:
            self.heard.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


@dataclass(slots=True)
class Simulation:
    """One run. ``violations`` is empty when everything held."""

    seed: int
    calm: bool = False
    violations: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    plan: Plan = field(init=False)
    rng: random.Random = field(init=False)
    faults: Faults = field(init=False)
    havoc: Havoc = field(init=False)
    application: Application = field(init=False)
    producer: AsyncProducer[Any, Any] = field(init=False)
    # How many records were sent to see whether all is well again.
    extra: int = 0

    @property
    def has_begun(self) -> bool:
        """Whether it came as far as to send anything."""
        return hasattr(self, "application")

    @property
    def sent(self) -> list[Sent]:
        """The records of the application."""
        return self.application.sent

    def run(self) -> Simulation:
        self.rng = random.Random(self.seed)
        self.plan = make_plan(self.rng, calm=self.calm)
        self.faults = Faults(self.plan, self.rng)
        loop = VirtualClockLoop(self.faults.cluster)
        watch = Watch(self.plan, loop)
        self.faults.cluster.watcher = watch
        self.faults.on_request = watch.requested
        unexpected = _Unexpected()
        logger = logging.getLogger("aioproducer")
        before = logger.level, logger.propagate
        logger.addHandler(unexpected)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        try:
            with asyncio.Runner(debug=False, loop_factory=lambda: loop) as runner:
                runner.run(self._main())
                self._check_loop(loop)
        finally:
            logger.removeHandler(unexpected)
            # Not by the attribute: the logger remembers which levels are enabled.
            logger.setLevel(before[0])
            logger.propagate = before[1]
        self.violations += [*self.application.violations, *watch.violations, *unexpected.heard]
        self.outcomes += self.application.outcomes
        return self

    def digest(self) -> str:
        """Return what sums up this run: equal digests, equal runs."""
        told = [(sent.at, sent.done_at, repr(sent.error)) for sent in self.sent]
        logs = [p.values for p in self.faults.partitions()]
        text = repr((told, logs, sorted(self.faults.counts.items()), self.violations))
        return hashlib.sha256(text.encode()).hexdigest()

    async def _main(self) -> None:
        plan = self.plan
        cluster = self.faults.cluster
        late = LateSerializer(self.seed) if is_late(self.seed) else None
        # Short windows, so that the figures outlive many of them.
        self.producer = AsyncProducer(
            cluster.bootstrap,
            client_id="simulated",
            value_serializer=late,
            metrics_sample_window_ms=500,
            **plan.options,
        )
        self.producer._rng.seed(self.seed)
        await self.producer.start()
        engine = self._engine()
        self.havoc = Havoc(self.faults)
        self.application = Application(
            plan, self.rng, self.producer, engine,
            strike=self.havoc.strike if not plan.calm else _nothing,
            partitions_of=self._partitions_of,
        )  # fmt: skip
        chaos = asyncio.create_task(self.havoc.now_and_then())
        reader = asyncio.create_task(self.application.read_failures())
        if plan.calm and plan.has_patience and cluster.topics and self.rng.random() < 0.5:
            # Nothing else is going on: whatever it waits for has to wake it.
            await self._expect_delivery(min(cluster.topics), 0, number=-1)
        await self.application.send_everything()
        await self.havoc.finish()
        identity = engine.keeper.identity
        if self.rng.random() < 0.7:
            self.havoc.heal()
            if plan.has_patience:
                if late is not None:
                    late.is_prompt = True
                await self._expect_life()
        report = await self._close()
        self.faults.healed = True
        chaos.cancel()
        await asyncio.wait([chaos, reader])
        # What brokers still hold of closed connections comes to its end.
        await asyncio.sleep(60)
        self._check_rest(engine)
        if plan.calm and not plan.poison and engine.ledger.records_retried:
            self.violations.append(f"{engine.ledger.records_retried} records retried for nothing")
        invariants = Invariants(plan, cluster, self.sent)
        invariants.check()
        self.violations += invariants.violations
        self.outcomes += invariants.outcomes
        self.exceptions += invariants.exceptions
        self._check_report(report)
        self._check_epoch(identity, invariants)
        self._check_amount()

    def _partitions_of(self, name: str) -> list[FakePartition]:
        topic = self.faults.cluster.topics.get(name)
        return [] if topic is None else topic.partitions

    def _engine(self) -> Engine:
        assert self.producer._engine is not None
        return self.producer._engine

    # Once all is well again

    async def _expect_life(self) -> None:
        """Once the cluster is well again, every partition takes a record in good time."""
        await asyncio.sleep(self.plan.longest + 1)
        engine = self._engine()
        if engine.budget.held or engine.budget.waiting:
            self.violations.append(f"{engine.budget.held} bytes held at rest")
        self.violations += audit(engine, self.plan)
        names = sorted(self.faults.cluster.topics)
        for name in names:
            await self.producer.warm_up([name], timeout=5)
        alone = None
        if self.rng.random() < 0.3 and names and not self.plan.calm:
            # A partition without a leader must hold up nobody else.
            partition = self.faults.cluster.topics[names[0]].partitions[0]
            alone = asyncio.create_task(self.havoc.depose(partition, 3600))
            await asyncio.sleep(0)
            self._send_extra(names[0], 0)
        for name in names:
            for index in range(len(self.faults.cluster.topics[name].partitions)):
                if alone is None or (name, index) != (names[0], 0):
                    await self._expect_delivery(name, index)
        if alone is not None:
            alone.cancel()
        elif names and self.plan.delivery_timeout >= self.plan.linger + 5 and not self.calm:
            await self._expect_move()

    async def _expect_move(self) -> None:
        """A record that waits for a broker that went down is taken by the next leader."""
        cluster = self.faults.cluster
        name = self.rng.choice(sorted(cluster.topics))
        partition = self.rng.choice(cluster.topics[name].partitions)
        others = [node for node in cluster.brokers if node != partition.leader]
        if not others or partition.leader not in cluster.brokers:
            return
        broker = cluster.brokers[partition.leader]
        broker.when_down = "refuse"
        broker.stop()
        probe = asyncio.create_task(self._expect_delivery(name, partition.index, extra_time=1.5))
        await asyncio.sleep(0.3)
        cluster.move_leader(partition, self.rng.choice(others))
        await asyncio.wait([probe])
        broker.start()

    def _send_extra(
        self, topic: str, partition: int, *, expedite: bool = False, number: int | None = None
    ) -> Delivery:
        self.extra += 1
        value = b"%d." % (1_000_000 + self.extra if number is None else number)
        return self.producer._send(topic, value, None, partition, 1, (), expedite, True)

    async def _expect_delivery(
        self, topic: str, partition: int, *, number: int | None = None, extra_time: float = 0.0
    ) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        style = self.rng.choice(["linger", "expedite", "flush"])
        delivery = self._send_extra(topic, partition, expedite=style == "expedite", number=number)
        # A record that had to wait for its partition need not linger as well.
        waited = delivery._fate.withdraw is not None
        longest = _PROMPT + extra_time
        if style == "linger":
            longest += self.plan.linger
        elif style == "flush":
            flush = asyncio.ensure_future(self.producer.flush(0.0001))
            await asyncio.wait([flush])
            flush.exception()
        if self.plan.lapses:
            longest += self.plan.delivery_timeout
        await asyncio.wait([delivery], timeout=longest)
        took = loop.time() - started
        if self.plan.lapses and _is_in_doubt(delivery):
            # Its first attempt was not answered, and what it has to follow was lost.
            self.exceptions["in doubt until its time was over"] += 1
        elif not delivery.done() or delivery.exception() is not None:
            self.violations.append(f"{delivery!r} after {took} s ({style}), although all is well")
        elif style == "linger" and not waited and took < self.plan.linger - 1e-6:
            self.violations.append(f"{delivery!r} lingered for {took} s only")

    # The end

    async def _close(self) -> CloseReport:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        timeout = self.rng.choice([None, None, 0, 0.05, 1.0])
        started = loop.now - loop.blocked_for
        report = await self.producer.close(timeout)
        took = loop.now - loop.blocked_for - started
        limit = self.plan.longest + 1 if timeout is None else timeout
        if took > limit + PATIENCE:
            self.violations.append(f"close({timeout}) took {took} s")
        if timeout is None and report.abandoned:
            self.violations.append(f"close() without a timeout abandoned {report.abandoned}")
        return report

    def _check_report(self, report: CloseReport) -> None:
        counted = report.delivered + report.failed + report.abandoned
        withdrawn = sum(1 for s in self.sent if s.cancelled or s.timeout is not None)
        sent = len(self.sent) + self.extra
        if not sent - withdrawn <= counted <= sent:
            self.violations.append(f"{sent} records sent, but reported are {report}")
        done = sum(1 for s in self.sent if s.error is None)
        if not done <= report.delivered <= done + withdrawn + self.extra:
            self.violations.append(f"{done} records delivered, but reported are {report}")
        self._check_failures()

    def _check_failures(self) -> None:
        """failures() tells of each failed record once, and of no other."""
        if not self.application.reads_failures:
            return
        told = Counter(int((v or b"").split(b".")[0]) for v in self.application.failures)
        for sent in self.sent:
            times = told.pop(sent.number, 0)
            withdrawn = sent.cancelled or sent.timeout is not None
            expected = (0, 1) if withdrawn else ((1,) if sent.error is not None else (0,))
            if times not in expected:
                self.violations.append(f"failures() told {times} times of record {sent.number}")

    def _check_epoch(self, identity: ProducerIdentity | None, invariants: Invariants) -> None:
        """The epoch is raised for a reason only: a batch that failed, or a broker that forgot."""
        reasons = self.plan.poison or self.plan.lapses or self.faults.counts["sequence"]
        if identity is None or reasons or not identity.epoch:
            return
        if not any(invariants.may_break_sequence(sent) for sent in self.sent):
            self.violations.append(f"the epoch was raised to {identity.epoch} for nothing")

    def _check_rest(self, engine: Engine) -> None:
        own = {asyncio.current_task()}
        left = asyncio.all_tasks() - own
        if left:
            self.violations.append(f"tasks left: {left}")
        budget = engine.budget
        if budget.held or budget.waiting:
            self.violations.append(f"memory left: {budget.held} held, {budget.waiting} waiting")
        if self.faults.cluster.open_sessions:
            self.violations.append(f"{self.faults.cluster.open_sessions} connections left")
        if engine.crash is not None:
            self.violations.append(f"a task died: {engine.crash!r}")

    def _check_amount(self) -> None:
        if len(self.sent) < FEWEST_RECORDS:
            self.violations.append(f"only {len(self.sent)} records were sent")
        faults = self.faults.counts.total()
        if not self.plan.calm and faults < FEWEST_FAULTS:
            self.violations.append(f"only {faults} faults happened")

    def _check_loop(self, loop: VirtualClockLoop) -> None:
        if loop.pending_timers():
            self.violations.append(f"timers left: {loop.pending_timers()}")
        excused = self.extra or any(s.cancelled or s.timeout is not None for s in self.sent)
        for context in loop.reported:
            if excused and "nobody looked" in context["message"]:
                continue
            self.violations.append(f"the loop was told: {context}")


def _is_in_doubt(delivery: Delivery) -> bool:
    error = delivery.exception() if delivery.done() else None
    return isinstance(error, DeliveryTimeoutError) and error.persisted == "maybe"


def _nothing() -> None:
    """Happens when all is calm."""
