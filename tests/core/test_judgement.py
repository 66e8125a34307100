"""What an answer means for a batch, over every code."""

from __future__ import annotations

import pytest

from aioproducer.core.batch import Batch
from aioproducer.core.judgement import DELIVER, Ruling, judge_answer, judge_lost
from aioproducer.core.producer_identity import SequenceState
from aioproducer.core.verdict import Action, produce_verdict
from aioproducer.wire.error_codes import ErrorCode
from tests.core.makers import IDENTITY, make_batch

CODES = [*map(int, ErrorCode), 999]
OUT_OF_ORDER = int(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)


def with_sequences(*, acknowledged: int = 3) -> tuple[Batch, SequenceState]:
    """Return a stamped batch that is the next one the broker expects."""
    sequences = SequenceState()
    sequences.restart(IDENTITY)
    if acknowledged:
        before = make_batch(values=[b"v"] * acknowledged)
        sequences.stamp(before)
        sequences.acknowledged(before)
    batch = make_batch(values=[b"a", b"b"])
    sequences.stamp(batch)
    return batch, sequences


@pytest.mark.parametrize("code", CODES)
def test_every_code_follows_its_verdict(code: int) -> None:
    batch, sequences = with_sequences()
    verdict = produce_verdict(code)
    judgement = judge_answer(batch, code, sequences, retries_left=True)
    expected = {
        Action.DELIVERED: Ruling.DELIVER,
        Action.RETRY: Ruling.RETRY,
        Action.SPLIT: Ruling.SPLIT,
        Action.SEQUENCE: Ruling.RETRY,
        Action.FAIL: Ruling.FAIL,
        Action.FATAL: Ruling.FAIL,
    }[verdict.action]
    assert judgement.ruling is expected
    if verdict.action in (Action.RETRY, Action.FAIL, Action.FATAL):
        assert judgement.rejected == verdict.definite
        assert judgement.refresh_metadata == verdict.refresh_metadata


@pytest.mark.parametrize("code", CODES)
def test_without_retries_left_everything_but_success_and_a_split_fails(code: int) -> None:
    batch, sequences = with_sequences()
    judgement = judge_answer(batch, code, sequences, retries_left=False)
    if produce_verdict(code).action is Action.DELIVERED:
        assert judgement is DELIVER
    elif produce_verdict(code).action is Action.SPLIT:
        assert judgement.ruling is Ruling.SPLIT
    else:
        assert judgement.ruling is Ruling.FAIL
        # Its sequences are missing in the log: what follows must be stamped anew.
        assert judgement.breaks_sequence


@pytest.mark.parametrize("code", CODES)
def test_without_idempotence_no_sequence_is_ever_broken(code: int) -> None:
    for retries_left in (True, False):
        judgement = judge_answer(make_batch(), code, None, retries_left=retries_left)
        assert not judgement.breaks_sequence
        if produce_verdict(code).action is Action.SEQUENCE:
            assert judgement.ruling is Ruling.FAIL


def test_a_single_record_is_not_split() -> None:
    batch, sequences = make_batch(values=[b"a"]), SequenceState()
    code = int(ErrorCode.MESSAGE_TOO_LARGE)
    assert judge_answer(batch, code, sequences, retries_left=True).ruling is Ruling.FAIL


def test_splitting_leaves_no_gap() -> None:
    batch, sequences = with_sequences()
    code = int(ErrorCode.MESSAGE_TOO_LARGE)
    judgement = judge_answer(batch, code, sequences, retries_left=True)
    assert judgement.ruling is Ruling.SPLIT
    assert not judgement.breaks_sequence
    assert judgement.rejected


class TestOutOfOrder:
    """Either a predecessor is still to come, or the broker has lost track."""

    def test_behind_one_that_is_retried_it_waits(self) -> None:
        _, sequences = with_sequences()
        follower = make_batch()
        sequences.stamp(follower)
        judgement = judge_answer(follower, OUT_OF_ORDER, sequences, retries_left=True)
        assert judgement.ruling is Ruling.RETRY
        assert not judgement.breaks_sequence
        assert judgement.rejected

    def test_as_the_next_expected_it_breaks_the_sequence(self) -> None:
        batch, sequences = with_sequences()
        judgement = judge_answer(batch, OUT_OF_ORDER, sequences, retries_left=True)
        assert (judgement.ruling, judgement.breaks_sequence) == (Ruling.RETRY, True)

    def test_as_the_oldest_it_can_never_fit(self) -> None:
        _, sequences = with_sequences()
        follower = make_batch()
        sequences.stamp(follower)
        judgement = judge_answer(
            follower, OUT_OF_ORDER, sequences, retries_left=True, is_oldest=True
        )
        assert (judgement.ruling, judgement.breaks_sequence) == (Ruling.RETRY, True)

    def test_in_a_broken_sequence_it_waits_for_the_restart(self) -> None:
        _, sequences = with_sequences()
        follower = make_batch()
        sequences.stamp(follower)
        sequences.broken = True
        judgement = judge_answer(follower, OUT_OF_ORDER, sequences, retries_left=True)
        assert judgement.ruling is Ruling.RETRY

    @pytest.mark.parametrize("code", [47, 59])
    def test_an_old_epoch_or_a_forgotten_producer_always_break_it(self, code: int) -> None:
        _, sequences = with_sequences()
        follower = make_batch()
        sequences.stamp(follower)
        judgement = judge_answer(follower, code, sequences, retries_left=True)
        assert (judgement.ruling, judgement.breaks_sequence) == (Ruling.RETRY, True)


class TestLost:
    """No answer: it may be written."""

    def test_it_is_retried_and_in_doubt(self) -> None:
        judgement = judge_lost(SequenceState(), retries_left=True)
        assert judgement.ruling is Ruling.RETRY
        assert not judgement.rejected
        assert judgement.refresh_metadata
        assert not judgement.breaks_sequence

    def test_without_retries_left_it_fails_and_breaks_the_sequence(self) -> None:
        judgement = judge_lost(SequenceState(), retries_left=False)
        assert judgement.ruling is Ruling.FAIL
        assert not judgement.rejected
        assert judgement.breaks_sequence

    def test_without_idempotence_there_is_nothing_to_break(self) -> None:
        assert not judge_lost(None, retries_left=False).breaks_sequence
