"""The cluster of a simulation, and everything that goes wrong in it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable

from aioproducer.wire.versions import ApiKey
from tests.broker_wire import Request
from tests.fake_broker import Conduct, FakeBroker, FakeCluster
from tests.fake_log import FakePartition, Verb
from tests.simulation_plan import Plan

_REJECTED = (2, 5, 19, 74, 75, 89)
_UNSURE = (3, 6, 56)
_AFTER_APPEND = (7, 20)
_FINAL = (87, 32, 44, 29, -1)
_SEQUENCE = (45, 47, 59)


class Faults:
    """Builds the cluster and wreaks havoc on it until it is healed."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self.plan = plan
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self.healed = False
        self.cluster = self._build_cluster()

    @property
    def is_sound(self) -> bool:
        """Whether the cluster does what it should."""
        return self.healed or self.plan.calm

    def heal(self) -> None:
        """Have everything work again."""
        self.healed = True
        for broker in self.cluster.brokers.values():
            broker.start()
        for partition in self._partitions():
            partition.error_code = 0
            if partition.leader not in self.cluster.brokers:
                self.cluster.move_leader(partition, 1)

    def _build_cluster(self) -> FakeCluster:
        rng = self.rng
        slow = rng.choice([0.0005, 0.002, 0.02])

        def latency() -> float:
            if self.is_sound or rng.random() > 0.01:
                return rng.uniform(0, slow)
            return rng.uniform(0, 0.3)

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
        cluster.is_stale = lambda: not self.is_sound and rng.random() < 0.3
        for name, partitions in self.plan.topics.items():
            if rng.random() < 0.9:
                cluster.add_topic(name, partitions)
        if not self.plan.calm:
            self._make_difficult(cluster)
        return cluster

    def _make_difficult(self, cluster: FakeCluster) -> None:
        rng = self.rng
        cluster.auto_create = rng.choice([0, 2])
        for _ in range(rng.choice([0, 0, 2])):
            cluster.init_script.append(rng.choice([14, 15, 51]))
        if rng.random() < 0.2:
            for topic in cluster.topics.values():
                for partition in topic.partitions:
                    partition.max_message_bytes = 250

    # Faults

    def _conduct(self, broker: FakeBroker, request: Request) -> Conduct | None:
        rng = self.rng
        if self.is_sound or rng.random() >= self.plan.fault_rate / 3:
            return None
        if request.api is not ApiKey.PRODUCE and rng.random() < 0.7:
            return None
        kind = rng.choice(["before", "after", "amid", "stall", "delay", "throttle"])
        self.counts[kind] += 1
        if kind == "stall":
            return Conduct(stall=True)
        if kind == "delay":
            return Conduct(delay=rng.choice([0.05, 0.5, 2.0]))
        if kind == "throttle":
            return Conduct(throttle_ms=rng.choice([10, 300]))
        return Conduct(hang_up=kind)  # type: ignore[arg-type]

    def _verb(self, broker: FakeBroker, partition: FakePartition) -> Verb | None:
        rng = self.rng
        if self.is_sound or rng.random() >= self.plan.fault_rate:
            return None
        kind = rng.choice(["rejected", "rejected", "unsure", "appended", "final", "sequence"])
        self.counts[kind] += 1
        if kind == "rejected":
            return Verb(rng.choice(_REJECTED))
        if kind == "sequence":
            return Verb(rng.choice(_SEQUENCE)) if self.plan.options["enable_idempotence"] else None
        if kind == "unsure":
            return Verb(rng.choice(_UNSURE), append=rng.random() < 0.5)
        if kind == "appended":
            return Verb(rng.choice(_AFTER_APPEND), append=True)
        blamed: list[tuple[int, str | None]] = []
        if rng.random() < 0.5:
            blamed = [(i, "too bad") for i in range(3) if rng.random() < 0.5]
        return Verb(rng.choice(_FINAL), record_errors=blamed) if rng.random() < 0.3 else None

    async def chaos(self) -> None:
        """Let something happen to brokers and partitions now and then."""
        rng = self.rng
        kinds = ["move", "move", "restart", "hang up", "partition", "topic", "leaderless"]
        while not self.is_sound:
            await asyncio.sleep(rng.expovariate(1 / self.plan.chaos))
            if self.healed:
                return
            kind = rng.choice(kinds)
            self.counts[kind] += 1
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
            self.counts["truncated"] += partition.truncate_unacknowledged()

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
