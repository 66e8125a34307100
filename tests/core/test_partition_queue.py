"""The order within a partition holds through every interleaving of what can happen to batches."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.core.split import split_batch
from tests.core.makers import IDENTITY, make_batch, make_queue, ready_batch


def acquainted(queue: PartitionQueue) -> PartitionQueue:
    """Have one batch acknowledged, so that more than one may be on the wire."""
    batch = ready_batch(queue)
    queue.take(IDENTITY)
    queue.answered(batch)
    assert queue.sequences is not None
    queue.sequences.acknowledged(batch)
    return queue


class TestLife:
    """open, waiting, on the wire, gone."""

    def test_a_batch_that_lingers_may_not_go(self) -> None:
        queue = make_queue()
        batch = make_batch(queue)
        assert not queue.may_send(0)
        batch.sealed = Sealed.LINGER
        assert queue.may_send(0)

    def test_an_open_batch_is_closed_when_it_is_taken(self) -> None:
        queue = make_queue()
        batch = make_batch(queue)
        batch.sealed = Sealed.LINGER
        assert queue.take(IDENTITY) is batch
        assert batch.closed
        assert (queue.open, queue.on_wire) == (None, [batch])

    def test_closing_nothing_is_nothing(self) -> None:
        assert make_queue().close_open(Sealed.FLUSH) is None

    def test_the_reason_of_the_first_seal_stays(self) -> None:
        queue = make_queue()
        batch = make_batch(queue)
        batch.sealed = Sealed.LINGER
        queue.close_open(Sealed.SIZE)
        assert batch.sealed is Sealed.LINGER

    def test_length_counts_what_is_not_on_the_wire(self) -> None:
        queue = make_queue()
        assert (queue.length, queue.is_empty) == (0, True)
        ready_batch(queue)
        make_batch(queue)
        assert queue.length == 2
        queue.take(IDENTITY)
        assert (queue.length, queue.is_empty) == (1, False)

    def test_discarding_an_open_batch_and_a_waiting_one(self) -> None:
        queue = make_queue()
        waiting, opened = ready_batch(queue), make_batch(queue)
        queue.discard(opened)
        assert opened.closed
        queue.discard(waiting)
        assert queue.is_empty

    def test_one_that_is_being_compressed_holds_its_place(self) -> None:
        queue = make_queue()
        ready_batch(queue).preparing = True
        ready_batch(queue)
        assert not queue.may_send(0)

    def test_one_that_backs_off_holds_back_those_behind(self) -> None:
        queue = make_queue()
        ready_batch(queue).retry_at = 5.0
        ready_batch(queue)
        assert not queue.may_send(4.9)
        assert queue.may_send(5.0)


class TestSequences:
    """Stamps are given once, in order, and begin anew only when that is safe."""

    def test_stamps_follow_each_other(self) -> None:
        queue = acquainted(make_queue())
        first, second = ready_batch(queue, [b"a", b"b"]), ready_batch(queue)
        queue.take(IDENTITY)
        queue.take(IDENTITY)
        assert [first.stamp.base_sequence, second.stamp.base_sequence] == [1, 3]

    def test_a_retry_keeps_its_stamp_and_goes_to_the_front(self) -> None:
        queue = acquainted(make_queue())
        first, second = ready_batch(queue), ready_batch(queue)
        queue.take(IDENTITY)
        stamp = first.stamp
        queue.put_back(first)
        assert list(queue.waiting) == [first, second]
        queue.take(ProducerIdentity(7, 9))
        assert first.stamp == stamp

    def test_only_one_is_on_the_wire_until_one_was_acknowledged(self) -> None:
        queue = make_queue()
        ready_batch(queue)
        ready_batch(queue)
        queue.take(IDENTITY)
        assert not queue.may_send(0)

    def test_that_holds_after_each_restart(self) -> None:
        queue = acquainted(make_queue())
        queue.restart(ProducerIdentity(7, 1))
        ready_batch(queue)
        ready_batch(queue)
        queue.take(IDENTITY)
        assert not queue.may_send(0)

    def test_only_the_lowest_sequence_is_repeated_while_others_are_out(self) -> None:
        queue = acquainted(make_queue())
        batches = [ready_batch(queue) for _ in range(3)]
        for _ in batches:
            queue.take(IDENTITY)
        queue.put_back(batches[1])
        assert not queue.may_send(0)
        queue.answered(batches[0])
        assert queue.may_send(0)

    def test_an_expired_one_on_the_wire_holds_back_all(self) -> None:
        queue = acquainted(make_queue())
        expired = ready_batch(queue)
        ready_batch(queue)
        queue.take(IDENTITY)
        expired.expired = True
        assert not queue.may_send(0)
        queue.answered(expired)
        assert queue.may_send(0)

    def test_a_broken_sequence_waits_until_nothing_is_on_the_wire(self) -> None:
        queue = acquainted(make_queue())
        assert queue.sequences is not None
        batches = [ready_batch(queue) for _ in range(3)]
        queue.take(IDENTITY)
        queue.take(IDENTITY)
        queue.sequences.broken = True
        assert not queue.needs_restart()
        assert not queue.may_send(0)
        queue.put_back(batches[1])
        queue.answered(batches[0])
        assert queue.needs_restart()

    def test_nor_before_one_that_may_be_written_is_resolved(self) -> None:
        queue = acquainted(make_queue())
        assert queue.sequences is not None
        doubtful = ready_batch(queue)
        queue.take(IDENTITY)
        queue.sequences.broken = True
        doubtful.maybe_written = True
        queue.put_back(doubtful)
        assert not queue.needs_restart()
        # It is repeated under its old stamp, for the broker to recognise it.
        assert queue.may_send(0)

    def test_a_restart_stamps_anew_what_waits(self) -> None:
        queue = acquainted(make_queue())
        first, second = ready_batch(queue), ready_batch(queue)
        queue.take(IDENTITY)
        queue.put_back(first)
        queue.restart(ProducerIdentity(7, 1))
        assert not first.is_stamped
        queue.take(ProducerIdentity(7, 1))
        queue.answered(first)
        queue.take(ProducerIdentity(7, 1))
        assert (first.stamp.epoch, first.stamp.base_sequence) == (1, 0)
        assert (second.stamp.epoch, second.stamp.base_sequence) == (1, 1)

    def test_the_identity_of_the_first_stamp_stays_until_a_restart(self) -> None:
        """Another partition's bump does not concern this one."""
        queue = acquainted(make_queue())
        batch = ready_batch(queue)
        queue.take(ProducerIdentity(7, 4))
        assert batch.stamp.epoch == 0

    def test_without_idempotence_there_are_no_stamps_and_one_at_a_time(self) -> None:
        queue = make_queue(idempotent=False)
        batch = ready_batch(queue)
        ready_batch(queue)
        queue.take(None)
        assert not batch.is_stamped
        assert not queue.may_send(0)
        assert not queue.needs_restart()

    def test_unless_order_was_given_up(self) -> None:
        queue = make_queue(idempotent=False, keep_order=False)
        ready_batch(queue)
        ready_batch(queue)
        queue.take(None)
        assert queue.may_send(0)

    def test_the_oldest_is_told_from_the_others(self) -> None:
        queue = acquainted(make_queue())
        first, second = ready_batch(queue), ready_batch(queue)
        queue.take(IDENTITY)
        queue.take(IDENTITY)
        assert (queue.is_oldest(first), queue.is_oldest(second)) == (True, False)
        queue.put_back(first)
        assert not queue.is_oldest(second)
        queue.take(IDENTITY)
        queue.answered(first)
        assert queue.is_oldest(second)


class Interleaving(RuleBasedStateMachine):
    """Anything that can happen to batches, in any order, against a log that checks sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = make_queue()
        self.identity = ProducerIdentity(7, 0)
        self.now = 0.0
        self.next_value = 0
        # What the broker has: values, and the epoch and sequence that it expects next.
        self.log: list[int] = []
        self.seen: dict[tuple[int, int], int] = {}
        self.epoch = -1
        self.expected = 0
        self.failed: set[int] = set()
        self.contents: dict[Batch, list[int]] = {}

    @property
    def sequences(self):  # type: ignore[no-untyped-def]
        assert self.queue.sequences is not None
        return self.queue.sequences

    @rule(count=st.integers(1, 4))
    def open_and_close(self, count: int) -> None:
        numbers = list(range(self.next_value, self.next_value + count))
        self.next_value += count
        batch = ready_batch(self.queue, [b"%d" % number for number in numbers])
        self.contents[batch] = numbers

    @rule()
    def take(self) -> None:
        if self.queue.needs_restart():
            if self.sequences.identity == self.identity:
                bumped = self.identity.bumped()
                assert bumped is not None
                self.identity = bumped
            self.queue.restart(self.identity)
        if not self.queue.may_send(self.now) or len(self.queue.on_wire) >= 5:
            return
        before = {id(batch): batch.stamp for batch in self.queue.waiting}
        batch = self.queue.take(self.identity)
        if batch.maybe_written:
            assert batch.stamp == before[id(batch)]
            assert batch.is_stamped

    def _append(self, batch: Batch) -> bool:
        """Return whether a broker with state has ``batch`` afterwards."""
        stamp = (batch.stamp.epoch, batch.stamp.base_sequence)
        if stamp in self.seen:
            return True
        epoch, sequence = stamp
        if epoch < self.epoch or ((epoch > self.epoch and sequence) and self.epoch >= 0):
            return False
        if epoch == self.epoch and sequence != self.expected:
            return False
        self.epoch = epoch
        self.expected = batch.next_sequence
        self.seen[stamp] = len(self.log)
        self.log += self.contents[batch]
        return True

    def _oldest_on_wire(self) -> Batch:
        return self.queue.on_wire[0]

    @precondition(lambda self: self.queue.on_wire)
    @rule()
    def acknowledge(self) -> None:
        batch = self._oldest_on_wire()
        if not self._append(batch):
            self._out_of_order(batch)
            return
        self.queue.answered(batch)
        self.sequences.acknowledged(batch)
        if batch.expired:
            self.failed.update(self.contents[batch])

    def _out_of_order(self, batch: Batch) -> None:
        if batch.expired:
            self._bury(batch)
            return
        if self.queue.is_oldest(batch):
            self.sequences.broken = True
        self.queue.put_back(batch)

    def _bury(self, batch: Batch) -> None:
        self.queue.answered(batch)
        self.sequences.broken = True
        self.failed.update(self.contents[batch])

    @precondition(lambda self: self.queue.on_wire)
    @rule(written=st.booleans())
    def lose_the_answer(self, written: bool) -> None:
        """The whole connection is lost, as always; the first may have been written."""
        for index, batch in enumerate(list(self.queue.on_wire)):
            if written and index == 0:
                self._append(batch)
            batch.maybe_written = True
            if batch.expired:
                self._bury(batch)
            else:
                self.queue.put_back(batch)

    @precondition(lambda self: self.queue.on_wire)
    @rule()
    def refuse(self) -> None:
        batch = self._oldest_on_wire()
        if batch.expired:
            self._bury(batch)
        else:
            self.queue.put_back(batch)

    @precondition(lambda self: self.queue.on_wire)
    @rule()
    def fail(self) -> None:
        self._bury(self._oldest_on_wire())

    @precondition(lambda self: self.queue.on_wire and self.queue.on_wire[0].count > 1)
    @rule()
    def split(self) -> None:
        batch = self._oldest_on_wire()
        if batch.expired or (batch.stamp.epoch, batch.stamp.base_sequence) in self.seen:
            return
        self.queue.answered(batch)
        numbers = self.contents[batch]
        for first, part in reversed(split_batch(batch, 1)):
            part.payload = part.body
            self.contents[part] = numbers[first : first + part.count]
            self.queue.insert(part)

    @precondition(lambda self: self.queue.waiting)
    @rule()
    def expire_waiting(self) -> None:
        batch = self.queue.waiting[0]
        if batch.is_stamped:
            self.sequences.broken = True
        self.queue.discard(batch)
        self.failed.update(self.contents[batch])

    @precondition(lambda self: self.queue.on_wire)
    @rule()
    def expire_on_the_wire(self) -> None:
        self._oldest_on_wire().expired = True

    @invariant()
    def the_log_is_in_order_and_without_repetition(self) -> None:
        assert self.log == sorted(set(self.log))

    @invariant()
    def the_queue_is_in_order(self) -> None:
        for line in (list(self.queue.waiting), self.queue.on_wire):
            orders = [batch.order for batch in line]
            assert orders == sorted(orders)

    @invariant()
    def only_what_failed_is_missing(self) -> None:
        there = set(self.log) | self.failed
        held = [*self.queue.waiting, *self.queue.on_wire]
        there |= {number for batch in held for number in self.contents[batch]}
        assert there == set(range(self.next_value))

    @invariant()
    def a_stamped_batch_is_repeated_alone_or_first(self) -> None:
        head = self.queue.head()
        if head is not None and head.is_stamped and self.queue.on_wire:
            first = self.queue.on_wire[0]
            assert not self.queue.may_send(self.now) or head.order < first.order


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_the_order_of_parts_is_between_that_of_their_neighbours() -> None:
    queue = make_queue()
    batches = [ready_batch(queue, [b"a", b"b"]) for _ in range(3)]
    queue.waiting.remove(batches[1])
    for _, part in reversed(split_batch(batches[1], 1)):
        queue.insert(part)
    assert [batch.order for batch in queue.waiting] == [(1,), (2, 0), (2, 1), (3,)]
