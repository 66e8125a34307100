"""The TransactionManager: one coroutine that drives init, begin, commit and abort (KIP-98, 890)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from aioproducer.config import ProducerConfig
from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.core.transaction import TransactionEvent, TransactionState
from aioproducer.core.transaction_scope import (
    OffsetsToCommit,
    Step,
    TransactionProtocol,
    TransactionScope,
)
from aioproducer.errors import (
    ConcurrentTransactionsError,
    ProducerError,
    TransactionStateError,
    TransactionTimeoutError,
    UnsupportedVersionError,
)
from aioproducer.records import TopicPartition
from aioproducer.runtime.coordinator_client import (
    Abortable,
    Again,
    CoordinatorClient,
    Fatal,
    Refused,
    leaves_end_in_doubt,
)
from aioproducer.runtime.events import event
from aioproducer.runtime.pending_operation import Operation, Pending
from aioproducer.runtime.producer_id import ProducerIdKeeper
from aioproducer.runtime.stall import StallWatch

logger = logging.getLogger("aioproducer")

_FEATURES_S = 1.0

_OPEN = frozenset({TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR})
_ENDING = frozenset({TransactionState.COMMITTING, TransactionState.ABORTING})


class Records(Protocol):
    """The records of the producer, as far as a transaction has to do with them: the Engine."""

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
        self._config = config
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
        self._pending: Pending | None = None
        self._offsets: dict[OffsetsToCommit, Pending] = {}
        self._began_at = 0.0
        self._closed = False

    # What others tell

    def wake(self) -> None:
        """Have the task look again: something was released, or is wanted."""
        self._wake.set()
        # Not left to the task, which may be waiting for an answer.
        if self._pending is not None and self._records.is_quiet():
            self._pending.settled()

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
        pending = self._pending
        if pending is None or pending.operation is not Operation.INITIALIZE:
            if self.scope.state is not TransactionState.UNINITIALIZED:
                self._raise_fatal()
                return
            self._apply(TransactionEvent.INITIALIZE)
            pending = self._begin_operation(Operation.INITIALIZE)
        await self._finish(pending, timeout)

    def begin(self) -> None:
        """Open a transaction; asks nobody."""
        self._raise_fatal()
        if self._pending is not None and not self._pending.done.done():
            raise TransactionStateError(
                f"{self._pending.operation.value} is still under way",
                what_next="Await the same call again; it goes on where it was.",
            )
        self._apply(TransactionEvent.BEGIN)
        self._pending = None
        self._began_at = self._loop.time()

    async def commit(self, timeout: float) -> None:
        """Deliver all records, then end the transaction so that they become visible."""
        pending = self._under_way(Operation.COMMIT)
        if pending is None:
            if self.scope.state is TransactionState.ABORTABLE_ERROR:
                raise self.scope.cause()
            self._apply(TransactionEvent.COMMIT)
            pending = self._begin_operation(Operation.COMMIT)
            pending.undo = self._records.hurry(self.wake)
        await self._finish(pending, timeout)

    async def abort(self, timeout: float) -> None:
        """Give up what is not yet on its way, then end the transaction; nothing becomes visible."""
        pending = self._under_way(Operation.ABORT)
        if pending is None:
            self._apply(TransactionEvent.ABORT)
            pending = self._begin_operation(Operation.ABORT)
            self._fail_offsets(self.scope.aborted())
            self._withdraw()
        await self._finish(pending, timeout)

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
        # Given up and called again, or given twice: it is the same wish.
        for queued, pending in self._offsets.items():
            if queued.group == offsets.group and queued.offsets == offsets.offsets:
                await self._finish(pending, timeout)
                return
        pending = Pending(Operation.SEND_OFFSETS, self._loop)
        pending.settled()
        self._offsets[offsets] = pending
        self.scope.offsets.append(offsets)
        self.wake()
        await self._finish(pending, timeout)

    async def settle(self, timeout: float) -> None:
        """Return once no operation is under way, as the next transaction needs.

        Raises :exc:`TransactionTimeoutError` if one still is after ``timeout`` seconds.
        """
        pending = self._pending
        if pending is None or pending.done.done():
            return
        await self._wait(pending.done, timeout)
        if not pending.done.done():
            raise self._too_late(pending.operation, timeout, persisted="no")

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
        scope, pending = self.scope, self._pending
        failure = error.replica()
        is_commit = scope.state is TransactionState.COMMITTING
        if is_commit and scope.end_in_doubt:
            failure.persisted = "maybe"
        if pending is not None:
            # While the next identity is asked for, the commit or abort itself is done.
            pending.settle(None if self._is_renewing() else failure)
        self._fail_offsets(error)
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
        pending = self._pending
        return (
            self.scope.state is TransactionState.INITIALIZING
            and pending is not None
            and pending.operation is not Operation.INITIALIZE
        )

    async def _finish(self, pending: Pending, timeout: float) -> None:
        """Wait for ``pending``; the operation goes on when the wait is given up."""
        # Records have clocks of their own: each is settled by delivery.timeout.ms.
        patience = self._config.delivery_timeout_ms / 1000 + 1
        await self._wait(pending.calm, patience)
        if pending.calm.done():
            await self._wait(pending.done, timeout)
        if not pending.done.done():
            committing = pending.operation is Operation.COMMIT
            limit = timeout if pending.calm.done() else patience
            raise self._too_late(
                pending.operation, limit, persisted="maybe" if committing else "no"
            )
        if self._pending is pending:
            self._pending = None
        error = pending.done.exception()
        if error is not None:
            assert isinstance(error, ProducerError)
            raise error.replica()

    async def _wait(self, future: asyncio.Future[None], timeout: float) -> None:
        """Wait until ``future`` is done, or ``timeout`` seconds are over."""
        with suppress(TimeoutError):
            async with self._watch.timeout(timeout):
                await asyncio.wait([future])

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
        scope = self.scope
        try:
            match step:
                case Step.INITIALIZE:
                    await self._initialize()
                case Step.ADD_PARTITIONS:
                    await self._add_partitions()
                case Step.ADD_OFFSETS:
                    await self._add_offsets()
                case Step.COMMIT_OFFSETS:
                    await self._commit_offsets()
                case Step.END:
                    await self._end()
        except Abortable as failure:
            self._fault(failure.error)
        except Refused as failure:
            self._refused(failure.error)
        except Fatal as failure:
            self._doom(self._final(failure.error))
        if scope.state is TransactionState.FATAL_ERROR and self._pending is not None:
            self._pending.settle(self.scope.cause())

    async def _initialize(self) -> None:
        try:
            identity = await self._client.init_producer_id(self._keeper.identity)
        except Fatal as failure:
            if not isinstance(failure.error, UnsupportedVersionError) or self._needs_renewal():
                raise
            # Brokers that are too old for a renewal (KIP-360), which was only wished for.
            self._ready(TransactionEvent.INITIALIZED)
            return
        self._ready(TransactionEvent.INITIALIZED)
        self._keeper.adopt(identity, starts_at_zero=self._client.starts_at_zero(self.scope))
        logger.info(
            "[%s] transactional identity %s",
            self._client_id,
            identity,
            extra=event("transaction.identity", self._client_id, identity=str(identity)),
        )

    def _refused(self, error: ProducerError) -> None:
        """The brokers deny the first identity: it can be asked for again."""
        if self._keeper.identity is not None:
            self._doom(self._final(error))
            return
        self._apply(TransactionEvent.REFUSED)
        if self._pending is not None:
            self._pending.settle(error)

    async def _add_partitions(self) -> None:
        scope, identity = self.scope, self._keeper.identity
        assert identity is not None
        partitions = scope.partitions_to_add()
        with self._noting_doubt(partitions):
            added = await self._client.add_partitions(identity, partitions)
        scope.added(added)
        self._records.offer_everything()

    async def _add_offsets(self) -> None:
        scope, identity = self.scope, self._keeper.identity
        assert identity is not None
        group_id = scope.group_to_add()
        with self._noting_doubt(group_id):
            await self._client.add_offsets(identity, group_id)
        scope.group_added(group_id)

    @contextmanager
    def _noting_doubt(self, asked: tuple[TopicPartition, ...] | str) -> Iterator[None]:
        """Have the scope know whether what was asked may have opened the transaction."""
        scope = self.scope
        try:
            yield
        except Again as again:
            if again.unanswered:
                scope.unanswered(asked)
            raise
        except (Abortable, Fatal) as failure:
            if scope.forgotten is not None:
                # It cannot be ended, and must not become part of the next one.
                raise Fatal(failure.error) from failure
            if scope.is_telling_again:
                # Something has become of it already: the end is answered accordingly.
                scope.told_in_vain()
                raise Again(failure.error) from failure
            if isinstance(failure, Abortable):
                scope.refused()
            raise

    async def _commit_offsets(self) -> None:
        scope = self.scope
        offsets = scope.offsets[0]
        scope.offsets_sent(offsets.group.group_id)
        assert self._keeper.identity is not None
        try:
            await self._client.commit_offsets(self._keeper.identity, scope.protocol, offsets)
        except Again as again:
            if not isinstance(again.error, ConcurrentTransactionsError):
                scope.distrust()
            raise
        # An abort may have emptied the queue meanwhile.
        if scope.offsets and scope.offsets[0] is offsets:
            scope.offsets.popleft()
            if (pending := self._offsets.pop(offsets, None)) is not None:
                pending.settle(None)

    async def _end(self) -> None:
        scope, keeper = self.scope, self._keeper
        if scope.must_tell_again():
            return
        renewed = None
        if scope.started:
            try:
                renewed = await self._ask_for_the_end()
            except Fatal as failure:
                if not self._is_forgotten(failure.error):
                    raise
                scope.forget(failure.error)
                return
            except Again as again:
                if self._may_be_forgotten(again):
                    scope.tell_again()
                raise
            if scope.forgotten is not None:
                self._healed(renewed, scope.forgotten)
                return
        if renewed is not None:
            self._ready(TransactionEvent.ENDED)
            keeper.adopt(renewed, starts_at_zero=self._client.starts_at_zero(scope))
        elif self._needs_renewal() or scope.end_in_doubt:
            # A copy of EndTxn that still is on its way would end the next transaction of this
            # epoch, in whatever state it finds it.
            self._apply(TransactionEvent.RENEW)
        else:
            self._ready(TransactionEvent.ENDED)
        # Now and then, and neither at the cost of who waits for the end nor of the next one.
        with suppress(TimeoutError):
            async with self._watch.timeout(_FEATURES_S):
                await self._client.refresh_features(self._loop.time())

    async def _ask_for_the_end(self) -> ProducerIdentity | None:
        scope, identity = self.scope, self._keeper.identity
        assert identity is not None
        commit = scope.state is TransactionState.COMMITTING and scope.forgotten is None
        with self._noting_doubt_of_the_end():
            return await self._client.end(identity, scope.protocol, commit=commit)

    def _is_forgotten(self, error: ProducerError) -> bool:
        """Return whether a refused commit is one that the coordinator knows nothing of."""
        scope = self.scope
        return (
            scope.state is TransactionState.COMMITTING
            and scope.protocol is TransactionProtocol.V2
            and scope.forgotten is None
            and self._client.has_forgotten(error, self._began_at, self._loop.time())
        )

    def _may_be_forgotten(self, again: Again) -> bool:
        """Return whether an abort may have another coordinator, which knows nothing of it.

        Unlike a commit it would be accepted then, and end nothing (KIP-890).
        """
        scope = self.scope
        return (
            scope.state is TransactionState.ABORTING
            and scope.protocol is TransactionProtocol.V2
            and leaves_end_in_doubt(again)
        )

    def _healed(self, renewed: ProducerIdentity | None, refusal: ProducerError) -> None:
        """What the coordinator knew nothing of is aborted: say so to whoever waits for a commit."""
        scope = self.scope
        scope.started = False
        if renewed is not None:
            self._keeper.adopt(renewed, starts_at_zero=self._client.starts_at_zero(scope))
        if scope.end_in_doubt:
            self._doom(self._final(refusal))
        else:
            self._fault(refusal)

    @contextmanager
    def _noting_doubt_of_the_end(self) -> Iterator[None]:
        """Have the scope know, also if this task is cancelled, that EndTxn may take effect."""
        scope = self.scope
        doubted, scope.end_in_doubt = scope.end_in_doubt, True
        try:
            yield
        except (Again, Abortable, Fatal) as failure:
            scope.end_in_doubt = doubted or leaves_end_in_doubt(failure)
            raise
        scope.end_in_doubt = doubted

    def _needs_renewal(self) -> bool:
        """Return whether the next transaction cannot begin under the present epoch."""
        client = self._client
        return (
            self._keeper.identity is None
            or self._keeper.needs_renewal()
            or client.needs_new_epoch
            or client.is_upgrade(self.scope)
        )

    def _ready(self, event: TransactionEvent) -> None:
        """Be between transactions: only here does the protocol change."""
        self.scope.protocol = self._client.finalized_protocol()
        self._apply(event)
        if self._pending is not None:
            self._pending.settle(None)

    # Errors

    def _final(self, error: ProducerError) -> ProducerError:
        return self._client.fatal(error, self._began_at, self._loop.time())

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
        pending = self._pending
        if pending is not None and pending.operation is Operation.COMMIT:
            pending.settle(self.scope.cause())
        self._fail_offsets(self.scope.cause())
        # Not here: this may be called in the midst of settling a request.
        self._loop.call_soon(self._withdraw_lost)

    def _doom(self, error: ProducerError) -> None:
        state, renewing = self.scope.state, self._is_renewing()
        if not self.scope.doom(error):
            return
        if state is TransactionState.COMMITTING and self.scope.end_in_doubt:
            # It may have taken effect before whatever made the repetition fail.
            error.persisted = "maybe"
        pending = self._pending
        if pending is not None and renewing:
            # The commit or abort is done, only what comes after it failed: the next one says so.
            pending.settle(None)
        logger.error(
            "[%s] transactions are over for good: %s",
            self._client_id,
            error,
            extra=event("transaction.fatal", self._client_id, error=str(error)),
        )
        self._on_state(self.scope.state)
        self._fail_offsets(self.scope.cause())
        if self._pending is not None:
            self._pending.settle(self.scope.cause())
        self._loop.call_soon(self._on_fatal, error)

    def _withdraw_lost(self) -> None:
        if self.scope.is_lost:
            self._withdraw()

    def _withdraw(self) -> None:
        self._records.withdraw(self.scope.aborted, keep_doubtful=self.scope.keeps_doubtful)
        self.wake()

    def _fail_offsets(self, error: ProducerError) -> None:
        waiting, self._offsets = self._offsets, {}
        for pending in waiting.values():
            pending.settle(error.replica())

    # Small things

    def _raise_fatal(self) -> None:
        if self.scope.state is TransactionState.FATAL_ERROR:
            raise self.scope.cause()

    def _under_way(self, operation: Operation) -> Pending | None:
        """Return the operation of that kind to go on waiting for."""
        self._raise_fatal()
        pending = self._pending
        if pending is None or pending.operation is operation:
            return pending
        if not pending.done.done():
            raise TransactionStateError(
                f"{pending.operation.value} is still under way",
                what_next="Await the same call again; it goes on where it was.",
            )
        self._pending = None
        return None

    def _begin_operation(self, operation: Operation) -> Pending:
        self._pending = Pending(operation, self._loop)
        self.wake()
        return self._pending

    def _apply(self, event: TransactionEvent) -> None:
        self.scope.apply(event)
        self._on_state(self.scope.state)

    def _too_late(
        self, operation: Operation, timeout: float, *, persisted: str
    ) -> TransactionTimeoutError:
        cause = self._client.last_error
        error = TransactionTimeoutError(
            f"{operation.value} did not end within {timeout:g} s"
            + (f"; last error: {cause}" if cause is not None else ""),
            persisted="maybe" if persisted == "maybe" else "no",
        )
        error.__cause__ = cause
        return error
