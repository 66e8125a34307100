"""The open transaction: what may be sent, what has to be asked, when it is over."""

from __future__ import annotations

import pytest

from aioproducer.core.transaction import TransactionEvent, TransactionState
from aioproducer.core.transaction_scope import (
    OffsetsToCommit,
    Step,
    TransactionProtocol,
    TransactionScope,
)
from aioproducer.errors import ProducerError, TransactionAbortedError, TransactionStateError
from aioproducer.records import GroupMetadata, OffsetAndMetadata, TopicPartition

E, S = TransactionEvent, TransactionState
V1, V2 = TransactionProtocol.V1, TransactionProtocol.V2
BOTH = pytest.mark.parametrize("protocol", [V1, V2])
P0 = TopicPartition("t", 0)
WISH = OffsetsToCommit(GroupMetadata("g"), {P0: OffsetAndMetadata(1)})


class Woken:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def make(protocol: TransactionProtocol, *events: E, woken: Woken | None = None) -> TransactionScope:
    scope = TransactionScope("x", woken or Woken())
    scope.protocol = protocol
    for event in (E.INITIALIZE, E.INITIALIZED, *events):
        scope.apply(event)
    return scope


# What may be sent


@BOTH
@pytest.mark.parametrize("events", [(), (E.BEGIN, E.COMMIT, E.ENDED), (E.BEGIN, E.ABORT, E.ENDED)])
def test_nothing_is_admitted_between_transactions(
    protocol: TransactionProtocol, events: tuple[E, ...]
) -> None:
    assert not make(protocol, *events).admits("t", 0, doubtful=True)


def test_the_old_protocol_admits_a_partition_once_it_was_added() -> None:
    woken = Woken()
    scope = make(V1, E.BEGIN, woken=woken)
    scope.touch("t", 0)
    assert not scope.admits("t", 0, doubtful=False)
    assert scope.next_step(quiet=False) is Step.ADD_PARTITIONS
    assert scope.partitions_to_add() == (P0,)
    scope.added([P0])
    assert scope.admits("t", 0, doubtful=False)
    assert not scope.admits("t", 1, doubtful=False)
    scope.touch("t", 0)
    assert woken.times == 1
    assert scope.next_step(quiet=False) is None


def test_the_old_protocol_adds_partitions_anew_in_each_transaction() -> None:
    scope = make(V1, E.BEGIN)
    scope.touch("t", 0)
    scope.added([P0])
    for event in (E.COMMIT, E.ENDED, E.BEGIN):
        scope.apply(event)
    assert not scope.admits("t", 0, doubtful=False)
    scope.touch("t", 0)
    assert scope.partitions_to_add() == (P0,)


def test_the_new_protocol_adds_by_itself() -> None:
    woken = Woken()
    scope = make(V2, E.BEGIN, woken=woken)
    scope.touch("t", 0)
    assert woken.times == 0
    assert scope.next_step(quiet=False) is None
    assert scope.admits("t", 0, doubtful=False)


def test_partitions_are_still_added_while_committing() -> None:
    """A record may wait for metadata while the commit waits for it."""
    scope = make(V1, E.BEGIN, E.COMMIT)
    scope.touch("t", 0)
    assert scope.next_step(quiet=False) is Step.ADD_PARTITIONS


@pytest.mark.parametrize("end", [E.FAULT, E.ABORT])
def test_once_lost_only_what_may_be_written_already_is_repeated(end: E) -> None:
    """Under the old protocol: a late copy could open a transaction that nobody ends."""
    scope = make(V1, E.BEGIN, end)
    assert scope.is_lost
    assert scope.keeps_doubtful
    assert scope.admits("t", 0, doubtful=True)
    assert not scope.admits("t", 0, doubtful=False)


@pytest.mark.parametrize("end", [E.FAULT, E.ABORT])
def test_the_new_protocol_fences_what_is_late(end: E) -> None:
    scope = make(V2, E.BEGIN, end)
    assert not scope.admits("t", 0, doubtful=True)


# What is owed


@BOTH
def test_it_ends_when_all_is_quiet(protocol: TransactionProtocol) -> None:
    for end in (E.COMMIT, E.ABORT):
        scope = make(protocol, E.BEGIN, end)
        assert scope.next_step(quiet=False) is None
        assert scope.next_step(quiet=True) is Step.END


@BOTH
def test_nothing_is_owed_in_an_open_transaction(protocol: TransactionProtocol) -> None:
    assert make(protocol, E.BEGIN).next_step(quiet=True) is None


def test_an_identity_is_owed_at_first_and_after_a_renewal() -> None:
    scope = TransactionScope("x", Woken())
    assert scope.next_step(quiet=True) is None
    scope.apply(E.INITIALIZE)
    assert scope.next_step(quiet=True) is Step.INITIALIZE
    assert make(V1, E.BEGIN, E.ABORT, E.RENEW).next_step(quiet=True) is Step.INITIALIZE


def test_the_old_protocol_adds_a_group_before_its_offsets() -> None:
    scope = make(V1, E.BEGIN)
    scope.offsets.append(WISH)
    assert scope.next_step(quiet=True) is Step.ADD_OFFSETS
    scope.group_added("g")
    assert scope.next_step(quiet=True) is Step.COMMIT_OFFSETS


def test_the_new_protocol_commits_offsets_at_once() -> None:
    scope = make(V2, E.BEGIN)
    scope.offsets.append(WISH)
    assert scope.next_step(quiet=True) is Step.COMMIT_OFFSETS


@BOTH
def test_a_commit_waits_for_offsets_and_an_abort_drops_them(protocol: TransactionProtocol) -> None:
    committing = make(protocol, E.BEGIN)
    committing.offsets.append(WISH)
    committing.apply(E.COMMIT)
    assert committing.next_step(quiet=True) is not Step.END
    aborting = make(protocol, E.BEGIN)
    aborting.offsets.append(WISH)
    aborting.touch("t", 0)
    aborting.apply(E.ABORT)
    assert aborting.next_step(quiet=True) is Step.END


def test_an_abort_asks_again_what_was_never_answered() -> None:
    """EndTxn would be refused if nothing is open, and readers held up if something is."""
    scope = make(V1, E.BEGIN)
    scope.touch("t", 0)
    scope.unanswered((P0,))
    scope.apply(E.ABORT)
    assert scope.next_step(quiet=True) is Step.ADD_PARTITIONS
    assert scope.partitions_to_add() == (P0,)
    scope.added((P0,))
    assert scope.started
    assert scope.next_step(quiet=True) is Step.END


def test_an_abort_asks_again_for_a_group_that_was_never_answered() -> None:
    scope = make(V1, E.BEGIN)
    scope.offsets.append(WISH)
    assert scope.group_to_add() == "g"
    scope.unanswered("g")
    scope.apply(E.ABORT)
    assert scope.next_step(quiet=True) is Step.ADD_OFFSETS
    assert scope.group_to_add() == "g"
    scope.refused()
    assert not scope.started
    assert scope.next_step(quiet=True) is Step.END


def test_what_was_refused_while_something_is_in_doubt_leaves_it_in_doubt() -> None:
    """Two partitions are refused together; the one asked alone before may have been added."""
    scope = make(V1, E.BEGIN)
    scope.unanswered((P0,))
    scope.refused()
    scope.apply(E.FAULT)
    scope.apply(E.ABORT)
    assert scope.next_step(quiet=True) is Step.ADD_PARTITIONS


def test_once_something_is_open_nothing_is_in_doubt() -> None:
    scope = make(V1, E.BEGIN)
    scope.added((P0,))
    scope.unanswered("g")
    scope.apply(E.ABORT)
    assert scope.next_step(quiet=True) is Step.END


# Failures


@BOTH
def test_the_first_cause_is_kept(protocol: TransactionProtocol) -> None:
    scope = make(protocol, E.BEGIN)
    first, second = ProducerError("first", retriable=True), ProducerError("second")
    assert scope.fault(first)
    assert not scope.fault(second)
    assert scope.state is S.ABORTABLE_ERROR
    assert scope.error is first
    cause = scope.cause()
    assert cause is not first
    assert cause.message == "first"
    assert not cause.retriable
    assert "Abort" in cause.what_next


def test_a_failure_during_an_abort_changes_nothing_but_the_cause_of_nothing() -> None:
    scope = make(V2, E.BEGIN, E.ABORT)
    assert not scope.fault(ProducerError("late"))
    assert scope.state is S.ABORTING


def test_a_failure_outside_a_transaction_is_no_concern() -> None:
    scope = make(V2)
    assert not scope.fault(ProducerError("stray"))
    assert scope.state is S.READY
    assert scope.error is None


def test_a_new_transaction_forgets_the_last_ones_failure() -> None:
    scope = make(V2, E.BEGIN)
    scope.started = True
    scope.fault(ProducerError("first"))
    for event in (E.ABORT, E.ENDED, E.BEGIN):
        scope.apply(event)
    assert scope.error is None
    assert not scope.started
    assert scope.admits("t", 0, doubtful=False)


def test_the_first_fatal_error_stays() -> None:
    scope = make(V2, E.BEGIN)
    scope.fault(ProducerError("abortable"))
    fatal = ProducerError("fatal")
    assert scope.doom(fatal)
    assert not scope.doom(ProducerError("another"))
    assert scope.error is fatal
    assert scope.cause().message == "fatal"
    assert not scope.admits("t", 0, doubtful=True)
    with pytest.raises(TransactionStateError):
        scope.apply(E.ABORT)


def test_an_aborted_records_error_tells_why() -> None:
    scope = make(V2, E.BEGIN)
    assert scope.aborted().__cause__ is None
    cause = ProducerError("the disk is full")
    scope.fault(cause)
    error = scope.aborted()
    assert isinstance(error, TransactionAbortedError)
    assert error.__cause__ is cause
    assert "the disk is full" in str(error)
    assert error.persisted == "no"


def test_what_a_coordinator_forgot_is_told_again_before_the_end() -> None:
    scope = make(V2, E.BEGIN)
    scope.sent("t", 0)
    scope.offsets_sent("g")
    scope.apply(E.COMMIT)
    assert scope.next_step(quiet=True) is Step.END
    scope.forget(ProducerError("unknown"))
    assert scope.next_step(quiet=True) is Step.ADD_OFFSETS
    assert scope.group_to_add() == "g"
    scope.group_added("g")
    assert scope.next_step(quiet=True) is Step.ADD_PARTITIONS
    assert scope.partitions_to_add() == (P0,)
    scope.added([P0])
    assert not scope.is_telling_again
    assert scope.next_step(quiet=True) is Step.END


def test_what_nobody_wants_to_hear_is_not_told_on() -> None:
    scope = make(V2, E.BEGIN)
    scope.sent("t", 0)
    scope.apply(E.ABORT)
    scope.tell_again()
    assert scope.next_step(quiet=True) is Step.ADD_PARTITIONS
    scope.told_in_vain()
    assert scope.next_step(quiet=True) is Step.END


def test_the_next_transaction_has_not_been_forgotten() -> None:
    scope = make(V2, E.BEGIN)
    scope.sent("t", 0)
    scope.apply(E.COMMIT)
    scope.forget(ProducerError("unknown"))
    scope.apply(E.FAULT)
    scope.apply(E.ABORT)
    scope.apply(E.ENDED)
    scope.apply(E.BEGIN)
    scope.apply(E.COMMIT)
    assert scope.forgotten is None
    assert scope.next_step(quiet=True) is Step.END


def test_after_a_repetition_everything_is_told_again_once() -> None:
    scope = make(V2, E.BEGIN)
    scope.distrust()
    assert not scope.must_tell_again()
    scope.sent("t", 0)
    scope.apply(E.COMMIT)
    assert scope.must_tell_again()
    assert scope.next_step(quiet=True) is Step.ADD_PARTITIONS
    scope.added([P0])
    assert not scope.must_tell_again()
    assert scope.next_step(quiet=True) is Step.END


def test_the_old_protocol_told_everything_itself() -> None:
    scope = make(V1, E.BEGIN)
    scope.sent("t", 0)
    scope.distrust()
    assert not scope.must_tell_again()
