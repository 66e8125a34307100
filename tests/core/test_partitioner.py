"""Where records go: stickiness, weights, and agreement with Java and librdkafka."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.config_table import PARTITIONERS
from aioproducer.core.partitioner import (
    PARTITIONER_NAMES,
    Partitioner,
    PartitionerRecord,
    PartitionList,
    StickyPartition,
    named_partitioner,
)
from aioproducer.errors import ConfigurationError
from tests.oracles.java.data import load
from tests.oracles.librdkafka.data import answers

LIBRDKAFKA = tuple(answers()["delivered"])


def record(key: bytes | None, topic: str = "topic") -> PartitionerRecord:
    return PartitionerRecord(topic=topic, key=key, value=b"v", key_bytes=key, value_bytes=b"v")


def partitioner(name: str, seed: int = 1) -> Partitioner:
    found = named_partitioner(name, random.Random(seed))
    assert found is not None
    return found


@st.composite
def topics(draw: st.DrawFn) -> tuple[int, tuple[int, ...], list[int]]:
    """Draw a number of partitions, those with a leader, and the lengths of their queues."""
    count = draw(st.integers(1, 12))
    available = tuple(sorted(draw(st.sets(st.integers(0, count - 1)))))
    loads = draw(st.lists(st.integers(0, 50), min_size=count, max_size=count))
    return count, available, loads


# Sticky


@given(topics(), st.booleans(), st.integers())
def test_no_unavailable_partition_is_chosen_while_one_is_available(
    topic: tuple[int, tuple[int, ...], list[int]], adaptive: bool, seed: int
) -> None:
    count, available, loads = topic
    rng = random.Random(seed)
    sticky = StickyPartition()
    allowed = available or tuple(range(count))
    assert sticky.current(count, available, (lambda: loads) if adaptive else None, rng) in allowed
    for _ in range(5):
        assert sticky.rotate(available, loads if adaptive else None, rng, count) in allowed


@given(topics(), topics(), st.integers())
def test_a_partition_that_lost_its_leader_is_left_at_once(
    before: tuple[int, tuple[int, ...], list[int]],
    after: tuple[int, tuple[int, ...], list[int]],
    seed: int,
) -> None:
    rng = random.Random(seed)
    sticky = StickyPartition()
    first = sticky.current(before[0], before[1], None, rng)
    count, available, loads = after
    second = sticky.current(count, available, lambda: loads, rng)
    assert second in (available or range(count))
    if first < count and (first in available or not available):
        assert second == first


@given(topics(), st.integers())
def test_equal_seeds_make_equal_choices(
    topic: tuple[int, tuple[int, ...], list[int]], seed: int
) -> None:
    count, available, loads = topic

    def walk() -> list[int]:
        rng, sticky = random.Random(seed), StickyPartition()
        return [sticky.rotate(available, loads, rng, count) for _ in range(8)]

    assert walk() == walk()


def test_it_sticks_until_a_batch_of_bytes_was_closed_there() -> None:
    rng = random.Random(1)
    sticky = StickyPartition()
    available = tuple(range(8))
    chosen = sticky.current(8, available, None, rng)
    assert {sticky.current(8, available, None, rng) for _ in range(100)} == {chosen}
    sticky.account((chosen + 1) % 8, 10**9)
    assert not sticky.due(16384)
    sticky.account(chosen, 16000)
    assert not sticky.due(16384)
    sticky.account(chosen, 384)
    assert sticky.due(16384)
    sticky.rotate(available, None, rng, 8)
    assert not sticky.due(16384)


def test_with_no_batch_size_every_batch_moves_on() -> None:
    sticky = StickyPartition()
    chosen = sticky.current(3, (0, 1, 2), None, random.Random(1))
    assert not sticky.due(0)
    sticky.account(chosen, 70)
    assert sticky.due(0)


def test_queue_lengths_are_not_asked_for_while_it_sticks() -> None:
    calls = []

    def loads() -> list[int]:
        calls.append(1)
        return [0, 0, 0]

    rng, sticky, available = random.Random(1), StickyPartition(), (0, 1, 2)
    for _ in range(50):
        sticky.current(3, available, loads, rng)
    assert len(calls) == 1


def test_without_queue_lengths_all_partitions_get_the_same() -> None:
    rng, sticky = random.Random(1), StickyPartition()
    chosen = Counter(sticky.rotate((1, 3, 5), None, rng, 6) for _ in range(6000))
    assert set(chosen) == {1, 3, 5}
    assert all(1850 < times < 2150 for times in chosen.values())


def test_partitions_get_records_by_what_their_queues_lack_to_the_longest() -> None:
    rng, sticky = random.Random(1), StickyPartition()
    # The weights are 4, 1 and 3; the queue of 50 has no leader and does not count as the longest.
    chosen = Counter(sticky.rotate((0, 1, 3), [0, 3, 50, 1], rng, 4) for _ in range(8000))
    assert abs(chosen[0] - 4000) < 200
    assert abs(chosen[1] - 1000) < 200
    assert abs(chosen[3] - 3000) < 200
    assert chosen[2] == 0


# Named


def test_the_configuration_knows_the_same_names() -> None:
    assert set(PARTITIONER_NAMES) == set(PARTITIONERS)


def test_the_default_is_the_built_in_path() -> None:
    assert named_partitioner("default", random.Random(1)) is None


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'murmur3' is none of default, .*murmur2"):
        named_partitioner("murmur3", random.Random(1))


@pytest.mark.parametrize("name", [name for name in LIBRDKAFKA if name != "random"])
def test_keys_go_where_librdkafka_delivers_them(name: str) -> None:
    ours = partitioner(name)
    keys = answers()["delivered"][name]["keys"]
    assert len(keys) > 80
    # A key's partition does not depend on which partitions have a leader.
    for partitions in (
        PartitionList(4, (0, 1, 2, 3)),
        PartitionList(4, (2,)),
        PartitionList(4, ()),
    ):
        for key, partition in keys.items():
            assert ours.partition(record(bytes.fromhex(key)), partitions) == partition, key


@pytest.mark.parametrize("name", LIBRDKAFKA)
@pytest.mark.parametrize(
    ("kind", "key"), [("null key", None), ("empty key", b""), ("one key", b"abc")]
)
def test_what_librdkafka_leaves_to_chance_is_left_to_chance(
    name: str, kind: str, key: bytes | None
) -> None:
    ours = partitioner(name)
    chosen = {ours.partition(record(key), PartitionList(4, (0, 1, 2, 3))) for _ in range(200)}
    expected = answers()["delivered"][name][kind]
    assert chosen == ({0, 1, 2, 3} if expected is None else {expected})


@pytest.mark.parametrize("name", ["consistent", "murmur2", "fnv1a"])
def test_keys_agree_with_librdkafka_over_other_numbers_of_partitions(name: str) -> None:
    ours = partitioner(name)
    stored = answers()
    for key, partitions in stored["computed"][name].items():
        subject = record(bytes.fromhex(key))
        lists = [PartitionList(count, ()) for count in stored["counts"]]
        assert [ours.partition(subject, each) for each in lists] == partitions


@pytest.mark.parametrize(
    "name", [name for name in LIBRDKAFKA if name.endswith("random")] + ["round_robin"]
)
def test_records_without_a_key_avoid_partitions_without_a_leader(name: str) -> None:
    ours = partitioner(name)
    for available in ((1, 4), (3,)):
        partitions = PartitionList(5, available)
        chosen = {ours.partition(record(None), partitions) for _ in range(100)}
        assert chosen == set(available)
    nowhere = {ours.partition(record(None), PartitionList(3, ())) for _ in range(100)}
    assert nowhere == {0, 1, 2}


@pytest.mark.parametrize("rotation", load("partitions.json")["round_robin"])
def test_round_robin_turns_as_in_java(rotation: dict[str, list[int]]) -> None:
    ours = partitioner("round_robin")
    available = tuple(rotation["available"])
    partitions = PartitionList(int(str(rotation["all"])), available)
    turns = [ours.partition(record(b"key"), partitions) for _ in rotation["chosen"]]
    assert turns == rotation["chosen"]


def test_round_robin_counts_for_each_topic_by_itself() -> None:
    ours = partitioner("round_robin")
    partitions = PartitionList(3, (0, 1, 2))
    turns = [ours.partition(record(None, topic), partitions) for topic in "aabab"]
    assert turns == [0, 1, 0, 2, 1]
