"""The time of a record runs while the loop of a portal takes none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer import DeliveryTimeoutError
from aioproducer.patterns import ThreadPortal
from tests.patterns.stub_producer import StubProducer
from tests.patterns.test_thread_portal import SOON, portal_of, until


def waiting(portal: ThreadPortal[Any, Any]) -> set[Any]:
    assert portal._session is not None
    return portal._session.deadlines._waiting


def test_a_record_fails_in_time_while_its_producer_is_starting() -> None:
    """As one with a transactional id does for as long as there is no cluster."""
    producer = StubProducer()
    producer.starting = True
    with portal_of(producer) as portal:
        patient = portal.send("t", b"patient", timeout=SOON)
        late = portal.send("t", b"late", timeout=0.01)
        with pytest.raises(DeliveryTimeoutError, match="the loop of the portal") as told:
            late.result(SOON)
        assert told.value.persisted == "no"
        assert not producer.started.is_set()
        assert not patient.done()

        producer.starting = False
        patient.result(SOON)

    assert producer.values == [b"patient"]


def test_a_record_fails_in_time_while_its_producer_has_no_room() -> None:
    producer = StubProducer()
    producer.crowded = True
    with portal_of(producer) as portal:
        portal.send("t", b"a").result(SOON)
        until(lambda: producer.turns == 1)
        # Each is due before the one that the loop knows of.
        records = [portal.send("t", b"late", timeout=t) for t in (SOON, 0.3, 0.03, 0.01)]
        for late in reversed(records[1:]):
            assert isinstance(late.exception(SOON), DeliveryTimeoutError)
        assert not records[0].done()
        producer.crowded = False
        records[0].result(SOON)

    assert producer.values == [b"a", b"late"]


def test_one_that_comes_later_and_is_due_later_is_not_forgotten() -> None:
    producer = StubProducer()
    producer.crowded = True
    with portal_of(producer) as portal:
        portal.send("t", b"a").result(SOON)
        until(lambda: producer.turns == 1)
        first = portal.send("t", b"b", timeout=0.01)
        second = portal.send("t", b"c", timeout=0.05)
        assert isinstance(first.exception(SOON), DeliveryTimeoutError)
        assert isinstance(second.exception(SOON), DeliveryTimeoutError)
        until(lambda: waiting(portal) == set())


def test_a_record_that_the_loop_has_taken_has_the_producer_s_clock() -> None:
    producer = StubProducer()
    producer.hold = True
    with portal_of(producer) as portal:
        future = portal.send("t", b"a", timeout=SOON)
        until(lambda: len(producer.sent) == 1)
        until(lambda: waiting(portal) == set())
        assert 0 < producer.sent[0][3]["timeout"] <= SOON
        assert not future.done()


def test_one_that_was_cancelled_is_nobody_s_concern() -> None:
    producer = StubProducer()
    producer.crowded = True
    with portal_of(producer) as portal:
        portal.send("t", b"a").result(SOON)
        until(lambda: producer.turns == 1)
        assert portal.send("t", b"b", timeout=SOON).cancel()
        late = portal.send("t", b"c", timeout=0.01)
        assert isinstance(late.exception(SOON), DeliveryTimeoutError)
        until(lambda: waiting(portal) == set())


def test_a_portal_of_a_running_producer_leaves_no_timer() -> None:
    producer = StubProducer()
    producer.crowded = True

    async def main() -> None:
        portal: ThreadPortal[Any, Any] = ThreadPortal.of(producer)  # type: ignore[arg-type]

        def hand_over() -> list[Any]:
            return [portal.send("t", b"a", timeout=t) for t in (SOON, 0.01, SOON)]

        await asyncio.wrap_future(await asyncio.to_thread(portal.send, "t", b"first"))
        while not producer.turns:
            await asyncio.sleep(0.001)
        futures = await asyncio.to_thread(hand_over)
        with pytest.raises(DeliveryTimeoutError):
            await asyncio.wrap_future(futures[1])
        session = portal._session
        assert session is not None
        assert session.deadlines._timer is not None
        producer.crowded = False
        await portal.aclose()
        assert session.deadlines._timer is None

    asyncio.run(main())
    assert producer.values == [b"first", b"a", b"a"]
