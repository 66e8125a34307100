"""The TransactionManager: one coroutine that drives init, begin, commit and abort (KIP-98, 890)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from aioproducer.config import ProducerConfig
from aioproducer.core.transaction import TransactionEvent, TransactionState
from aioproducer.core.transaction_outcome import Abortable, Again, Fatal, Refused
from aioproducer.core.transaction_scope import OffsetsToCommit, Step, TransactionScope
from aioproducer.errors import ProducerError, TransactionStateError
from aioproducer.runtime.coordinator_client import CoordinatorClient
from aioproducer.runtime.events import event
from aioproducer.runtime.pending_operation import Operation, Operations, Pending
from aioproducer.runtime.producer_id import ProducerIdKeeper
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.transaction_steps import TransactionSteps

logger = logging.getLogger("aioproducer")

_FEATURES_S = 1.0

_OPEN = frozenset({TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR})
_ENDING = frozenset({TransactionState.COMMITTING, TransactionState.ABORTING})


class Records(Protocol):
    """The records of the producer, as far as a transaction has to do with them."""

    def is_quiet(self) -> bool:
        """Return whether no record waits, is open, or is on the wire."""

    def hurry(self, done: Callable[[], None]) -> Callable[[], None]:
        """Send everything without lingering; ``done`` once it is settled. Returns what ends it."""

    def withdraw(self, make_error: Callable[[], ProducerError], *, keep_doubtful: bool) -> None:
        """Fail everything that is not on the wire."""

    def offer_everything(self) -> None:
        """Have every partition that has something to send looked at."""


class TransactionManager:
    """Keeps the promises of a transactional id; ``run`` is its task."""

    def __init__(
        self,
        config: ProducerConfig,
        client_id: str,
        scope: TransactionScope,
        client: CoordinatorClient,
        keeper: ProducerIdKeeper,
        records: Records,
        rng: random.Random,
        watch: StallWatch,
        *,
        on_fatal: Callable[[ProducerError], object],
        on_state: Callable[[TransactionState], None],
    ) -> None:
        self.scope = scope
        self._client_id = client_id
        self._client = client
        self._keeper = keeper
        self._records = records
        self._rng = rng
        self._watch = watch
        self._on_fatal = on_fatal
        self._on_state = on_state
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        # Records have clocks of their own: each is settled by delivery.timeout.ms.
        patience = config.delivery_timeout_ms / 1000 + 1
        self._operations = Operations(patience, watch, lambda: client.last_error)
        self._steps = TransactionSteps(
            client_id, scope, client, keeper,
            on_added=records.offer_everything, on_offsets=self._operations.granted,
        )  # fmt: skip
        self._closed = False

    # What others tell

    def wake(self) -> None:
        """Have the task look again: something was released, or is wanted."""
        self._wake.set()
        # Not left to the task, which may be waiting for an answer.
        pending = self._operations.current
        if pending is not None and self._records.is_quiet():
            pending.settled()

    def record_failed(self, error: ProducerError) -> None:
        """Note a record that finally failed: its transaction can no longer be committed."""
        if self._client.is_fatal_for_producing(error):
            self._doom(self._final(error))
        else:
            self._fault(error)

    def require_open(self) -> None:
        """Return if a record can be taken now.

        Raises :exc:`TransactionStateError` where the program is at fault, else what the record's
        Delivery is to fail with.
        """
        state = self.scope.state
        if state is TransactionState.IN_TRANSACTION:
            return
        if state is TransactionState.ABORTABLE_ERROR:
            raise self.scope.aborted()
        if state is TransactionState.FATAL_ERROR:
            raise self.scope.cause()
        raise TransactionStateError(
            f"send() needs an open transaction, the producer is {state.value}",
            what_next="Begin one: `async with producer.transaction()`.",
        )

    # What callers await

    async def initialize(self, timeout: float) -> None:
        """Obtain the identity of the transactional id, fencing older producers; once."""
        pending = self._operations.current
        if pending is None or pending.operation is not Operation.INITIALIZE:
            if self.scope.state is not TransactionState.UNINITIALIZED:
                self._raise_fatal()
                return
            self._apply(TransactionEvent.INITIALIZE)
            pending = self._begin_operation(Operation.INITIALIZE)
        await self._operations.finish(pending, timeout)

    def begin(self) -> None:
        """Open a transaction; asks nobody."""
        self._raise_fatal()
        self._operations.require_ended()
        self._apply(TransactionEvent.BEGIN)
        self._operations.current = None
        self.scope.began_at = self._loop.time()

    async def commit(self, timeout: float) -> None:
        """Deliver all records, then end the transaction so that they become visible."""
        self._raise_fatal()
        pending = self._operations.attach(Operation.COMMIT)
        if pending is None:
            if self.scope.state is TransactionState.ABORTABLE_ERROR:
                raise self.scope.cause()
            self._apply(TransactionEvent.COMMIT)
            pending = self._begin_operation(Operation.COMMIT)
            pending.undo = self._records.hurry(self.wake)
        await self._operations.finish(pending, timeout)

    async def abort(self, timeout: float) -> None:
        """Give up what is not yet on its way, then end the transaction; nothing becomes visible."""
        self._raise_fatal()
        pending = self._operations.attach(Operation.ABORT)
        if pending is None:
            self._apply(TransactionEvent.ABORT)
            pending = self._begin_operation(Operation.ABORT)
            self._operations.fail_offsets(self.scope.aborted())
            self._withdraw()
        await self._operations.finish(pending, timeout)

    async def send_offsets(self, offsets: OffsetsToCommit, timeout: float) -> None:
        """Add a consumer group's offsets to the open transaction."""
        self._raise_fatal()
        state = self.scope.state
        if state is TransactionState.ABORTABLE_ERROR:
            raise self.scope.cause()
        if state is not TransactionState.IN_TRANSACTION:
            raise TransactionStateError(
                f"{Operation.SEND_OFFSETS.value} needs an open transaction, the producer is"
                f" {state.value}",
                what_next="Begin one: `async with producer.transaction()`.",
            )
        if not offsets.offsets:
            return
        pending = self._operations.wished(offsets)
        if pending is None:
            pending = self._operations.wish(offsets)
            self.scope.offsets.append(offsets)
            self.wake()
        await self._operations.finish(pending, timeout)

    async def settle(self, timeout: float) -> None:
        """Return once no operation is under way, as the next transaction needs.

        Raises :exc:`TransactionTimeoutError` if one still is after ``timeout`` seconds.
        """
        await self._operations.ended(timeout)

    async def leave(self, timeout: float) -> None:
        """Abort what is open and finish what is under way, as far as ``timeout`` seconds allow."""
        try:
            async with self._watch.timeout(timeout):
                if self.scope.is_ending or self._is_renewing():
                    await self.settle(timeout)
                if self.scope.state in _OPEN:
                    await self.abort(timeout)
        except (ProducerError, TimeoutError) as error:
            logger.debug("[%s] closing: %s", self._client_id, error)

    def close(self, error: ProducerError) -> None:
        """Ask for nothing more, fail whoever still waits, say what is left open; once."""
        if self._closed:
            return
        self._closed = True
        scope = self.scope
        failure = error.replica()
        is_commit = scope.state is TransactionState.COMMITTING
        if is_commit and scope.end_in_doubt:
            failure.persisted = "maybe"
        # While the next identity is asked for, the commit or abort itself is done.
        self._operations.settle(None if self._is_renewing() else failure)
        self._operations.fail_offsets(error)
        if not scope.started or scope.state not in _OPEN | _ENDING:
            return
        logger.warning(
            "[%s] closed before its transaction was ended: %s",
            self._client_id,
            "its commit was asked for and may have taken effect"
            if is_commit and scope.end_in_doubt
            else "the brokers abort it after transaction.timeout.ms, until then it holds up"
            " consumers that read committed",
        )

    def _is_renewing(self) -> bool:
        current = self._operations.current
        return (
            self.scope.state is TransactionState.INITIALIZING
            and current is not None
            and current.operation is not Operation.INITIALIZE
        )

    # The task

    async def run(self) -> None:
        """Ask coordinators for what is owed, until closed or cancelled."""
        attempt = 0
        while not self._closed:
            self._wake.clear()
            step = self.scope.next_step(quiet=self._records.is_quiet())
            if step is None:
                attempt = 0
                await self._wake.wait()
                continue
            try:
                await self._perform(step)
                attempt = 0
            except Again as again:
                logger.debug("[%s] %s again: %s", self._client_id, step.name, again.error)
                await asyncio.sleep(self._client.pause(again, attempt, self._rng))
                attempt += 1

    async def _perform(self, step: Step) -> None:
        """Ask once; raises :exc:`Again` when the same may succeed later."""
        try:
            outcome = await self._steps.take(step)
            if outcome is not None:
                self._moved(outcome)
                if step is Step.END:
                    await self._refresh_features()
        except Abortable as failure:
            self._fault(failure.error)
        except Refused as failure:
            self._refused(failure.error)
        except Fatal as failure:
            self._doom(self._final(failure.error))
        if self.scope.state is TransactionState.FATAL_ERROR:
            self._operations.settle(self.scope.cause())

    def _moved(self, outcome: TransactionEvent) -> None:
        """Go on to the next state; whoever waited for the one between transactions is told."""
        self._apply(outcome)
        if outcome is not TransactionEvent.RENEW:
            self._operations.settle(None)

    async def _refresh_features(self) -> None:
        """Now and then, and neither at the cost of who waits for the end nor of the next one."""
        with suppress(TimeoutError):
            async with self._watch.timeout(_FEATURES_S):
                await self._client.refresh_features(self._loop.time())

    def _refused(self, error: ProducerError) -> None:
        """The brokers deny the first identity: it can be asked for again."""
        if self._keeper.identity is not None:
            self._doom(self._final(error))
            return
        self._apply(TransactionEvent.REFUSED)
        self._operations.settle(error)

    # Errors

    def _final(self, error: ProducerError) -> ProducerError:
        return self._client.fatal(error, self.scope.began_at, self._loop.time())

    def _fault(self, error: ProducerError) -> None:
        if not self.scope.fault(error):
            return
        logger.warning(
            "[%s] the transaction has to be aborted: %s",
            self._client_id,
            error,
            extra=event("transaction.spoiled", self._client_id, error=str(error)),
        )
        self._on_state(self.scope.state)
        if self._operations.is_under_way(Operation.COMMIT):
            self._operations.settle(self.scope.cause())
        self._operations.fail_offsets(self.scope.cause())
        # Not here: this may be called in the midst of settling a request.
        self._loop.call_soon(self._withdraw_lost)

    def _doom(self, error: ProducerError) -> None:
        state, renewing = self.scope.state, self._is_renewing()
        if not self.scope.doom(error):
            return
        if state is TransactionState.COMMITTING and self.scope.end_in_doubt:
            # It may have taken effect before whatever made the repetition fail.
            error.persisted = "maybe"
        if renewing:
            # The commit or abort is done, only what comes after it failed: the next one says so.
            self._operations.settle(None)
        logger.error(
            "[%s] transactions are over for good: %s",
            self._client_id,
            error,
            extra=event("transaction.fatal", self._client_id, error=str(error)),
        )
        self._on_state(self.scope.state)
        self._operations.fail_offsets(self.scope.cause())
        self._operations.settle(self.scope.cause())
        self._loop.call_soon(self._on_fatal, error)

    def _withdraw_lost(self) -> None:
        if self.scope.is_lost:
            self._withdraw()

    def _withdraw(self) -> None:
        self._records.withdraw(self.scope.aborted, keep_doubtful=self.scope.keeps_doubtful)
        self.wake()

    # Small things

    def _raise_fatal(self) -> None:
        if self.scope.state is TransactionState.FATAL_ERROR:
            raise self.scope.cause()

    def _begin_operation(self, operation: Operation) -> Pending:
        pending = self._operations.begin(operation)
        self.wake()
        return pending

    def _apply(self, event: TransactionEvent) -> None:
        self.scope.apply(event)
        self._on_state(self.scope.state)
