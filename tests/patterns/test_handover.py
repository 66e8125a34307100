"""The queue between threads and a loop: bounded, in order, one wake-up for each burst."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aioproducer import BufferExhaustedError, ProducerClosedError
from aioproducer.patterns.handover import Handover

SOON = 120.0


def handover(most_items: int = 3, most_bytes: int = 1000) -> tuple[Handover[Any], list[None]]:
    wakes: list[None] = []
    return Handover(most_items, most_bytes, lambda: wakes.append(None)), wakes


def in_thread(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def wait_until_in_line(queue: Handover[Any], count: int) -> None:
    until = threading.Event()
    for _ in range(60_000):
        if len(queue._line) == count:
            return
        until.wait(0.001)
    raise AssertionError("nobody came into the line")


def test_a_burst_wakes_the_loop_once_and_comes_out_in_order() -> None:
    queue, wakes = handover()
    for number in range(3):
        queue.put(number, 1, 0)

    assert len(wakes) == 1
    assert queue.take() == [0, 1, 2]
    assert queue.take() == []
    queue.release(3, 3)
    queue.put(3, 1, 0)
    assert len(wakes) == 2


def test_what_was_taken_holds_its_room_until_it_is_released() -> None:
    queue, _ = handover(most_items=1)
    queue.put("a", 1, 0)
    queue.take()

    with pytest.raises(BufferExhaustedError, match="1 records of threads wait"):
        queue.put("b", 1, 0)
    queue.release(1, 1)
    queue.put("b", 1, 0)


def test_bytes_are_bounded_but_one_item_of_any_size_is_let_in() -> None:
    queue, _ = handover(most_items=100, most_bytes=10)
    queue.put("larger than all", 50, 0)
    with pytest.raises(BufferExhaustedError):
        queue.put("b", 1, 0)
    queue.take()
    queue.release(1, 50)
    queue.put("c", 5, 0)
    queue.put("d", 5, 0)
    with pytest.raises(BufferExhaustedError):
        queue.put("e", 1, 0)


def test_who_waits_for_room_is_served_first_come_first_served() -> None:
    queue, _ = handover(most_items=1)
    queue.put("first", 1, 0)
    threads = []
    for number in range(3):
        threads.append(in_thread(lambda number=number: queue.put(number, 1, SOON)))
        wait_until_in_line(queue, number + 1)
    with pytest.raises(BufferExhaustedError):
        queue.put("does not push in", 1, 0)

    taken = []
    until = threading.Event()
    while len(taken) < 4:
        got = queue.take()
        queue.release(len(got), len(got))
        taken += got
        until.wait(0.001)
    for thread in threads:
        thread.join(SOON)
    assert taken == ["first", 0, 1, 2]


def test_who_gives_up_waiting_leaves_the_line_to_the_others() -> None:
    queue, _ = handover(most_items=1)
    queue.put("first", 1, 0)
    with pytest.raises(BufferExhaustedError, match=r"within 0\.01 s"):
        queue.put("too late", 1, 0.01)
    thread = in_thread(lambda: queue.put("second", 1, SOON))
    wait_until_in_line(queue, 1)
    queue.take()
    queue.release(1, 1)
    thread.join(SOON)

    assert queue.take() == ["second"]


def test_after_the_end_everybody_gets_the_first_cause() -> None:
    queue, wakes = handover(most_items=1)
    queue.put("kept", 1, 0)
    errors = []

    def put() -> None:
        try:
            queue.put("waits", 1, SOON)
        except ProducerClosedError as error:
            errors.append(str(error))

    thread = in_thread(put)
    wait_until_in_line(queue, 1)
    queue.refuse(ProducerClosedError("the first cause"))
    queue.refuse(ProducerClosedError("another"))
    thread.join(SOON)

    with pytest.raises(ProducerClosedError, match="the first cause"):
        queue.put("later", 1, 0)
    assert errors == ["the first cause"]
    assert queue.take() == ["kept"]
    assert len(wakes) == 3
