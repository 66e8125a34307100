"""What a seed of the transactions' simulation decides beforehand, and what goes wrong in it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from dataclasses import dataclass
from typing import Any

from aioproducer.wire.versions import ApiKey
from tests.broker_wire import Request
from tests.fake_broker import (
    KAFKA_2_1,
    KAFKA_2_8,
    KAFKA_3_9,
    KAFKA_4,
    Conduct,
    FakeBroker,
    FakeCluster,
)
from tests.fake_transaction_state import TRANSACTION_ABORTABLE, Coordinated, State
from tests.simulation.faults import Faults
from tests.simulation.havoc import Havoc
from tests.simulation.plan import Plan, make_plan

_RETRIED = {
    ApiKey.FIND_COORDINATOR: (14, 15),
    ApiKey.INIT_PRODUCER_ID: (7, 14, 15, 16, 51),
    ApiKey.ADD_PARTITIONS_TO_TXN: (3, 7, 14, 15, 16, 51),
    ApiKey.ADD_OFFSETS_TO_TXN: (7, 14, 15, 16, 51),
    ApiKey.TXN_OFFSET_COMMIT: (3, 7, 14, 15, 16),
    ApiKey.END_TXN: (7, 14, 15, 16, 51),
}
_ABORTABLE = {
    ApiKey.ADD_PARTITIONS_TO_TXN: (29, 120, -1),
    ApiKey.ADD_OFFSETS_TO_TXN: (30, 120),
    ApiKey.TXN_OFFSET_COMMIT: (22, 25, 30, 82, 120),
}
# TRANSACTION_ABORTABLE is the only one that leaves a producer alive, and only when it commits.
_WHILE_ENDING = (TRANSACTION_ABORTABLE, -1, 53)


@dataclass(slots=True)
class TransactionPlan(Plan):
    """The plan of a run in which transactional producers share a cluster."""

    lineages: int
    """How many transactional ids there are, each with one application."""
    transactions: int
    """How many transactions each of them makes."""
    rivals: bool
    """Whether now and then another producer takes over a transactional id."""
    level: int
    """The transaction.version at first; 0 where the release knows none."""
    levels_change: bool
    slow_markers: bool
    forgets: bool
    """Whether coordinators lose what they had answered from and not replicated."""

    @property
    def names_members(self) -> bool:
        """Whether offsets can say which member of the group commits them (KIP-447)."""
        return bool(self.versions[ApiKey.TXN_OFFSET_COMMIT].maximum >= 3)

    @property
    def renews(self) -> bool:
        """Whether a producer can have a higher epoch without being made anew (KIP-360)."""
        return bool(self.versions[ApiKey.INIT_PRODUCER_ID].maximum >= 3)

    @property
    def transaction_timeout(self) -> float:
        return float(self.options["transaction_timeout_ms"]) / 1000


def make_transaction_plan(rng: random.Random, *, calm: bool = False) -> TransactionPlan:
    plan = make_plan(rng, calm=calm)
    options: dict[str, Any] = plan.options
    options |= {
        "acks": "all",
        "enable_idempotence": True,
        "max_block_ms": rng.choice([1000, 10000]),
        "buffer_memory": rng.choice([2000, 20000, 32 * 2**20]),
        "transaction_timeout_ms": rng.choice([2000, 10000, 20000]),
        # Long waits with many refreshes would take most of a run's time.
        "metadata_max_age_ms": rng.choice([2000, 10000, 300000]),
        "delivery_timeout_ms": min(options["delivery_timeout_ms"], options["linger_ms"] + 8000),
    }
    options.pop("retries", None)
    if calm:
        options |= {"buffer_memory": 2**20, "max_request_size": 2**20, "max_block_ms": 60000}
        options |= {"delivery_timeout_ms": 60000, "transaction_timeout_ms": 60000}
    versions = rng.choice([KAFKA_4, KAFKA_4, KAFKA_4, KAFKA_3_9, KAFKA_2_8, KAFKA_2_1])
    if versions is KAFKA_2_1:
        # A copy of EndTxn that comes late ends the next transaction, and below 2.5 no epoch can be
        # had that would tell them apart: requests are given up only when they must be lost.
        options["request_timeout_ms"] = 3000
        options["delivery_timeout_ms"] = max(
            options["delivery_timeout_ms"], options["linger_ms"] + 3000
        )
    is_new = versions is KAFKA_4
    # A producer that is gone, or late, tells nobody what a coordinator has forgotten.
    forgets = not calm and is_new and plan.nodes > 1 and rng.random() < 0.5
    if forgets:
        options["transaction_timeout_ms"] = 60000
    given = {name.name: getattr(plan, name.name) for name in dataclasses.fields(Plan)}
    given |= {"versions": versions, "lapses": False, "wraps": False}
    return TransactionPlan(
        **given,
        lineages=rng.choice([1, 1, 2]),
        transactions=rng.randint(5, 10),
        rivals=not calm and not forgets and rng.random() < 0.4,
        level=rng.choice([1, 2, 2]) if is_new else 0,
        levels_change=is_new and rng.random() < 0.4,
        slow_markers=rng.random() < 0.3,
        forgets=forgets,
    )


class TransactionFaults(Faults):
    """Spoils requests about transactions as well."""

    plan: TransactionPlan

    def __init__(self, plan: TransactionPlan, rng: random.Random) -> None:
        # The transactional ids that were told, out of nothing, that all is over for them.
        self.doomed: set[str] = set()
        super().__init__(plan, rng)

    def _build_cluster(self) -> FakeCluster:
        cluster = super()._build_cluster()
        for name, partitions in self.plan.topics.items():
            if self.plan.calm and name not in cluster.topics:
                cluster.add_topic(name, partitions)
        transactions = cluster.transactions
        if self.plan.level:
            transactions.level = self.plan.level
        for index in range(self.plan.lineages):
            transactions.of(f"tx-{index}").node = self.rng.choice(list(cluster.brokers))
            transactions.group(f"readers-{index}").node = self.rng.choice(list(cluster.brokers))
        transactions.choose = self._code
        transactions.marker_delay = self._marker_delay
        if self.plan.forgets:
            transactions.lags = self._lags
        return cluster

    def _marker_delay(self) -> float:
        slow = self.plan.slow_markers and not self.is_sound
        return self.rng.choice([0.001, 0.05, 0.4] if slow else [0.0005, 0.002, 0.01])

    def _lags(self, coordinated: Coordinated) -> bool:
        """Move a coordinator whose last word is not replicated, now and soon once more."""
        if self.is_sound or self.rng.random() >= 0.3:
            return False
        self.counts["unreplicated"] += 1
        loop = asyncio.get_running_loop()
        self.move(coordinated)
        loop.call_later(self.rng.choice([0.02, 0.1, 0.5]), self._fail_over, coordinated)
        return True

    def _fail_over(self, coordinated: Coordinated) -> None:
        self.move(coordinated)
        if self.cluster.transactions.lose_end(coordinated):
            self.counts["forgotten"] += 1

    def move(self, coordinated: Coordinated) -> None:
        """Have another broker coordinate an id."""
        others = [node for node in self.cluster.brokers if node != coordinated.node]
        coordinated.node = self.rng.choice(others)
        coordinated.loading_until = asyncio.get_running_loop().time() + 0.01

    def _conduct(self, broker: FakeBroker, request: Request) -> Conduct | None:
        conduct = super()._conduct(broker, request)
        is_about = request.api in _RETRIED
        if conduct is not None or not is_about or self.is_sound:
            return conduct
        if self.rng.random() >= self.plan.fault_rate / 2:
            return None
        kinds = ["before", "after", "amid", "stall", "swallow", "delay"]
        # A late copy of the first InitProducerId fences the producer that has repeated it.
        if self.plan.renews and request.api is not ApiKey.INIT_PRODUCER_ID:
            kinds += ["held", "held"]
        kind = self.rng.choice(kinds)
        self.counts[f"{kind} {request.api.name.lower()}"] += 1
        if kind == "held":
            return Conduct(held=self.rng.choice([0.3, 1.1, 3.2]))
        if kind == "delay":
            return Conduct(delay=self.rng.choice([0.05, 0.5, 2.0]))
        if kind in ("stall", "swallow"):
            return Conduct(stall=kind == "stall", swallow=kind == "swallow")
        return Conduct(hang_up=kind)  # type: ignore[arg-type]

    def _code(self, broker: FakeBroker, request: Request) -> int:
        rng, api = self.rng, request.api
        if self.is_sound or rng.random() >= self.plan.fault_rate:
            return 0
        self.counts[f"code {api.name.lower()}"] += 1
        if rng.random() < 0.05 and not self.plan.forgets:
            if api is ApiKey.END_TXN:
                coordinated = self.cluster.transactions.of(request.body.transactional_id)
                if coordinated.state is not State.ONGOING:
                    # No coordinator would say so of a transaction that it has ended.
                    return 51
                code = rng.choice(_WHILE_ENDING)
                if code != TRANSACTION_ABORTABLE or not request.body.committed:
                    self.doomed.add(request.body.transactional_id)
                return code
            return rng.choice(_ABORTABLE.get(api, (15,)))
        return rng.choice(_RETRIED[api])


class TransactionHavoc(Havoc):
    """Moves coordinators and changes transaction.version, beside everything else."""

    plan: TransactionPlan

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self._kinds += ["coordinator", "coordinator", "group"]
        if self.plan.levels_change:
            self._kinds += ["level"]

    def heal(self) -> None:
        super().heal()
        self._topic()

    def _loading(self) -> float:
        return asyncio.get_running_loop().time() + self.rng.choice([0.0, 0.1, 0.5])

    def _coordinator(self) -> bool:
        place = self.rng.choice(list(self.cluster.transactions.ids.values()))
        place.node = self.rng.choice(list(self.cluster.brokers))
        place.loading_until = self._loading()
        return True

    def _group(self) -> bool:
        place = self.rng.choice(list(self.cluster.transactions.groups.values()))
        place.node = self.rng.choice(list(self.cluster.brokers))
        place.loading_until = self._loading()
        return True

    def _level(self) -> bool:
        transactions = self.cluster.transactions
        transactions.finalize(3 - transactions.level)
        return True
