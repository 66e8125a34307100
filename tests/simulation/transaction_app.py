"""Applications of the transactions' simulation: each makes transactions under one id."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aioproducer import AsyncProducer, Delivery, GroupMetadata, TopicPartition
from aioproducer.errors import (
    FatalTransactionError,
    ProducerError,
    TransactionStateError,
    TransactionTimeoutError,
)
from tests.simulation.faults import POISON, Faults
from tests.simulation.serializers import LateSerializer, is_late
from tests.simulation.transaction_plan import TransactionPlan
from tests.virtual_clock import VirtualClockLoop

INPUTS = TopicPartition("inputs", 0)
_MOST_TRIES = 60


class Wanted(Exception):
    """The body of a transaction raises it on purpose."""


@dataclass(slots=True)
class SentInTransaction:
    """A record of a transaction."""

    number: int
    delivery: Delivery
    poison: bool
    settled: int = 0


@dataclass(slots=True)
class Attempt:
    """One transaction, and what the application was told of it."""

    number: int
    lineage: int
    began_at: float
    sent: list[SentInTransaction] = field(default_factory=list)
    # The offset that the group is to have; whether the producer said that it has it.
    offset: int | None = None
    offset_taken: bool = False
    committing: bool = False
    # "committed", "aborted" (nothing of it may be seen), or "maybe" (all of it or nothing).
    outcome: str = "not begun"
    error: BaseException | None = None
    # Another producer took the id over before the commit was asked for.
    usurped: bool = False
    # It began to, at least.
    rivalled: bool = False
    # Something of it was bound to fail.
    spoilt: bool = False

    def __repr__(self) -> str:
        numbers = [record.number for record in self.sent]
        offset = f", offset {self.offset}" if self.offset is not None else ""
        return (
            f"transaction {self.number} of tx-{self.lineage} with {numbers}{offset}:"
            f" {self.outcome} {self.error!r}"
        )


class TransactionApplication:
    """Makes transactions one after the other; replaces its producer when it has to."""

    def __init__(
        self,
        lineage: int,
        plan: TransactionPlan,
        faults: Faults,
        rng: random.Random,
        numbers: Callable[[], int],
    ) -> None:
        self.lineage = lineage
        self.attempts: list[Attempt] = []
        self.producers: list[AsyncProducer[Any, Any]] = []
        self.violations: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self._plan = plan
        self._faults = faults
        self._rng = rng
        self._number = numbers
        self._offset = 0
        self._rival: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        self._loop = loop
        self.producer: AsyncProducer[Any, Any] | None = None

    async def run(self, strike: Callable[[], None]) -> None:
        for number in range(self._plan.transactions):
            if number and self._rng.random() < 0.4:
                strike()
            await self.one()
            await asyncio.sleep(self._rng.choice([0, 0, 0.01, 0.3]))

    async def one(self) -> Attempt:
        """Make one transaction with the newest producer."""
        producer = await self._a_producer()
        attempt = self._new_attempt()
        style = self._rng.random()
        if style < 0.55:
            await self._with(producer, attempt)
        elif style < 0.7:
            await self._cancelled(producer, attempt)
        else:
            await self._with_calls(producer, attempt)
        if self._rival is not None:
            await self._rival
            self._rival = None
        if isinstance(attempt.error, FatalTransactionError):
            await self._bury(producer)
        self._count(attempt)
        return attempt

    def _new_attempt(self) -> Attempt:
        attempt = Attempt(len(self.attempts), self.lineage, self._loop.now)
        self.attempts.append(attempt)
        return attempt

    def _count(self, attempt: Attempt) -> None:
        self.outcomes[attempt.outcome] += 1
        if attempt.error is not None:
            self.outcomes[type(attempt.error).__name__] += 1
        failed = attempt.outcome != "committed" and not attempt.spoilt
        final = isinstance(attempt.error, FatalTransactionError)
        if self._plan.calm and (self._plan.renews if final else failed):
            self.violations.append(f"{attempt!r} although all is well")

    # Producers

    async def _a_producer(self) -> AsyncProducer[Any, Any]:
        if self.producer is None:
            self.producer = await self._make_producer()
        return self.producer

    async def _make_producer(self) -> AsyncProducer[Any, Any]:
        for _ in range(_MOST_TRIES):
            number = 100 * self.lineage + len(self.producers)
            producer: AsyncProducer[Any, Any] = AsyncProducer(
                self._faults.cluster.bootstrap,
                client_id=f"tx-{self.lineage}-{len(self.producers)}",
                transactional_id=f"tx-{self.lineage}",
                value_serializer=LateSerializer(number) if is_late(number) else None,
                **self._plan.options,
            )
            producer._rng.seed(self._rng.random())
            self.producers.append(producer)
            try:
                await producer.start()
            except ProducerError as error:
                self.outcomes[f"start: {type(error).__name__}"] += 1
                if self._plan.calm:
                    self.violations.append(f"no start although all is well: {error!r}")
            else:
                return producer
        raise AssertionError(f"tx-{self.lineage} cannot be initialized")

    async def _bury(self, producer: AsyncProducer[Any, Any]) -> None:
        """A fatal error is final: nothing may succeed any more."""
        try:
            producer.begin_transaction()
        except FatalTransactionError:
            pass
        except TransactionStateError as error:
            self.violations.append(f"after a fatal error: {error!r}")
        else:
            self.violations.append("a transaction began after a fatal error")
        await producer.close()
        if self.producer is producer:
            self.producer = None

    async def _usurp(self, attempt: Attempt) -> None:
        """Start another producer of the same id, and a transaction of it beside this one."""
        attempt.rivalled = True
        newer = await self._make_producer()
        attempt.usurped = True
        self.producer = newer
        self._rival = asyncio.create_task(self._beside(newer))

    async def _beside(self, producer: AsyncProducer[Any, Any]) -> None:
        attempt = self._new_attempt()
        await self._with(producer, attempt, may_usurp=False)
        self._count(attempt)
        if isinstance(attempt.error, FatalTransactionError):
            await self._bury(producer)

    # Styles

    def _timeout(self) -> float:
        return self._rng.choice([0.05, 1.0, 5.0, 5.0]) if not self._faults.is_sound else 60.0

    async def _with(
        self, producer: AsyncProducer[Any, Any], attempt: Attempt, *, may_usurp: bool = True
    ) -> None:
        try:
            async with producer.transaction(timeout=self._timeout()) as tx:
                attempt.outcome = "aborted"
                await self._body(attempt, tx.send, tx.send_offsets, may_usurp)
                attempt.committing = True
                attempt.outcome = "maybe"
            attempt.outcome = "committed"
        except (Wanted, asyncio.CancelledError) as error:
            attempt.error = error
        except ProducerError as error:
            attempt.error = error
            if attempt.committing and not _is_doubtful(error):
                attempt.outcome = "aborted"

    async def _cancelled(self, producer: AsyncProducer[Any, Any], attempt: Attempt) -> None:
        """Cancel at any moment: before it begins, within the body, or while it commits."""
        attempt.spoilt = True
        task = asyncio.create_task(self._with(producer, attempt))
        timer = self._loop.call_later(self._rng.choice([0, 0.003, 0.02, 0.5]), task.cancel)
        await asyncio.wait([task])
        timer.cancel()
        if not task.cancelled():
            task.result()

    async def _with_calls(self, producer: AsyncProducer[Any, Any], attempt: Attempt) -> None:
        try:
            # What an earlier transaction left under way has to end first.
            await producer._settle_transaction(60)
            producer.begin_transaction()
        except ProducerError as error:
            attempt.error = error
            attempt.outcome = "not begun"
            return
        attempt.outcome = "aborted"
        try:
            await self._body(attempt, producer.send, producer.send_offsets_to_transaction, True)
            attempt.committing = True
            attempt.outcome = "maybe"
            await self._insist(producer.commit_transaction, persisted="maybe")
            attempt.outcome = "committed"
        except (Wanted, ProducerError) as error:
            attempt.error = error
            if isinstance(error, FatalTransactionError):
                return
            if attempt.committing and _is_doubtful(error):
                return
            attempt.outcome = "aborted"
            try:
                await self._insist(producer.abort_transaction, persisted="no")
            except FatalTransactionError as fatal:
                attempt.error = fatal

    async def _insist(self, end: Callable[[float], Awaitable[None]], *, persisted: str) -> None:
        """Call again until it is over."""
        for _ in range(_MOST_TRIES):
            started = self._loop.now - self._loop.blocked_for
            timeout = self._timeout()
            try:
                await end(timeout)
            except TransactionTimeoutError as error:
                took = self._loop.now - self._loop.blocked_for - started
                if took > self._plan.delivery_timeout + timeout + 1.5:
                    self.violations.append(f"gave up after {took} s, not {timeout}: {error!r}")
                if error.persisted != persisted:
                    self.violations.append(f"{error!r} says {error.persisted}")
                continue
            return
        self.violations.append(f"{end} never ended")

    # What is in a transaction

    async def _body(self, attempt: Attempt, send: Any, send_offsets: Any, may_usurp: bool) -> None:
        rng = self._rng
        usurps = may_usurp and self._plan.rivals and rng.random() < 0.15
        count = rng.randint(0, 8)
        moment = rng.randint(0, count)
        for index in range(count + 1):
            if index == moment:
                await self._midway(attempt, send_offsets, usurps=usurps)
            if index < count:
                self._send(attempt, send)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice([0, 0.002, 0.02, 0.1]))
        if rng.random() < 0.15:
            await asyncio.wait([r.delivery for r in attempt.sent] or [_done(self._loop)])
        if rng.random() < 0.1:
            attempt.spoilt = True
            raise Wanted

    async def _midway(self, attempt: Attempt, send_offsets: Any, *, usurps: bool) -> None:
        rng = self._rng
        if usurps:
            await self._usurp(attempt)
        if rng.random() < 0.04 and not self._faults.is_sound and not self._plan.forgets:
            # The brokers have no more patience with it.
            await asyncio.sleep(self._plan.transaction_timeout * rng.choice([0.9, 1.2]))
        if rng.random() < 0.35:
            self._offset += 1
            attempt.offset = self._offset
            try:
                await send_offsets({INPUTS: self._offset}, self._group_metadata(attempt))
            except FatalTransactionError:
                raise
            except ProducerError:
                if rng.random() < 0.5:
                    raise
                # Who goes on all the same must not be able to commit without the offsets.
            else:
                attempt.offset_taken = True

    def _group_metadata(self, attempt: Attempt) -> GroupMetadata | str:
        group = self._faults.cluster.transactions.group(f"readers-{self.lineage}")
        if self._rng.random() < 0.5 or not self._plan.names_members:
            return group.group_id
        if not group.members or self._rng.random() < 0.2:
            group.rebalance({f"member-{group.generation}": None})
        (member,) = group.members
        generation = group.generation
        if self._rng.random() < 0.1:
            attempt.spoilt = True
            generation -= 1
        return GroupMetadata(group.group_id, generation, member)

    def _send(self, attempt: Attempt, send: Any) -> None:
        rng = self._rng
        number = self._number()
        value = b"%d." % number + b"." * rng.choice([0, 0, 10, 60])
        poison = self._plan.poison and rng.random() < 0.05
        if poison:
            attempt.spoilt = True
            value += POISON
        timeout = rng.choice([0.0, 0.005, 0.3]) if rng.random() < 0.02 else None
        attempt.spoilt |= timeout is not None
        topic = rng.choice(list(self._plan.topics))
        delivery = send(topic, value, partition=rng.choice([None, 0]), timeout=timeout)
        record = SentInTransaction(number, delivery, poison)
        attempt.sent.append(record)
        delivery.add_done_callback(lambda _: _settled(record))
        if rng.random() < 0.01:
            attempt.spoilt = True
            delivery.cancel()


def _settled(record: SentInTransaction) -> None:
    record.settled += 1


def _is_doubtful(error: BaseException) -> bool:
    """Return whether a commit that ended so may have happened."""
    return isinstance(error, (TransactionTimeoutError, FatalTransactionError))


def _done(loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    future = loop.create_future()
    future.set_result(None)
    return future
