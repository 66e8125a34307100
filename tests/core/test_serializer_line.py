"""Who stands behind a serializer: every partition keeps its order, nobody waits for nothing."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.serializer_line import SerializerLine
from aioproducer.core.waiting_room import WaitingRecord
from tests.core.test_waiting_room import make_record


def make(arrival: int, place: int | None, *, serialized: bool = True) -> WaitingRecord:
    record = make_record()
    record.arrival, record.place, record.serialized = arrival, place, serialized
    return record


def line_of(*records: WaitingRecord) -> SerializerLine:
    line = SerializerLine()
    for record in records:
        line.join(record)
    return line


def test_an_empty_line_holds_nobody() -> None:
    line = SerializerLine()
    assert not line.holds("orders")
    assert not line.must_wait("orders", None)
    assert line.take("orders") == []


def test_a_known_partition_is_held_alone() -> None:
    line = line_of(make(0, 3, serialized=False))
    assert line.must_wait("orders", 3)
    assert not line.must_wait("orders", 4)
    assert line.must_wait("orders", None)
    assert not line.must_wait("other", 3)


def test_an_unknown_one_holds_the_topic() -> None:
    line = line_of(make(0, None, serialized=False))
    assert line.must_wait("orders", 3)


def test_who_is_first_in_a_partition_goes_past_others_of_the_topic() -> None:
    slow, ready = make(0, 1, serialized=False), make(1, 2)
    line = line_of(slow, ready)
    assert line.take("orders") == [ready]
    slow.serialized = True
    assert line.take("orders") == [slow]
    assert not line.holds("orders")


def test_nobody_passes_one_that_may_go_anywhere() -> None:
    anywhere, behind = make(0, None, serialized=False), make(1, 2)
    line = line_of(anywhere, behind)
    assert line.take("orders") == []
    line.narrow(anywhere, 1)
    assert line.take("orders") == [behind]


def test_one_that_is_narrowed_keeps_its_turn() -> None:
    first, second = make(0, None, serialized=False), make(1, 2)
    line = line_of(first, second)
    line.narrow(first, 2)
    assert line.take("orders") == []
    first.serialized = True
    assert line.take("orders") == [first, second]


def test_leaving_twice_is_leaving_once() -> None:
    record = make(0, 1)
    line = line_of(record)
    line.leave(record)
    line.leave(record)
    assert not line.holds("orders")


def may_pass(record: WaitingRecord, earlier: list[WaitingRecord]) -> bool:
    return record.serialized and not any(
        record.place is None or other.place is None or other.place == record.place
        for other in earlier
    )


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_whatever_happens_exactly_those_go_whose_turn_it_is(seed: int, steps: int) -> None:
    """Against the rule written out: no earlier one left that may share the partition."""
    rng = random.Random(seed)
    line = SerializerLine()
    standing: list[WaitingRecord] = []
    for arrival in range(steps):
        choice = rng.random()
        if choice < 0.5 or not standing:
            record = make(arrival, rng.choice([None, 1, 2]), serialized=rng.random() < 0.4)
            blocked = not may_pass(make(0, record.place), standing)
            assert line.must_wait("orders", record.place) == blocked
            line.join(record)
            standing.append(record)
        elif choice < 0.6:
            record = standing.pop(rng.randrange(len(standing)))
            line.leave(record)
        elif choice < 0.75 and any(record.place is None for record in standing):
            line.narrow(rng.choice([r for r in standing if r.place is None]), rng.choice([1, 2]))
        else:
            rng.choice(standing).serialized = True
        expected: list[WaitingRecord] = []
        kept: list[WaitingRecord] = []
        for record in standing:
            (expected if may_pass(record, kept) else kept).append(record)
        assert line.take("orders") == expected
        standing = kept
        assert line.holds("orders") == bool(standing)
