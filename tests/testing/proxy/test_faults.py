"""Faults: which requests they strike, how often, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer.testing.proxy import FaultProxy
from aioproducer.testing.proxy.faults import Fault
from aioproducer.testing.proxy.frames import Frame
from aioproducer.testing.proxy.messages import api_key


def frame(api: str = "Produce", **values: Any) -> Frame:
    return Frame(api_key(api), 9, 1, 9092, 100, **values)


def new_proxy(**options: Any) -> FaultProxy:
    return FaultProxy("localhost:9092", **options)


def strikes(proxy: FaultProxy, which: Frame, *topics: str) -> list[Fault]:
    return proxy.faults.striking(which, lambda: set(topics))


def test_a_fault_strikes_as_often_as_it_was_told() -> None:
    proxy = new_proxy()
    fault = proxy.fail("Produce", 6, times=2, skip=1)
    assert [bool(strikes(proxy, frame())) for _ in range(5)] == [False, True, True, False, False]
    assert (fault.struck, fault.left, fault.is_over) == (2, 0, True)


def test_one_without_end_is_removed() -> None:
    proxy = new_proxy()
    fault = proxy.swallow("Produce", times=None)
    assert all(strikes(proxy, frame()) for _ in range(5))
    assert repr(fault) == "<Fault swallow answer, Produce: struck 5, always>"
    fault.remove()
    assert not strikes(proxy, frame())
    assert fault.struck == 5


def test_it_strikes_only_what_it_concerns() -> None:
    proxy = new_proxy()
    proxy.fail("Produce", 6, times=None, broker=2, topic="orders", client_id="me")
    fits = frame(broker=2, client_id="me")
    assert strikes(proxy, fits, "orders", "audit")
    assert not strikes(proxy, fits, "audit")
    assert not strikes(proxy, frame(broker=1, client_id="me"), "orders")
    assert not strikes(proxy, frame(broker=2), "orders")
    assert not strikes(proxy, frame("Metadata", broker=2, client_id="me"), "orders")


def test_topics_are_read_only_where_a_fault_asks_for_them() -> None:
    proxy = new_proxy()
    proxy.disconnect("Produce")

    def unread() -> set[str | None]:
        raise AssertionError("nobody asked")

    assert proxy.faults.striking(frame(), unread)


def test_delays_add_up_and_of_the_others_the_first_strikes() -> None:
    proxy = new_proxy()
    first = proxy.delay("Produce", 1)
    second = proxy.delay(None, 2)
    fail = proxy.fail("Produce", 6)
    swallow = proxy.swallow("Produce")
    assert strikes(proxy, frame()) == [first, second, fail]
    assert swallow.struck == 0
    assert strikes(proxy, frame()) == [swallow]


def test_chance_is_the_same_for_the_same_seed() -> None:
    def run(seed: int) -> list[bool]:
        proxy = new_proxy(seed=seed)
        proxy.fail("Produce", 6, times=None, probability=0.5)
        return [bool(strikes(proxy, frame())) for _ in range(50)]

    assert run(1) == run(1) != run(2)
    assert 10 < sum(run(1)) < 40


def test_a_delay_varies_by_its_jitter() -> None:
    proxy = new_proxy(seed=1)
    fault = proxy.delay("Produce", 1, jitter=2)
    durations = {proxy.faults.duration(fault) for _ in range(20)}
    assert len(durations) == 20
    assert all(1 <= each <= 3 for each in durations)
    assert proxy.faults.duration(proxy.delay("Produce", 1)) == 1


async def test_strikes_can_be_awaited() -> None:
    proxy = new_proxy()
    fault = proxy.fail("Produce", 6, times=3)
    waiting = asyncio.create_task(fault.strikes(2))
    await asyncio.sleep(0)
    strikes(proxy, frame())
    await asyncio.sleep(0)
    assert not waiting.done()
    strikes(proxy, frame())
    await waiting
    await fault.strikes(1)


def test_who_waited_on_a_loop_that_is_over_harms_nobody() -> None:
    proxy = new_proxy()
    fault = proxy.fail("Produce", 6)

    async def wait() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fault.strikes(), 0)

    asyncio.run(wait())
    assert strikes(proxy, frame()) == [fault]


def test_clear_removes_all() -> None:
    proxy = new_proxy()
    fault = proxy.fail("Produce", 6)
    proxy.refuse()
    proxy.clear()
    assert fault.is_over
    assert not strikes(proxy, frame())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda p: p.fail("Produced", 6), "no API 'Produced'"),
        (lambda p: p.fail("JoinGroup", 6), "JoinGroup"),
        (lambda p: p.fail("Produce", "OOPS"), "error code"),
        (lambda p: p.fail("Produce", 6, times=0), "times"),
        (lambda p: p.fail("Produce", 6, skip=-1), "skip"),
        (lambda p: p.fail("Produce", 6, probability=0), "probability"),
        (lambda p: p.fail("InitProducerId", 6, topic="orders"), "topics are known"),
        (lambda p: p.delay(None, 1, topic="orders"), "topics are known"),
        (lambda p: p.delay("Produce", -1), "negative"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wrong(new_proxy())


def test_a_frame_knows_its_name() -> None:
    assert frame().name == "Produce"
    assert frame().is_produce
    assert Frame(999, 0, 1, 9092, 10).name == "API 999"
