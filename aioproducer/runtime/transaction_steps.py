"""The steps of a transaction: what the coordinator is asked, and what its answer changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.core.transaction import TransactionEvent, TransactionState
from aioproducer.core.transaction_outcome import Abortable, Again, Fatal, leaves_end_in_doubt
from aioproducer.core.transaction_scope import (
    OffsetsToCommit,
    Step,
    TransactionProtocol,
    TransactionScope,
)
from aioproducer.errors import ConcurrentTransactionsError, ProducerError, UnsupportedVersionError
from aioproducer.records import TopicPartition
from aioproducer.runtime.coordinator_client import CoordinatorClient
from aioproducer.runtime.events import event
from aioproducer.runtime.producer_id import ProducerIdKeeper

logger = logging.getLogger("aioproducer")


class TransactionSteps:
    """Asks once for each step, and notes in the scope and the identity what came of it.

    ``on_added`` is called when partitions were added, ``on_offsets`` with offsets that the group's
    coordinator has.
    """

    def __init__(
        self,
        client_id: str,
        scope: TransactionScope,
        client: CoordinatorClient,
        keeper: ProducerIdKeeper,
        *,
        on_added: Callable[[], None],
        on_offsets: Callable[[OffsetsToCommit], None],
    ) -> None:
        self._client_id = client_id
        self._scope = scope
        self._client = client
        self._keeper = keeper
        self._on_added = on_added
        self._on_offsets = on_offsets
        self._loop = asyncio.get_running_loop()

    async def take(self, step: Step) -> TransactionEvent | None:
        """Ask for ``step``; return the event that the answer is to the transaction, if it is one.

        Raises :exc:`Again` when the same may succeed later, and :exc:`Abortable`, :exc:`Refused`
        or :exc:`Fatal` for what the answer spoils.
        """
        match step:
            case Step.INITIALIZE:
                return await self._initialize()
            case Step.ADD_PARTITIONS:
                await self._add_partitions()
            case Step.ADD_OFFSETS:
                await self._add_offsets()
            case Step.COMMIT_OFFSETS:
                await self._commit_offsets()
            case Step.END:
                return await self._end()
        return None

    # The identity

    async def _initialize(self) -> TransactionEvent:
        try:
            identity = await self._client.init_producer_id(self._keeper.identity)
        except Fatal as failure:
            if not isinstance(failure.error, UnsupportedVersionError) or self._needs_renewal():
                raise
            # Brokers that are too old for a renewal (KIP-360), which was only wished for.
            self._choose_protocol()
            return TransactionEvent.INITIALIZED
        self._choose_protocol()
        self._adopt(identity)
        logger.info(
            "[%s] transactional identity %s",
            self._client_id,
            identity,
            extra=event("transaction.identity", self._client_id, identity=str(identity)),
        )
        return TransactionEvent.INITIALIZED

    def _adopt(self, identity: ProducerIdentity) -> None:
        self._keeper.adopt(identity, starts_at_zero=self._client.starts_at_zero(self._scope))

    def _choose_protocol(self) -> None:
        """Take the protocol of what comes next: it changes between transactions only."""
        self._scope.protocol = self._client.finalized_protocol()

    def _needs_renewal(self) -> bool:
        """Return whether the next transaction cannot begin under the present epoch."""
        client = self._client
        return (
            self._keeper.identity is None
            or self._keeper.needs_renewal()
            or client.needs_new_epoch
            or client.is_upgrade(self._scope)
        )

    # What is in the transaction

    async def _add_partitions(self) -> None:
        scope, identity = self._scope, self._keeper.identity
        assert identity is not None
        partitions = scope.partitions_to_add()
        with self._noting_doubt(partitions):
            added = await self._client.add_partitions(identity, partitions)
        scope.added(added)
        self._on_added()

    async def _add_offsets(self) -> None:
        scope, identity = self._scope, self._keeper.identity
        assert identity is not None
        group_id = scope.group_to_add()
        with self._noting_doubt(group_id):
            await self._client.add_offsets(identity, group_id)
        scope.group_added(group_id)

    @contextmanager
    def _noting_doubt(self, asked: tuple[TopicPartition, ...] | str) -> Iterator[None]:
        """Have the scope know whether what was asked may have opened the transaction."""
        scope = self._scope
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
        scope, identity = self._scope, self._keeper.identity
        assert identity is not None
        offsets = scope.offsets[0]
        scope.offsets_sent(offsets.group.group_id)
        try:
            await self._client.commit_offsets(identity, scope.protocol, offsets)
        except Again as again:
            if not isinstance(again.error, ConcurrentTransactionsError):
                scope.distrust()
            raise
        # An abort may have emptied the queue meanwhile.
        if scope.offsets and scope.offsets[0] is offsets:
            scope.offsets.popleft()
            self._on_offsets(offsets)

    # Its end

    async def _end(self) -> TransactionEvent | None:
        scope = self._scope
        if scope.must_tell_again():
            return None
        renewed = None
        if scope.started:
            try:
                renewed = await self._ask_for_the_end()
            except Fatal as failure:
                if not self._is_forgotten(failure.error):
                    raise
                scope.forget(failure.error)
                return None
            except Again as again:
                if self._may_be_forgotten(again):
                    scope.tell_again()
                raise
            if scope.forgotten is not None:
                raise self._healed(renewed, scope.forgotten)
        if renewed is not None:
            self._choose_protocol()
            self._adopt(renewed)
        elif self._needs_renewal() or scope.end_in_doubt:
            # A copy of EndTxn that still is on its way would end the next transaction of this
            # epoch, in whatever state it finds it.
            return TransactionEvent.RENEW
        else:
            self._choose_protocol()
        return TransactionEvent.ENDED

    async def _ask_for_the_end(self) -> ProducerIdentity | None:
        scope, identity = self._scope, self._keeper.identity
        assert identity is not None
        commit = scope.state is TransactionState.COMMITTING and scope.forgotten is None
        with self._noting_doubt_of_the_end():
            return await self._client.end(identity, scope.protocol, commit=commit)

    @contextmanager
    def _noting_doubt_of_the_end(self) -> Iterator[None]:
        """Have the scope know, also if this task is cancelled, that EndTxn may take effect."""
        scope = self._scope
        doubted, scope.end_in_doubt = scope.end_in_doubt, True
        try:
            yield
        except (Again, Abortable, Fatal) as failure:
            scope.end_in_doubt = doubted or leaves_end_in_doubt(failure)
            raise
        scope.end_in_doubt = doubted

    def _is_forgotten(self, error: ProducerError) -> bool:
        """Return whether a refused commit is one that the coordinator knows nothing of."""
        scope = self._scope
        return (
            scope.state is TransactionState.COMMITTING
            and scope.protocol is TransactionProtocol.V2
            and scope.forgotten is None
            and self._client.has_forgotten(error, scope.began_at, self._loop.time())
        )

    def _may_be_forgotten(self, again: Again) -> bool:
        """Return whether the end may have another coordinator, which knows too little of it.

        Of nothing it would take an abort all the same (KIP-890), and of a part a commit as well. It
        answered the telling from its memory, if it had not forgotten by then.
        """
        scope = self._scope
        tells = scope.state is TransactionState.ABORTING or (
            scope.state is TransactionState.COMMITTING
            and scope.was_repeated
            and scope.forgotten is None
        )
        return tells and scope.protocol is TransactionProtocol.V2 and leaves_end_in_doubt(again)

    def _healed(
        self, renewed: ProducerIdentity | None, refusal: ProducerError
    ) -> Abortable | Fatal:
        """What the coordinator knew nothing of is aborted: return what that is to its commit."""
        scope = self._scope
        scope.started = False
        if renewed is not None:
            self._adopt(renewed)
        return Fatal(refusal) if scope.end_in_doubt else Abortable(refusal)
