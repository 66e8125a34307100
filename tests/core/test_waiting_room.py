"""Records that wait keep their place."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.core.waiting_room import WaitingRecord, WaitingRoom, WaitsFor
from aioproducer.delivery import Fate
from tests.core.makers import NO_LOOP


def make_record(topic: str = "orders", partition: int | None = None) -> WaitingRecord:
    record = WaitingRecord(
        topic=topic,
        partition=partition,
        key=b"k",
        value=bytearray(b"v"),
        headers=[("h", b"1")],
        timestamp_ms=5,
        size=10,
        sent_at=0.0,
        user_key=None,
        user_value=None,
        expedite=False,
    )
    record.delivery = Fate(NO_LOOP, topic, partition, 1).delivery(0, 5, 1, 1)
    return record


def test_an_empty_room_holds_nobody() -> None:
    room = WaitingRoom()
    assert (len(room), list(room), room.oldest(), room.next_for_memory()) == (0, [], None, None)
    assert not room.someone_waits_for_memory
    assert not room.holds("orders")


def test_records_wait_for_their_topic_only() -> None:
    room = WaitingRoom()
    one, other = make_record("one"), make_record("other")
    room.join(one, WaitsFor.TOPIC)
    room.join(other, WaitsFor.TOPIC)
    assert room.waiting_for_topic("one") == [one]
    assert room.holds("one")
    assert not room.holds("third")
    room.leave(one)
    assert not room.holds("one")
    assert one not in room
    assert other in room


def test_records_wait_for_their_partition_only() -> None:
    room = WaitingRoom()
    third, fifth = make_record(partition=3), make_record(partition=5)
    room.join(third, WaitsFor.PARTITION)
    room.join(fifth, WaitsFor.PARTITION)
    assert not room.holds("orders")
    assert room.holds("orders", 3)
    assert not room.holds("orders", 4)
    assert room.expects_partitions("orders")
    assert not room.expects_partitions("others")
    assert room.waiting_for_partitions("orders", 3) == []
    assert room.waiting_for_partitions("orders", 4) == [third]
    assert room.waiting_for_partitions("orders", 6) == [third, fifth]


def test_memory_is_granted_first_come_first_served() -> None:
    room = WaitingRoom()
    records = [make_record() for _ in range(5)]
    for record in records:
        room.join(record, WaitsFor.MEMORY)
    served = []
    while (record := room.next_for_memory()) is not None:
        served.append(record)
        room.leave(record)
    assert served == records


def test_who_waited_for_metadata_before_is_not_overtaken() -> None:
    """A record that came first and waited for its partition goes before younger ones."""
    room = WaitingRoom()
    early, late = make_record(partition=3), make_record()
    room.join(early, WaitsFor.PARTITION)
    room.join(late, WaitsFor.MEMORY)
    room.promote([early])
    assert room.next_for_memory() is early


def test_one_may_step_out_of_the_middle() -> None:
    room = WaitingRoom()
    records = [make_record() for _ in range(3)]
    for record in records:
        room.join(record, WaitsFor.MEMORY)
    room.leave(records[1])
    assert list(room) == [records[0], records[2]]
    room.leave(records[0])
    assert room.next_for_memory() is records[2]


def test_moving_on_keeps_the_arrival() -> None:
    room = WaitingRoom()
    first, second = make_record("one"), make_record("other")
    room.join(first, WaitsFor.TOPIC)
    room.join(second, WaitsFor.TOPIC)
    room.join(first, WaitsFor.PARTITION if first.partition is not None else WaitsFor.MEMORY)
    assert room.oldest() is first
    assert len(room) == 2


def test_what_the_caller_may_change_is_copied() -> None:
    record = make_record()
    value, headers = record.value, record.headers
    record.take_copies()
    assert isinstance(value, bytearray)
    assert isinstance(headers, list)
    value[0:1] = b"X"
    headers.clear()
    assert record.value == b"v"
    assert record.as_record().headers == (("h", b"1"),)


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(deadline=None)
def test_whatever_happens_memory_goes_by_arrival(seed: int, steps: int) -> None:
    """Joining, moving on, leaving at random: the memory line is always in order of arrival."""
    rng = random.Random(seed)
    room = WaitingRoom()
    arrived: list[WaitingRecord] = []
    for _ in range(steps):
        choice = rng.random()
        if choice < 0.5 or not len(room):
            record = make_record(rng.choice("ab"), rng.choice([None, 3, 4]))
            waits_for = rng.choice(list(WaitsFor))
            if waits_for is WaitsFor.PARTITION and record.partition is None:
                waits_for = WaitsFor.TOPIC
            room.join(record, waits_for)
            arrived.append(record)
        elif choice < 0.8:
            room.promote(rng.sample(list(room), rng.randrange(1, len(room) + 1)))
        else:
            record = rng.choice(list(room))
            room.leave(record)
            arrived.remove(record)
        assert list(room) == arrived
        assert list(room.memory_line) == [r for r in arrived if r.waits_for is WaitsFor.MEMORY]
        waiting = [r for topic in "ab" for r in room.waiting_for_topic(topic)]
        waiting += [r for topic in "ab" for r in room.waiting_for_partitions(topic, 9)]
        assert {id(r) for r in waiting} == {
            id(r) for r in arrived if r.waits_for in (WaitsFor.TOPIC, WaitsFor.PARTITION)
        }
