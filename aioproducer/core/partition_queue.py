"""The order within a partition: an open batch, those that wait behind the wire, those on it."""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import TYPE_CHECKING

from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.cluster_view import NO_EPOCH, NO_LEADER
from aioproducer.core.producer_identity import ProducerIdentity, SequenceState

if TYPE_CHECKING:
    from aioproducer.core.topic_queues import TopicQueues


class PartitionQueue:
    """One partition's batches, oldest first: on the wire, waiting (retries in front), open.

    At most one batch is open; it is always the youngest. Batches leave for the wire in order, and
    a retry goes back to where its order says.
    """

    __slots__ = (
        "assembler",
        "index",
        "keep_order",
        "leader",
        "leader_epoch",
        "listed_at",
        "next_order",
        "on_wire",
        "open",
        "sequences",
        "topic",
        "waiting",
    )

    def __init__(self, topic: TopicQueues, index: int, sequences: SequenceState | None) -> None:
        self.topic = topic
        self.index = index
        self.open: Batch | None = None
        self.waiting: deque[Batch] = deque()
        self.on_wire: list[Batch] = []
        self.leader = NO_LEADER
        self.leader_epoch = NO_EPOCH
        self.next_order = 0
        # None without idempotence: then only one batch may be on the wire, or a retry reorders.
        self.sequences = sequences
        self.keep_order = True
        # The broker in whose line of ready queues this one stands, if any.
        self.listed_at: int | None = None
        # The coroutine that seals this partition's batches; the runtime sets and wakes it.
        self.assembler: object | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open, waiting or on the wire."""
        return self.open is None and not self.waiting and not self.on_wire

    @property
    def length(self) -> int:
        """How many batches are not yet on the wire; the adaptive partitioner avoids long ones."""
        return len(self.waiting) + (self.open is not None)

    def new_order(self) -> tuple[int, ...]:
        """Return the place of the next batch; children of a split extend their parent's."""
        self.next_order += 1
        return (self.next_order,)

    def close_open(self, why: Sealed) -> Batch | None:
        """Let the open batch take no more records and join the waiting ones."""
        batch = self.open
        if batch is None:
            return None
        self.open = None
        if batch.sealed is None:
            batch.sealed = why
        batch.closed = True
        self.waiting.append(batch)
        self.topic.sticky.account(self.index, batch.size)
        return batch

    def head(self) -> Batch | None:
        """Return the batch that must leave next, which may still be open."""
        return self.waiting[0] if self.waiting else self.open

    def may_send(self, now: float) -> bool:
        """Return whether the head may go on the wire at ``now``, identity and leader aside."""
        head = self.head()
        if head is None or head.sealed is None or head.preparing:
            return False
        if head.retry_at > now:
            return False
        if self.sequences is None:
            return not (self.keep_order and self.on_wire)
        for batch in self.on_wire:
            if batch.expired:
                # Having expired on the wire it leaves its sequence in doubt until it is answered.
                return False
        if (
            self.on_wire
            and self.sequences.last_acked_sequence < 0
            and not self.sequences.starts_at_zero
        ):
            # A broker that knows nothing of this identity takes any sequence as the first: were
            # the first batch refused and the second taken, the first could never follow.
            return False
        if self.sequences.broken and not head.maybe_written:
            # It waits for the restart; under its old stamp it would only be refused again.
            return False
        if head.is_stamped:
            # Only the lowest outstanding sequence may be repeated, or the broker sees a gap.
            return not self.on_wire or head.order < self.on_wire[0].order
        return True

    def take(self, identity: ProducerIdentity | None) -> Batch:
        """Move the head to the wire, stamped with its sequences if it has none yet."""
        if not self.waiting:
            self.close_open(Sealed.LINGER)
        batch = self.waiting.popleft()
        if self.sequences is not None and not batch.is_stamped:
            if self.sequences.identity is None:
                assert identity is not None
                self.sequences.restart(identity)
            self.sequences.stamp(batch)
        insort(self.on_wire, batch, key=_order)
        return batch

    def put_back(self, batch: Batch) -> None:
        """Return ``batch`` from the wire to its place in the order."""
        self.on_wire.remove(batch)
        self.insert(batch)

    def insert(self, batch: Batch) -> None:
        """Put ``batch`` among the waiting ones by its order."""
        position = 0
        while position < len(self.waiting) and self.waiting[position].order < batch.order:
            position += 1
        self.waiting.insert(position, batch)

    def answered(self, batch: Batch) -> None:
        """Take ``batch`` off the wire for good."""
        self.on_wire.remove(batch)

    def discard(self, batch: Batch) -> None:
        """Take a batch that will never be sent out of the queue."""
        if batch is self.open:
            self.open = None
            batch.closed = True
        else:
            self.waiting.remove(batch)

    def refused(self, batch: Batch) -> None:
        """Note that ``batch`` was refused for good and leaves a gap in the sequences.

        If no attempt of it was ever in doubt, nothing stamped behind it can have been appended: its
        sequence did not fit. So a lost answer puts none of those in doubt either.
        """
        if not batch.is_stamped or batch.maybe_written:
            return
        for younger in (*self.on_wire, *self.waiting):
            if younger.order > batch.order and younger.stamp[:2] == batch.stamp[:2]:
                younger.cannot_follow = True
                younger.maybe_written = False

    def is_oldest(self, batch: Batch) -> bool:
        """Return whether nothing older than ``batch``, which is on the wire, is unsettled."""
        older_waits = bool(self.waiting) and self.waiting[0].order < batch.order
        return not older_waits and self.on_wire[0] is batch

    def needs_restart(self) -> bool:
        """Return whether a broken sequence can now begin anew.

        Not while anything is on the wire, nor while a batch waits that may have been written: that
        one must be repeated under its old stamp, for the broker to recognise it.
        """
        return (
            self.sequences is not None
            and self.sequences.broken
            and not self.on_wire
            and not any(batch.is_stamped and batch.maybe_written for batch in self.waiting)
        )

    def restart(self, identity: ProducerIdentity) -> None:
        """Forget the stamps of all that waits and begin at sequence 0 under ``identity``."""
        assert self.sequences is not None
        for batch in self.waiting:
            batch.unstamp()
        self.sequences.restart(identity)


def _order(batch: Batch) -> tuple[int, ...]:
    return batch.order
