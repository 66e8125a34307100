"""The open transaction: what belongs to it, what may be sent, what has to be asked next."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aioproducer.core.transaction import TransactionEvent, TransactionState, transition
from aioproducer.errors import ProducerError, TransactionAbortedError
from aioproducer.records import GroupMetadata, OffsetAndMetadata, TopicPartition


class TransactionProtocol(enum.Enum):
    """How the cluster keeps transactions, by its finalized transaction.version."""

    V1 = 1
    """Partitions and groups are added by requests of their own."""
    V2 = 2
    """The brokers add them by themselves; each transaction has its own epoch (KIP-890)."""


class Step(enum.Enum):
    """A request that the coordinator, or a group's, is owed."""

    INITIALIZE = enum.auto()
    ADD_PARTITIONS = enum.auto()
    ADD_OFFSETS = enum.auto()
    COMMIT_OFFSETS = enum.auto()
    END = enum.auto()


@dataclass(frozen=True, slots=True, eq=False)
class OffsetsToCommit:
    """Offsets of a consumer group that become visible with the transaction."""

    group: GroupMetadata
    offsets: Mapping[TopicPartition, OffsetAndMetadata]


_ABORT_AND_RETRY = "Abort the transaction, then run all of it again."

_SENDING = frozenset({TransactionState.IN_TRANSACTION, TransactionState.COMMITTING})
_LOST = frozenset({TransactionState.ABORTABLE_ERROR, TransactionState.ABORTING})
_ENDING = frozenset({TransactionState.COMMITTING, TransactionState.ABORTING})


class TransactionScope:
    """The state of a transactional producer and of its open transaction.

    It decides and asks nobody. ``on_wanted`` is called when a partition has to be added before its
    records may go.
    """

    def __init__(self, transactional_id: str, on_wanted: Callable[[], None]) -> None:
        self.transactional_id = transactional_id
        self.state = TransactionState.UNINITIALIZED
        self.protocol = TransactionProtocol.V1
        # When the transaction was begun, by the loop's clock.
        self.began_at = 0.0
        # The first cause of an abortable or of the fatal error.
        self.error: ProducerError | None = None
        # Whether a request may have opened the transaction on the brokers: then EndTxn is owed.
        self.started = False
        # Whether an EndTxn was given that nobody answered: it may have been done.
        self.end_in_doubt = False
        self.offsets: deque[OffsetsToCommit] = deque()
        self._on_wanted = on_wanted
        self._wanted: dict[TopicPartition, None] = {}
        self._added: set[TopicPartition] = set()
        self._groups: set[str] = set()
        # What was asked first in the transaction, without an answer: it may be open there, or not.
        self._in_doubt: tuple[TopicPartition, ...] | str | None = None
        # The refusal of the commit, when the coordinator knows nothing of the transaction.
        self.forgotten: ProducerError | None = None
        self._untold: list[tuple[TopicPartition, ...] | str] = []
        # Whether a request was repeated that the brokers had passed on to the coordinator, and
        # whether it is still to be told because of that.
        self.was_repeated = False
        self._distrusted = False

    # Events

    def apply(self, event: TransactionEvent) -> None:
        """Move to the next state; raises :exc:`TransactionStateError` if there is none."""
        self.state = transition(self.state, event)
        if event is TransactionEvent.BEGIN:
            self._clear()
        elif self.state not in _SENDING:
            # Nothing more is added to a transaction that cannot be committed, or is over.
            self._wanted.clear()
            self.offsets.clear()

    def _clear(self) -> None:
        self.error = None
        self.started = False
        self.end_in_doubt = False
        self._added.clear()
        self._groups.clear()
        self._in_doubt = None
        self.forgotten = None
        self._untold.clear()
        self.was_repeated = self._distrusted = False

    def fault(self, error: ProducerError) -> bool:
        """Note that something of the transaction failed; return whether it was whole before."""
        if self.state not in _SENDING | _LOST:
            return False
        was_whole = self.state in _SENDING
        self.apply(TransactionEvent.FAULT)
        if self.error is None:
            self.error = error
        return was_whole

    def doom(self, error: ProducerError) -> bool:
        """Note a fatal error; return whether it is the first."""
        first = self.state is not TransactionState.FATAL_ERROR
        self.apply(TransactionEvent.FATAL)
        if first:
            self.error = error
        return first

    # What may be sent

    @property
    def is_lost(self) -> bool:
        """Whether the open transaction will not be committed."""
        return self.state in _LOST

    @property
    def is_ending(self) -> bool:
        """Whether commit or abort is under way."""
        return self.state in _ENDING

    @property
    def keeps_doubtful(self) -> bool:
        """Whether a batch that may be on its way must be repeated until it is answered.

        Under the old protocol a late one could open the next transaction by itself. Under the new
        one its epoch is fenced when the transaction ends.
        """
        return self.protocol is TransactionProtocol.V1

    def admits(self, topic: str, index: int, *, doubtful: bool) -> bool:
        """Return whether a batch of that partition may go on the wire now."""
        if self.state in _SENDING:
            return (
                self.protocol is TransactionProtocol.V2
                or TopicPartition(topic, index) in self._added
            )
        return self.is_lost and doubtful and self.keeps_doubtful

    def touch(self, topic: str, index: int) -> None:
        """Note that records of a partition come; it may have to be added first."""
        if self.protocol is TransactionProtocol.V2 or self.state not in _SENDING:
            return
        partition = TopicPartition(topic, index)
        if partition not in self._added and partition not in self._wanted:
            self._wanted[partition] = None
            self._on_wanted()

    def aborted(self) -> ProducerError:
        """Return the error of a record that is given up with its transaction."""
        error = TransactionAbortedError(
            "the record was not delivered: its transaction is aborted"
            + (f" because of: {self.error}" if self.error is not None else "")
        )
        error.__cause__ = self.error
        return error

    def cause(self) -> ProducerError:
        """Return the first cause as it is raised, saying what to do about the transaction."""
        assert self.error is not None
        twin = self.error.replica()
        if self.state is not TransactionState.FATAL_ERROR:
            twin.retriable = False
            twin.what_next = _ABORT_AND_RETRY
        return twin

    # What is owed

    def next_step(self, *, quiet: bool) -> Step | None:
        """Return what is to be asked now; ``quiet`` says that no record is open or on the wire."""
        if self.state is TransactionState.INITIALIZING:
            return Step.INITIALIZE
        asked_again = self._asked_again()
        if asked_again is not None:
            return Step.ADD_OFFSETS if isinstance(asked_again, str) else Step.ADD_PARTITIONS
        if self.state in _SENDING:
            if self._wanted:
                return Step.ADD_PARTITIONS
            if self.offsets:
                group = self.offsets[0].group.group_id
                known = self.protocol is TransactionProtocol.V2 or group in self._groups
                return Step.COMMIT_OFFSETS if known else Step.ADD_OFFSETS
        return Step.END if self.is_ending and quiet else None

    def _asked_again(self) -> tuple[TopicPartition, ...] | str | None:
        """Return what is to be added before anything else, though it was asked for already."""
        if self._untold and self.is_ending:
            return self._untold[0]
        return self._in_doubt if self._must_ask_again() else None

    def _must_ask_again(self) -> bool:
        """Return whether an abort has to know first if there is a transaction to end.

        EndTxn is an error where none is open, and a transaction that nobody ends holds up readers.
        """
        aborting = self.state is TransactionState.ABORTING
        return aborting and self._in_doubt is not None and not self.started

    def partitions_to_add(self) -> tuple[TopicPartition, ...]:
        """Return the partitions that are to be added."""
        asked_again = self._asked_again()
        return asked_again if isinstance(asked_again, tuple) else tuple(self._wanted)

    def group_to_add(self) -> str:
        """Return the consumer group that is to be added."""
        asked_again = self._asked_again()
        return asked_again if isinstance(asked_again, str) else self.offsets[0].group.group_id

    def sent(self, topic: str, index: int) -> None:
        """Note that records of a partition go on the wire."""
        self.started = True
        self._added.add(TopicPartition(topic, index))

    def offsets_sent(self, group_id: str) -> None:
        """Note that offsets of a consumer group go on the wire."""
        self.started = True
        self._groups.add(group_id)

    def added(self, partitions: Iterable[TopicPartition]) -> None:
        """Note that the coordinator has added ``partitions``."""
        self.started = True
        for partition in partitions:
            self._added.add(partition)
            self._wanted.pop(partition, None)
        self._untold = [asked for asked in self._untold if isinstance(asked, str)]

    def group_added(self, group_id: str) -> None:
        """Note that the coordinator has added a consumer group."""
        self.offsets_sent(group_id)
        self._untold = [asked for asked in self._untold if asked != group_id]

    def refused(self) -> None:
        """Note that the coordinator answered and added nothing.

        That also answers what was in doubt, if that is what it was asked.
        """
        if self._must_ask_again():
            self._in_doubt = None

    def unanswered(self, asked: tuple[TopicPartition, ...] | str) -> None:
        """Note that whether ``asked`` was added is not known."""
        self._in_doubt = asked

    def forget(self, refusal: ProducerError) -> None:
        """Note that the coordinator refuses the commit of a transaction that it does not know.

        It is told of all of it again, so that an abort reaches it: what nobody ends would become
        visible with the next transaction.
        """
        self.forgotten = refusal
        self.tell_again()

    def distrust(self) -> None:
        """Note that a repeated request was answered by what a coordinator may still forget.

        It answers from what it finds in its log, replicated or not; one that is elected without
        that knows less than what is in the partitions.
        """
        self.was_repeated = self._distrusted = self.protocol is TransactionProtocol.V2

    def must_tell_again(self) -> bool:
        """Return whether the coordinator is to be told of everything before the end, once."""
        if not (self._distrusted and self.started):
            return False
        self.tell_again()
        return True

    def tell_again(self) -> None:
        """Have the coordinator told of all parts of the transaction again, before its end."""
        self._distrusted = False
        self._untold = [*sorted(self._groups)]
        if self._added:
            self._untold.append(tuple(sorted(self._added)))

    @property
    def is_telling_again(self) -> bool:
        """Whether what is added now had been added before."""
        return bool(self._untold)

    def told_in_vain(self) -> None:
        """Note that the coordinator takes nothing more: the end will say why."""
        self._untold.clear()
