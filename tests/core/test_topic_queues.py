"""A topic's partitions as the send path needs them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.cluster_view import PartitionView, TopicView
from aioproducer.core.producer_identity import ProducerIdentity, SequenceState
from aioproducer.core.topic_queues import CompressionRatio, TopicQueues
from tests.core.makers import make_batch


def view(*leaders: int, epoch: int = 0, topic_id: bytes = b"0123456789abcdef") -> TopicView:
    partitions = tuple(
        PartitionView(index, leader=leader, leader_epoch=epoch)
        for index, leader in enumerate(leaders)
    )
    available = tuple(index for index, leader in enumerate(leaders) if leader >= 0)
    return TopicView("orders", topic_id, partitions, 0, available)


def updated(*leaders: int) -> TopicQueues:
    queues = TopicQueues("orders", adaptive=True)
    queues.update(view(*leaders), lambda *_: SequenceState(), True)
    return queues


def test_a_view_makes_the_queues() -> None:
    queues = TopicQueues("orders", adaptive=True)
    moved = queues.update(view(1, 2, -1), lambda *_: SequenceState(), True).moved
    assert [queue.leader for queue in queues.partitions] == [1, 2, -1]
    assert (queues.count, queues.available) == (3, (0, 1))
    assert moved == queues.partitions
    assert queues.topic_id == b"0123456789abcdef"


def test_queues_that_are_there_stay_and_new_ones_join() -> None:
    queues = updated(1, 1)
    first, second = queues.partitions
    moved = queues.update(view(1, 1, 2), lambda *_: SequenceState(), True).moved
    assert queues.partitions[:2] == [first, second]
    assert moved == queues.partitions[2:]


def test_only_those_whose_leader_or_epoch_changed_are_told() -> None:
    queues = updated(1, 1)
    assert queues.update(view(1, 1), lambda *_: None, True).moved == []
    assert queues.update(view(1, 2), lambda *_: None, True).moved == [queues.partitions[1]]
    assert queues.update(view(1, 2, epoch=1), lambda *_: None, True).moved == queues.partitions


def test_each_partition_asks_for_its_own_sequences() -> None:
    asked: list[tuple[str, int]] = []

    def sequences(name: str, index: int) -> SequenceState | None:
        asked.append((name, index))
        return None

    TopicQueues("orders", adaptive=True).update(view(1, 1), sequences, False)
    assert asked == [("orders", 0), ("orders", 1)]


def test_records_without_a_key_stay_with_a_partition_for_a_batch_s_worth() -> None:
    queues = updated(1, 1, 1, 1)
    rng = random.Random(3)
    first = queues.pick(1000, rng, frozenset())
    assert {queues.pick(1000, rng, frozenset()) for _ in range(20)} == {first}
    queues.sticky.account(first, 1000)
    picked = {queues.pick(1, random.Random(seed), frozenset()) for seed in range(40)}
    assert picked


def test_they_go_to_partitions_with_a_leader() -> None:
    queues = updated(-1, 1, -1)
    assert {queues.pick(100, random.Random(seed), frozenset()) for seed in range(20)} == {1}


def test_and_to_usable_ones_unless_none_is_left() -> None:
    for seed in range(20):
        assert updated(1, 2).pick(100, random.Random(seed), frozenset({0})) == 1
        assert updated(1, 2).pick(100, random.Random(seed), frozenset({0, 1})) in (0, 1)


def test_long_queues_are_avoided() -> None:
    counts = [0, 0]
    for seed in range(300):
        queues = updated(1, 1)
        make_batch(queues.partitions[0])
        queues.partitions[0].waiting.extend(make_batch() for _ in range(20))
        counts[queues.pick(100, random.Random(seed), frozenset())] += 1
    assert counts[1] > 5 * counts[0]


class TestRatio:
    """The estimate is quick to worsen and slow to improve."""

    def test_the_first_guess_is_no_compression_at_all(self) -> None:
        assert CompressionRatio().estimate == 1.0

    def test_it_improves_by_small_steps_down_to_what_is_seen(self) -> None:
        ratio = CompressionRatio()
        ratio.observe(0.3)
        assert ratio.estimate == pytest.approx(0.995)
        for _ in range(1000):
            ratio.observe(0.3)
        assert ratio.estimate == pytest.approx(0.3)

    def test_it_worsens_at_once(self) -> None:
        ratio = CompressionRatio()
        for _ in range(1000):
            ratio.observe(0.3)
        ratio.observe(0.9)
        assert ratio.estimate == pytest.approx(0.9)
        ratio.observe(0.91)
        assert ratio.estimate == pytest.approx(0.95)

    def test_a_batch_that_was_too_large_starts_it_again(self) -> None:
        ratio = CompressionRatio()
        ratio.observe(0.2)
        ratio.reset(0.4)
        assert ratio.estimate == 1.0
        ratio.reset(1.3)
        assert ratio.estimate == 1.3

    @given(st.lists(st.floats(0.01, 2), max_size=50))
    def test_it_stays_between_the_extremes(self, seen: list[float]) -> None:
        ratio = CompressionRatio()
        for value in seen:
            ratio.observe(value)
        assert min([1.0, *seen]) - 1e-9 <= ratio.estimate <= max([1.0, *seen]) + 0.05


def test_a_topic_made_anew_with_fewer_partitions_has_fewer_queues() -> None:
    """Keys would go to partitions that are no more, for as long as the producer lives."""
    queues = updated(1, 1, 1)
    first, *others = queues.partitions
    anew = view(2, topic_id=b"fedcba9876543210")
    changes = queues.update(anew, lambda *_: SequenceState(), True)
    assert (queues.count, queues.partitions) == (1, [first])
    assert changes.gone == others
    assert changes.moved == [first]


def test_a_topic_made_anew_distrusts_the_sequences_of_the_old_one() -> None:
    queues = updated(1, 1)
    used, unused = (queue.sequences for queue in queues.partitions)
    assert used is not None
    assert unused is not None
    used.restart(ProducerIdentity(7, 0))
    anew = view(1, 1, topic_id=b"fedcba9876543210")
    queues.update(anew, lambda *_: SequenceState(), True)
    assert (used.broken, unused.broken) == (True, False)
