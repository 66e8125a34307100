"""The cluster of a simulation, and what goes wrong with single requests and batches."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable

from aioproducer.wire.versions import ApiKey
from tests.broker_wire import Request
from tests.fake_broker import Conduct, FakeBroker, FakeCluster, Session
from tests.fake_log import FakePartition, Verb
from tests.simulation.plan import Plan

_REJECTED = (2, 5, 19, 74, 75, 89)
_UNSURE = (3, 6, 56)
_AFTER_APPEND = (7, 20)
_FINAL = (87, 32, 44, 29, -1)
_SEQUENCE = (45, 47, 59)
POISON = b"!"


def is_poison(value: bytes | None) -> bool:
    return value is not None and value.endswith(POISON)


class Faults:
    """Builds the cluster, and spoils requests, answers and appends until it is healed."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self.plan = plan
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self.healed = False
        self.on_request: Callable[[FakeBroker, Request], None] = lambda _, __: None
        self.cluster = self._build_cluster()

    @property
    def is_sound(self) -> bool:
        """Whether the cluster does what it should."""
        return self.healed or self.plan.calm

    def partitions(self) -> list[FakePartition]:
        return [p for _, topic in sorted(self.cluster.topics.items()) for p in topic.partitions]

    # The cluster

    def _build_cluster(self) -> FakeCluster:
        rng = self.rng
        cluster = FakeCluster(
            self.plan.nodes,
            versions=self.plan.versions,
            latency=self._latency,
            service_time=lambda: rng.choice([0, 0, 0.0002, 0.005]),
            pieces=self._pieces,
        )
        cluster.outgoing = self._outgoing
        cluster.hints = rng.random() < 0.5
        cluster.says_duplicate = rng.random() < 0.3
        cluster.chooser = self._conduct
        cluster.choose = self._verb
        cluster.is_stale = lambda: not self.is_sound and rng.random() < 0.3
        # Whoever gives out producer ids may not be ready yet, even when all else is well.
        for _ in range(rng.choice([0, 0, 2])):
            cluster.init_script.append(rng.choice([14, 15, 51]))
        for name, partitions in self.plan.topics.items():
            if rng.random() < 0.9:
                cluster.add_topic(name, partitions)
        if not self.plan.calm:
            self._make_difficult(cluster)
        return cluster

    def _make_difficult(self, cluster: FakeCluster) -> None:
        rng = self.rng
        cluster.auto_create = rng.choice([0, 2])
        if rng.random() < 0.2:
            for topic in cluster.topics.values():
                for partition in topic.partitions:
                    partition.max_message_bytes = 250

    # The network

    def _latency(self) -> float:
        rng = self.rng
        if self.is_sound or rng.random() > 0.01:
            return rng.uniform(0, self.plan.slow)
        self.counts["slow network"] += 1
        return rng.uniform(0, 0.3)

    def _pieces(self, frame: bytes) -> Iterable[bytes]:
        rng = self.rng
        if rng.random() < 0.9 or len(frame) < 2:
            return (frame,)
        cut = rng.randint(1, len(frame) - 1)
        return (frame[:cut], frame[cut:])

    def _outgoing(self, session: Session, data: bytes) -> Iterable[bytes]:
        rng = self.rng
        if rng.random() < 0.97:
            return (data,)
        cut = rng.randint(1, len(data) - 1)
        if self.is_sound or rng.random() >= self.plan.fault_rate:
            return (data[:cut], data[cut:])
        # Only the beginning arrives before the connection breaks.
        self.counts["request cut"] += 1
        session.cut = True
        return (data[:cut],)

    # Requests and batches

    def _conduct(self, broker: FakeBroker, request: Request) -> Conduct | None:
        rng = self.rng
        self.on_request(broker, request)
        if request.api is ApiKey.PRODUCE:
            # Partitions made later, by whomever, refuse poison as well.
            self._forbid_poison()
        if self.is_sound or rng.random() >= self.plan.fault_rate / 3:
            return None
        if request.api is not ApiKey.PRODUCE and rng.random() < 0.7:
            return None
        kind = rng.choice(["before", "after", "amid", "stall", "swallow", "delay", "throttle"])
        self.counts[kind] += 1
        if kind == "stall":
            return Conduct(stall=True)
        if kind == "swallow":
            return Conduct(swallow=True)
        if kind == "delay":
            return Conduct(delay=rng.choice([0.05, 0.5, 2.0]))
        if kind == "throttle":
            return Conduct(throttle_ms=rng.choice([10, 300]))
        return Conduct(hang_up=kind)  # type: ignore[arg-type]

    def _forbid_poison(self) -> None:
        if self.plan.poison:
            for partition in self.partitions():
                partition.is_poison = is_poison

    def _verb(self, broker: FakeBroker, partition: FakePartition) -> Verb | None:
        rng = self.rng
        if self.is_sound or rng.random() >= self.plan.fault_rate:
            return None
        kind = rng.choice(["rejected", "rejected", "unsure", "appended", "final", "sequence"])
        if kind == "sequence" and not self.plan.is_idempotent:
            return None
        if kind == "final" and rng.random() < 0.7:
            return None
        self.counts[kind] += 1
        if kind == "rejected":
            return Verb(rng.choice(_REJECTED))
        if kind == "sequence":
            return Verb(rng.choice(_SEQUENCE))
        if kind == "unsure":
            return Verb(rng.choice(_UNSURE), append=rng.random() < 0.5)
        if kind == "appended":
            if rng.random() < 0.2:
                # Lowered between two attempts: what is in the log already is now too large.
                self.counts["limit"] += 1
                partition.max_message_bytes = 150
            return Verb(rng.choice(_AFTER_APPEND), append=True)
        blamed: list[tuple[int, str | None]] = []
        if rng.random() < 0.5:
            blamed = [(i, "too bad") for i in range(3) if rng.random() < 0.5]
        return Verb(rng.choice(_FINAL), record_errors=blamed)
