"""Epochs end and sequences wrap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.batch import SEQUENCE_LIMIT, Stamp
from aioproducer.core.producer_identity import MAX_EPOCH, ProducerIdentity, SequenceState
from tests.core.makers import IDENTITY, make_batch


def stamped(sequences: SequenceState, count: int) -> Stamp:
    batch = make_batch(values=[b"v"] * count)
    sequences.stamp(batch)
    return batch.stamp


def test_an_epoch_is_followed_by_the_next() -> None:
    assert ProducerIdentity(5, 0).bumped() == ProducerIdentity(5, 1)
    assert ProducerIdentity(5, MAX_EPOCH - 1).bumped() == ProducerIdentity(5, MAX_EPOCH)


def test_the_last_epoch_is_followed_by_none() -> None:
    assert ProducerIdentity(5, 32767).bumped() is None


def test_sequences_count_records() -> None:
    sequences = SequenceState()
    sequences.restart(IDENTITY)
    assert [stamped(sequences, n).base_sequence for n in (3, 1, 2, 1)] == [0, 3, 4, 6]


@given(start=st.integers(SEQUENCE_LIMIT - 20, SEQUENCE_LIMIT - 1), count=st.integers(1, 40))
def test_sequences_wrap_from_the_largest_to_zero(start: int, count: int) -> None:
    """Never to a negative one, whatever the batch's size."""
    sequences = SequenceState()
    sequences.restart(IDENTITY)
    sequences.next_sequence = start
    batch = make_batch(values=[b"v"] * count)
    sequences.stamp(batch)
    assert batch.stamp.base_sequence == start
    assert batch.next_sequence == (start + count) % 2**31
    assert sequences.next_sequence == batch.next_sequence
    sequences.acknowledged(batch)
    assert sequences.last_acked_sequence == (start + count - 1) % 2**31
    follower = make_batch()
    sequences.stamp(follower)
    assert sequences.is_next_expected(follower)


def test_acknowledgements_never_move_backwards() -> None:
    sequences = SequenceState()
    sequences.restart(IDENTITY)
    batches = [make_batch(values=[b"v"] * 2) for _ in range(3)]
    for batch in batches:
        sequences.stamp(batch)
    sequences.acknowledged(batches[2])
    sequences.acknowledged(batches[0])
    assert sequences.last_acked_sequence == 5


def test_nor_at_the_wrap() -> None:
    sequences = SequenceState()
    sequences.restart(IDENTITY)
    sequences.next_sequence = 2**31 - 1
    before, after = make_batch(), make_batch()
    sequences.stamp(before)
    sequences.stamp(after)
    sequences.acknowledged(after)
    assert sequences.last_acked_sequence == 0
    sequences.acknowledged(before)
    assert sequences.last_acked_sequence == 0


def test_an_acknowledgement_of_an_older_identity_says_nothing() -> None:
    sequences = SequenceState()
    sequences.restart(IDENTITY)
    batch = make_batch()
    sequences.stamp(batch)
    sequences.restart(ProducerIdentity(7, 1))
    sequences.acknowledged(batch)
    assert sequences.last_acked_sequence == -1


def test_a_restart_begins_at_zero_and_heals() -> None:
    sequences = SequenceState()
    sequences.restart(IDENTITY)
    stamped(sequences, 5)
    sequences.broken = True
    sequences.restart(ProducerIdentity(7, 1))
    assert not sequences.broken
    assert stamped(sequences, 1) == Stamp(7, 1, 0)
