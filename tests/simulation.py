"""A simulated world: one producer, several brokers, faults, and what must hold afterwards.

Everything random comes from one seed, and time is virtual, so a seed replays exactly.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aioproducer import AsyncProducer, BufferExhaustedError, Delivery, ProducerError
from aioproducer.errors import MetadataNotReadyError
from aioproducer.runtime.deadline import fail_after
from aioproducer.wire.versions import ApiKey
from tests.broker_wire import Request
from tests.fake_broker import Conduct, FakeBroker, FakeCluster
from tests.fake_log import FakePartition, Verb
from tests.simulation_plan import Plan, make_plan
from tests.virtual_clock import VirtualClockLoop

PATIENCE = 0.5
"""Seconds by which a bound may be missed: a latency, a turn of the loop, the network's delays."""

_REJECTED = (2, 5, 19, 74, 75, 89)
_UNSURE = (3, 6, 56)
_AFTER_APPEND = (7, 20)
_FINAL = (87, 32, 44, 29, -1)
_SEQUENCE = (45, 47, 59)


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
    faults: Counter[str] = field(default_factory=Counter)
    sent: list[Sent] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    plan: Plan = field(init=False)
    rng: random.Random = field(init=False)
    cluster: FakeCluster = field(init=False)
    producer: AsyncProducer[Any, Any] = field(init=False)
    healed: bool = False
    closing: bool = False
    forgot: bool = False

    def run(self) -> Simulation:
        self.rng = random.Random(self.seed)
        self.plan = make_plan(self.rng)
        self.cluster = self._build_cluster()
        loop = VirtualClockLoop(self.cluster)
        with asyncio.Runner(debug=False, loop_factory=lambda: loop) as runner:
            runner.run(self._main())
            self._check_loop(loop)
        return self

    def _build_cluster(self) -> FakeCluster:
        rng = self.rng
        slow = rng.choice([0.0005, 0.002, 0.02])

        def latency() -> float:
            return rng.uniform(0, slow) if rng.random() > 0.01 else rng.uniform(0, 0.3)

        def pieces(frame: bytes) -> Iterable[bytes]:
            if rng.random() < 0.9:
                return (frame,)
            cut = rng.randint(0, len(frame))
            return (frame[:cut], frame[cut:])

        cluster = FakeCluster(
            self.plan.nodes,
            versions=self.plan.versions,
            latency=latency,
            service_time=lambda: rng.choice([0, 0, 0.0002, 0.005]),
            pieces=pieces,
        )
        cluster.hints = rng.random() < 0.5
        cluster.says_duplicate = rng.random() < 0.3
        cluster.chooser = self._conduct
        cluster.choose = self._verb
        cluster.is_stale = lambda: not self.healed and rng.random() < 0.3
        for name, partitions in self.plan.topics.items():
            if rng.random() < 0.9:
                cluster.add_topic(name, partitions)
        cluster.auto_create = rng.choice([0, 2])
        for _ in range(rng.choice([0, 0, 2])):
            cluster.init_script.append(rng.choice([14, 15, 51]))
        if rng.random() < 0.2:
            for topic in cluster.topics.values():
                for partition in topic.partitions:
                    partition.max_message_bytes = 250
        return cluster

    # Faults

    def _conduct(self, broker: FakeBroker, request: Request) -> Conduct | None:
        rng = self.rng
        if self.healed or rng.random() >= self.plan.fault_rate / 3:
            return None
        if request.api is not ApiKey.PRODUCE and rng.random() < 0.7:
            return None
        kind = rng.choice(["before", "after", "amid", "stall", "delay", "throttle"])
        self.faults[kind] += 1
        if kind == "stall":
            return Conduct(stall=True)
        if kind == "delay":
            return Conduct(delay=rng.choice([0.05, 0.5, 2.0]))
        if kind == "throttle":
            return Conduct(throttle_ms=rng.choice([10, 300]))
        return Conduct(hang_up=kind)  # type: ignore[arg-type]

    def _verb(self, broker: FakeBroker, partition: FakePartition) -> Verb | None:
        rng = self.rng
        if self.healed or rng.random() >= self.plan.fault_rate:
            return None
        kind = rng.choice(["rejected", "rejected", "unsure", "appended", "final", "sequence"])
        self.faults[kind] += 1
        if kind == "rejected":
            return Verb(rng.choice(_REJECTED))
        if kind == "sequence":
            return Verb(rng.choice(_SEQUENCE)) if self._is_idempotent else None
        if kind == "unsure":
            return Verb(rng.choice(_UNSURE), append=rng.random() < 0.5)
        if kind == "appended":
            return Verb(rng.choice(_AFTER_APPEND), append=True)
        blamed: list[tuple[int, str | None]] = []
        if rng.random() < 0.5:
            blamed = [(i, "too bad") for i in range(3) if rng.random() < 0.5]
        return Verb(rng.choice(_FINAL), record_errors=blamed) if rng.random() < 0.3 else None

    async def _chaos(self) -> None:
        rng = self.rng
        kinds = ["move", "move", "restart", "hang up", "partition", "topic", "leaderless"]
        while not self.healed:
            await asyncio.sleep(rng.expovariate(1 / self.plan.chaos))
            if self.healed:
                return
            kind = rng.choice(kinds)
            self.faults[kind] += 1
            await self._wreak(kind)

    async def _wreak(self, kind: str) -> None:
        rng = self.rng
        brokers = list(self.cluster.brokers.values())
        partitions = self._partitions()
        if kind == "restart":
            await self._restart(rng.choice(brokers))
        elif kind == "hang up":
            rng.choice(brokers).hang_up()
        elif kind == "topic":
            for name, count in self.plan.topics.items():
                if name not in self.cluster.topics:
                    self.cluster.add_topic(name, count)
        elif not partitions:
            return
        elif kind == "move":
            self._move(rng.choice(partitions))
        elif kind == "partition":
            self.cluster.add_partition(rng.choice(sorted(self.cluster.topics)))
        elif kind == "leaderless":
            await self._depose(rng.choice(partitions))

    def _partitions(self) -> list[FakePartition]:
        return [p for _, topic in sorted(self.cluster.topics.items()) for p in topic.partitions]

    def _move(self, partition: FakePartition) -> None:
        self.cluster.move_leader(partition, self.rng.choice(list(self.cluster.brokers)))
        if self.plan.truncates:
            self.faults["truncated"] += partition.truncate_unacknowledged()

    async def _depose(self, partition: FakePartition) -> None:
        leader = partition.leader
        self.cluster.move_leader(partition, -1)
        partition.error_code = 5
        await asyncio.sleep(self.rng.choice([0.05, 0.5]))
        partition.error_code = 0
        self.cluster.move_leader(partition, leader)

    async def _restart(self, broker: FakeBroker) -> None:
        rng = self.rng
        broker.when_down = rng.choice(["refuse", "hang"])
        broker.stop()
        await asyncio.sleep(rng.choice([0.01, 0.2, 1.0]))
        if len(self.cluster.brokers) > 1 and rng.random() < 0.7:
            others = [n for n in self.cluster.brokers if n != broker.node_id]
            for partition in self._partitions():
                if partition.leader == broker.node_id:
                    self.cluster.move_leader(partition, rng.choice(others))
            await asyncio.sleep(rng.choice([0.05, 1.0]))
        broker.start()

    # The application

    async def _main(self) -> None:
        rng = self.rng
        plan = self.plan
        self.producer = AsyncProducer(self.cluster.bootstrap, **plan.options)
        self.producer._rng.seed(self.seed)
        await self.producer.start()
        engine = self.producer._engine
        assert engine is not None
        chaos = asyncio.create_task(self._chaos())
        share = plan.records // plan.senders
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.senders):
                group.create_task(self._send_records(share))
            group.create_task(self._flush_now_and_then())
        if rng.random() < 0.7:
            self.healed = True
            self._heal()
        await self._close()
        self.healed = True
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
        self._check()

    def _heal(self) -> None:
        for broker in self.cluster.brokers.values():
            broker.start()
        for partition in self._partitions():
            partition.error_code = 0
            if partition.leader not in self.cluster.brokers:
                self.cluster.move_leader(partition, 1)

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
            else:
                delivery = self.producer._send(
                    topic, value, key, partition, stamp, (), style > 0.9, True
                )
                if timeout is not None:
                    fail_after(delivery, timeout)
        except (BufferExhaustedError, MetadataNotReadyError):
            self.outcomes["refused"] += 1
            return
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
        self.closing = True
        report = await self.producer.close(timeout)
        took = loop.time() - started
        limit = self._longest() + 1 if timeout is None else timeout
        if took > limit + PATIENCE:
            self.violations.append(f"close({timeout}) took {took} s")
        counted = report.delivered + report.failed + report.abandoned
        withdrawn = sum(1 for s in self.sent if s.cancelled or s.timeout is not None)
        if not len(self.sent) - withdrawn <= counted <= len(self.sent):
            self.violations.append(f"{len(self.sent)} records sent, but reported are {report}")
        if timeout is None and report.abandoned:
            self.violations.append(f"close() without a timeout abandoned {report.abandoned}")

    def _longest(self) -> float:
        options = self.plan.options
        return float(max(options["delivery_timeout_ms"], options["max_block_ms"])) / 1000

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
