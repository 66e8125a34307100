"""One run of the simulated world with transactions, from its seed to what did not hold."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from aioproducer.errors import (
    FatalTransactionError,
    ProducerError,
    ProducerFencedError,
    TransactionAbortedError,
)
from tests.fake_log import FakePartition
from tests.read_committed import read_committed
from tests.simulation.run import _Unexpected
from tests.simulation.transaction_app import Attempt, SentInTransaction, TransactionApplication
from tests.simulation.transaction_plan import (
    TransactionFaults,
    TransactionHavoc,
    TransactionPlan,
    make_transaction_plan,
)
from tests.simulation.watch import Watch
from tests.virtual_clock import VirtualClockLoop

_PROMPT = 5.0
"""Seconds within which a transaction ends when all is well."""


@dataclass(slots=True)
class TransactionSimulation:
    """One run. ``violations`` is empty when everything held."""

    seed: int
    calm: bool = False
    violations: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    plan: TransactionPlan = field(init=False)
    rng: random.Random = field(init=False)
    faults: TransactionFaults = field(init=False)
    applications: list[TransactionApplication] = field(init=False)

    @property
    def has_begun(self) -> bool:
        """Whether it came as far as to begin anything."""
        return hasattr(self, "applications")

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for each in self.applications for attempt in each.attempts]

    @property
    def sent(self) -> list[SentInTransaction]:
        return [record for attempt in self.attempts for record in attempt.sent]

    def run(self) -> TransactionSimulation:
        self.rng = random.Random(self.seed)
        self.plan = make_transaction_plan(self.rng, calm=self.calm)
        self.faults = TransactionFaults(self.plan, self.rng)
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
        finally:
            logger.removeHandler(unexpected)
            # Not by the attribute: the logger remembers which levels are enabled.
            logger.setLevel(before[0])
            logger.propagate = before[1]
        if loop.pending_timers():
            self.violations.append(f"timers left: {loop.pending_timers()}")
        self.violations += [f"the loop was told: {context}" for context in loop.reported]
        self.violations += [*watch.violations, *unexpected.heard]
        return self

    def digest(self) -> str:
        """Return what sums up this run: equal digests, equal runs."""
        logs = [[s.base_offset for s in p.stored] for p in self.faults.partitions()]
        told = [(a.began_at, repr(a)) for a in self.attempts]
        text = repr((told, logs, sorted(self.faults.counts.items()), self.violations))
        return hashlib.sha256(text.encode()).hexdigest()

    async def _main(self) -> None:
        havoc = TransactionHavoc(self.faults)
        numbers = itertools.count()
        self.applications = [
            TransactionApplication(lineage, self.plan, self.faults, self.rng, lambda: next(numbers))
            for lineage in range(self.plan.lineages)
        ]
        chaos = asyncio.create_task(havoc.now_and_then())
        strike = _nothing if self.plan.calm else havoc.strike
        async with asyncio.TaskGroup() as group:
            for application in self.applications:
                group.create_task(application.run(strike))
        await havoc.finish()
        havoc.heal()
        await self._expect_life()
        await self._close_all()
        chaos.cancel()
        await asyncio.wait([chaos])
        # By now the brokers have given up what nobody ended, and closed connections are gone.
        await asyncio.sleep(self.plan.transaction_timeout + 60)
        self._check_rest()
        for application in self.applications:
            self.violations += application.violations
            self.outcomes += application.outcomes
        Logs(self).check()

    async def _expect_life(self) -> None:
        """Once all is well again, each application can commit again, and soon."""
        await asyncio.sleep(self.plan.longest + self.plan.transaction_timeout + 3)
        loop = asyncio.get_running_loop()
        for application in self.applications:
            for _ in range(30):
                started = loop.time()
                attempt = await application.one()
                if attempt.outcome == "committed" and attempt.sent:
                    break
            else:
                self.violations.append("no transaction succeeds although all is well")
                continue
            took = loop.time() - started
            if took > _PROMPT + self.plan.linger:
                self.violations.append(f"{attempt!r} took {took} s")

    async def _close_all(self) -> None:
        for application in self.applications:
            for producer in application.producers:
                await producer.close()

    def _check_rest(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            self.violations.append(f"tasks left: {left}")
        if self.faults.cluster.open_sessions:
            self.violations.append(f"{self.faults.cluster.open_sessions} connections left")
        for application in self.applications:
            for producer in application.producers:
                engine = producer._engine
                assert engine is not None
                if engine.budget.held or engine.budget.waiting:
                    self.violations.append(f"memory left: {engine.budget.held}")
                if engine.crash is not None:
                    self.violations.append(f"a task died: {engine.crash!r}")


class Logs:
    """The brokers' logs, read committed, against what the applications were told."""

    def __init__(self, simulation: TransactionSimulation) -> None:
        self.violations = simulation.violations
        self._plan = simulation.plan
        self._cluster = simulation.faults.cluster
        self._attempts = simulation.attempts
        self._faults = simulation.faults
        self._applications = simulation.applications
        self._exceptions = simulation.exceptions
        self._record_of = {record.number: record for record in simulation.sent}
        # Records that came after the end of their transaction, to brokers that do not look.
        self._late: set[int] = set()
        # Where each record can be read.
        self._places: dict[int, list[tuple[str, int, int]]] = {}
        self._lineage_of = {
            record.number: attempt.lineage
            for attempt in simulation.attempts
            for record in attempt.sent
        }

    def check(self) -> None:
        for name, topic in sorted(self._cluster.topics.items()):
            for partition in topic.partitions:
                self._read(name, partition)
        self.violations += [v for v in self._cluster.transactions.violations if not self._late]
        for attempt in self._attempts:
            self._check_attempt(attempt)
        for application in self._applications:
            self._check_offsets(application)
        if self._plan.calm:
            self._check_calm()

    def _read(self, name: str, partition: FakePartition) -> None:
        view = read_committed(partition)
        where = f"{name}-{partition.index}"
        late = self._find_late(partition)
        if view.last_stable_offset != partition.next_offset and not late:
            self.violations.append(f"{where} has a hanging transaction")
        last: dict[int, int] = {}
        for offset, record in view.records:
            number = _number(record.value)
            if number in late:
                continue
            self._places.setdefault(number, []).append((name, partition.index, offset))
            lineage = self._lineage_of[number]
            if number <= last.get(lineage, -1):
                self.violations.append(f"{where}: {number} after {last[lineage]}")
            last[lineage] = number

    def _find_late(self, partition: FakePartition) -> set[int]:
        """Return the records that a broker took although their transaction was over.

        Before Kafka 3.6 leaders do not ask the coordinator: a batch that was on its way for too
        long opens a transaction that nobody ends, or joins the next one (KIP-890).
        """
        if self._cluster.transactions.verifies:
            return set()
        late = {
            _number(record.value)
            for stored in partition.stored
            if stored.told_at is None and not stored.batch.is_control
            for record in stored.batch.records
        }
        late = {number for number in late if self._is_in_doubt(number)}
        self._exceptions["late on a broker that does not look"] += len(late)
        self._late |= late
        return late

    def _is_in_doubt(self, number: int) -> bool:
        delivery = self._record_of[number].delivery
        error = None if delivery.cancelled() else delivery.exception()
        return isinstance(error, ProducerError) and error.persisted == "maybe"

    def _check_attempt(self, attempt: Attempt) -> None:
        seen = [record for record in attempt.sent if record.number in self._places]
        if attempt.outcome in ("aborted", "not begun") and seen:
            self.violations.append(f"{attempt!r} is visible: {self._where(seen)}")
        missing = [
            record
            for record in attempt.sent
            if record.number not in self._places and not record.delivery.cancelled()
        ]
        if attempt.outcome == "committed" and missing:
            self.violations.append(f"{attempt!r} lacks {[r.number for r in missing]}")
        if attempt.outcome == "maybe" and seen and missing:
            self.violations.append(f"{attempt!r} is visible in part: {self._where(seen)}")
        if attempt.outcome == "committed" and attempt.usurped and seen:
            self.violations.append(f"{attempt!r} committed after another took over")
        if isinstance(attempt.error, FatalTransactionError):
            self._check_fatal(attempt, attempt.error)
        for record in attempt.sent:
            self._check_record(attempt, record)

    def _check_fatal(self, attempt: Attempt, error: FatalTransactionError) -> None:
        """A producer may be lost only to a newer one, to a transaction's age, or to an order."""
        transactional_id = f"tx-{attempt.lineage}"
        ended = self._cluster.transactions.of(transactional_id).history
        fenced = isinstance(error, ProducerFencedError) and any(not one.by_client for one in ended)
        # A rival of the old protocol leaves the epoch as it is: the coordinator takes the older
        # producer's EndTxn for a repetition, and says INVALID_TXN_STATE.
        told = isinstance(error, ProducerFencedError) or "INVALID_TXN_STATE" in str(error)
        rivals = told and any(
            other.rivalled for other in self._attempts if other.lineage == attempt.lineage
        )
        cannot_renew = not self._plan.renews and "KIP-360" in str(error)
        if not (fenced or rivals or cannot_renew or transactional_id in self._faults.doomed):
            self.violations.append(f"fatal for nothing: {attempt!r}")

    def _where(self, records: Sequence[SentInTransaction]) -> list[list[tuple[str, int, int]]]:
        return [self._places[record.number] for record in records]

    def _check_record(self, attempt: Attempt, record: SentInTransaction) -> None:
        places = self._places.get(record.number, [])
        delivery = record.delivery
        if record.settled != 1:
            self.violations.append(f"{record} was settled {record.settled} times")
            return
        if len(places) > 1:
            self.violations.append(f"record {record.number} is visible at {places}")
        if delivery.cancelled():
            return
        error = delivery.exception()
        if attempt.outcome == "committed" and error is not None:
            says = error.persisted if isinstance(error, ProducerError) else ""
            if says != "maybe":
                self.violations.append(f"{attempt!r} committed without {record.number}: {error!r}")
        if attempt.outcome == "committed" and isinstance(error, TransactionAbortedError):
            self.violations.append(f"{record.number} of {attempt!r}: {error!r}")
        if error is None and places:
            metadata = delivery.result()
            if metadata.has_offset and (*metadata.topic_partition, metadata.offset) != places[0]:
                self.violations.append(f"{metadata} is not true: it is at {places}")

    def _check_offsets(self, application: TransactionApplication) -> None:
        """The group's offsets were committed with the records of their transactions."""
        group = self._cluster.transactions.group(f"readers-{application.lineage}")
        history = [one["inputs", 0] for one in group.history]
        if history != sorted(set(history)):
            self.violations.append(f"offsets were committed in the order {history}")
        for attempt in application.attempts:
            if attempt.offset is None:
                continue
            is_in = attempt.offset in history
            records = any(record.number in self._places for record in attempt.sent)
            if attempt.outcome == "committed" and not is_in:
                self.violations.append(f"{attempt!r}: its offset was not committed")
            if attempt.outcome in ("aborted", "not begun") and is_in:
                self.violations.append(f"{attempt!r}: its offset was committed")
            delivered = [r for r in attempt.sent if not r.delivery.cancelled()]
            if delivered and attempt.offset_taken and is_in is not records:
                self.violations.append(f"{attempt!r}: offset {is_in}, records {records}")

    def _check_calm(self) -> None:
        """Nothing sent means nothing to end."""
        ids = self._cluster.transactions.ids.values()
        ends = [ended for coordinated in ids for ended in coordinated.history]
        begun = [a for a in self._attempts if a.sent or a.offset is not None]
        if len(ends) > len(begun):
            self.violations.append(f"{len(ends)} ends of {len(begun)} transactions")


def _number(value: bytes | None) -> int:
    return int((value or b"").split(b".")[0])


def _nothing() -> None:
    """Happens when all is calm."""
