"""The first Ctrl-C stops, the second leaves."""

from __future__ import annotations

import asyncio
import os
import signal

from aioproducer.cli.interruption import (
    Interruption,
    close_hurried,
    done_or_set,
    finish_or_hurry,
    pause,
)
from tests.cli.fake_producer import FakeProducer


def test_the_first_signal_stops_and_the_second_leaves() -> None:
    interruption = Interruption()
    interruption.note(signal.SIGTERM)
    assert interruption.stop.is_set()
    assert not interruption.leave.is_set()
    interruption.note(signal.SIGINT)
    assert interruption.leave.is_set()
    assert interruption.signal == signal.SIGTERM


async def test_signals_are_taken_and_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interruption = Interruption()
    with interruption.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        await interruption.stop.wait()
    assert interruption.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


async def test_a_producer_is_closed_in_its_own_time_if_nobody_interrupts() -> None:
    producer = FakeProducer()
    await producer.start()
    await close_hurried(producer, Interruption(), 10.0)
    assert producer.closes == [None]


async def test_a_stop_while_closing_shortens_it_and_the_next_signal_ends_it() -> None:
    producer, interruption = FakeProducer(holds=True), Interruption()
    await producer.start()
    delivery = producer.send("orders", b"x")
    closing = asyncio.ensure_future(close_hurried(producer, interruption, 10.0))
    while producer.closes != [None]:
        await asyncio.sleep(0)
    interruption.note(signal.SIGINT)
    while producer.closes != [None, 10.0]:
        await asyncio.sleep(0)
    assert not closing.done()
    interruption.note(signal.SIGINT)
    await closing
    assert producer.closes == [None, 10.0, 0.0]
    assert delivery.exception() is not None


async def test_waiting_ends_with_the_future_the_event_or_the_time() -> None:
    event, future = asyncio.Event(), asyncio.get_running_loop().create_future()
    await done_or_set(future, event, 0)
    assert not future.done()
    asyncio.get_running_loop().call_soon(event.set)
    await done_or_set(future, event)
    future.set_result(None)
    await done_or_set(future, asyncio.Event())


async def test_a_pause_ends_with_its_event() -> None:
    event = asyncio.Event()
    await pause(0, event)
    asyncio.get_running_loop().call_soon(event.set)
    await pause(1000, event)


async def test_work_may_be_finished_after_the_first_signal_and_not_after_the_second() -> None:
    interruption, going_on = Interruption(), asyncio.Event()
    waiting = asyncio.ensure_future(finish_or_hurry(going_on.wait(), interruption, 1000.0))
    interruption.note(signal.SIGINT)
    await asyncio.sleep(0)
    going_on.set()
    assert 0.0 < await waiting <= 1000.0
    endless = asyncio.ensure_future(asyncio.Event().wait())
    interruption.note(signal.SIGINT)
    await finish_or_hurry(endless, interruption, 1000.0)
    assert endless.cancelled()


async def test_work_has_no_more_than_its_time_after_the_first_signal() -> None:
    interruption = Interruption()
    interruption.note(signal.SIGINT)
    endless = asyncio.ensure_future(asyncio.Event().wait())
    assert await finish_or_hurry(endless, interruption, 0.0) == 0.0
    assert endless.cancelled()
