"""A producer for threads: the portal's own loop, somebody else's, and every way they end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    BufferExhaustedError,
    ConfigurationError,
    DeliveryTimeoutError,
    FlushTimeoutError,
    ProducerClosedError,
    ProducerStateError,
    TransactionTimeoutError,
    WrongLoopError,
)
from aioproducer.patterns import ThreadPortal
from tests.patterns.stub_producer import StubProducer

SOON = 60.0


@contextlib.contextmanager
def portal_of(producer: StubProducer, **options: Any) -> Iterator[ThreadPortal[Any, Any]]:
    """Run a portal with a thread of its own, to be ended whatever happens."""
    portal: ThreadPortal[Any, Any] = ThreadPortal(lambda: producer, **options)  # type: ignore[arg-type,return-value]
    try:
        yield portal
    finally:
        producer.crowded = producer.starting = False
        portal.close(0)


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(60_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not happen")


def in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()


# --- sending


def test_a_record_of_a_thread_is_sent_in_the_loop_and_its_future_resolved() -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:
        future = portal.send(
            "t", b"v", key=b"k", partition=3, timestamp_ms=7, headers=[("h", b"x")], timeout=50
        )
        assert future.result(SOON).topic == "t"

    ((topic, value, key, options),) = producer.sent
    assert (topic, value, key) == ("t", b"v", b"k")
    assert 0 < options.pop("timeout") <= 50
    assert options == {"partition": 3, "timestamp_ms": 7, "headers": [("h", b"x")]}
    assert threading.get_ident() not in producer.threads


def test_records_of_many_threads_are_each_in_order_and_batched_into_few_turns() -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:

        def work(number: int) -> None:
            futures = [portal.send("t", (number, place)) for place in range(500)]
            for future in futures:
                future.result(SOON)

        in_threads(8, work)

    assert len(producer.values) == 4000
    for number in range(8):
        assert [place for who, place in producer.values if who == number] == list(range(500))


def test_a_burst_wakes_the_loop_once() -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:
        portal.send("t", b"0").result(SOON)
        session = portal._session
        assert session is not None
        loop = session._loop
        assert loop is not None
        go, wakes = threading.Event(), []
        hold_up(loop, go)
        original = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *a, **k: (wakes.append(a), original(*a, **k))[1]  # type: ignore[method-assign]
        futures = [portal.send("t", b"v") for _ in range(1000)]
        go.set()
        for future in futures:
            future.result(SOON)
        assert len(wakes) == 1


def hold_up(loop: asyncio.AbstractEventLoop, go: threading.Event) -> None:
    """Have the loop stand still until ``go``; it does when this returns."""
    held = threading.Event()

    async def stand_still() -> None:
        held.set()
        go.wait(SOON)

    asyncio.run_coroutine_threadsafe(stand_still(), loop)
    assert held.wait(SOON)


def test_a_bytearray_may_be_used_again_at_once() -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:
        value = bytearray(b"first")
        future = portal.send("t", value)
        value[:] = b"other"
        future.result(SOON)

    assert producer.values == [b"first"]


def test_what_send_raises_arrives_in_the_future() -> None:
    producer = StubProducer()
    producer.error = TypeError("topic must be a string")
    with portal_of(producer) as portal, pytest.raises(TypeError, match="must be a string"):
        portal.send(5).result(SOON)  # type: ignore[arg-type]


def test_send_and_wait_flush_and_run_wait_in_the_thread() -> None:
    producer = StubProducer()

    async def ask(given: Any, one: int, *, two: int) -> int:
        assert given is producer
        return one + two

    with portal_of(producer) as portal:
        portal.flush()
        assert not producer.started.is_set()
        assert portal.send_and_wait("t", b"a", key=b"k").offset == 0
        producer.hold = True
        future = portal.send("t", b"b")
        portal.flush()
        until(future.done)
        assert portal.run(ask, 1, two=2) == 3
        with pytest.raises(ZeroDivisionError):
            portal.run(_divide)


async def _divide(producer: Any) -> float:
    return 1 / 0


# --- room


def test_a_full_portal_holds_the_thread_up_until_there_is_room() -> None:
    producer = StubProducer()
    producer.crowded = True
    with portal_of(producer, max_backlog=10, block_timeout=SOON) as portal:
        futures: list[Any] = []
        thread = threading.Thread(
            target=lambda: futures.extend(portal.send("t", number) for number in range(200))
        )
        thread.start()
        until(lambda: portal._session is not None and bool(portal._session.handover._line))
        assert len(futures) < 200
        producer.crowded = False
        thread.join(SOON)
        for future in futures:
            future.result(SOON)

    assert producer.values == list(range(200))


def test_a_full_portal_refuses_after_its_time_or_that_of_the_call() -> None:
    producer = StubProducer(max_block_ms=0)
    producer.crowded = True
    with portal_of(producer, max_backlog=1) as portal:
        first = portal.send("t", b"a")
        until(lambda: len(producer.sent) == 1)
        # Its room was given back when it was taken: the next one waits in the portal.
        until(lambda: _can_send(portal))
        with pytest.raises(BufferExhaustedError):
            portal.send("t", b"c")
        with pytest.raises(BufferExhaustedError, match="within 0 s"):
            portal.send("t", b"c", timeout=5)
        assert first.result(SOON).offset == 0


def _can_send(portal: ThreadPortal[Any, Any]) -> bool:
    try:
        portal.send("t", b"b")
    except BufferExhaustedError:
        return False
    return True


def test_a_flush_waits_for_no_room() -> None:
    """It brings nothing, and is what a thread does that found none."""
    producer = StubProducer()
    producer.crowded = True
    with portal_of(producer, max_backlog=1, block_timeout=0) as portal:
        portal.send("t", b"a")
        until(lambda: producer.turns == 1)
        until(lambda: not _can_send(portal))
        flushing = threading.Thread(target=portal.flush)
        flushing.start()
        until(lambda: portal._session is not None and len(portal._session.handover._queue) == 2)
        producer.crowded = False
        flushing.join(SOON)
        portal.flush()

    assert producer.values == [b"a", b"b"]


def test_a_call_with_a_timeout_does_not_wait_longer_for_a_crowded_producer() -> None:
    producer = StubProducer()
    producer.crowded = True
    with portal_of(producer, block_timeout=SOON) as portal:
        portal.send("t", b"a")
        until(lambda: producer.turns == 1)
        with pytest.raises(FlushTimeoutError, match="not ready for it in time"):
            portal.flush(0.01)
        with pytest.raises(DeliveryTimeoutError) as late:
            portal.send_and_wait("t", b"late", timeout=0.01)
        assert late.value.persisted == "no"
        producer.crowded = False
        portal.flush(SOON)

    assert producer.values == [b"a"]


def test_limits_without_a_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="max_backlog must be at least 1"):
        ThreadPortal(lambda: StubProducer(), max_backlog=0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="block_timeout must be 0 or more"):
        ThreadPortal(lambda: StubProducer(), block_timeout=-1)  # type: ignore[arg-type,return-value]
    with portal_of(StubProducer()) as portal, pytest.raises(ValueError, match="timeout must be 0"):
        portal.close(-1)


def test_a_wrong_configuration_is_told_when_the_portal_is_made() -> None:
    with pytest.raises(ConfigurationError, match="liner_ms"):
        ThreadPortal(partial(AsyncProducer, "localhost:9092", liner_ms=5))  # type: ignore[call-arg]


def test_a_producer_in_place_of_what_makes_one_is_refused_with_the_way_out() -> None:
    with pytest.raises(TypeError, match=r"partial\(AsyncProducer, ...\), not AsyncProducer"):
        ThreadPortal(AsyncProducer("localhost:9092"))  # type: ignore[arg-type]


# --- cancelling


def test_a_record_that_is_cancelled_before_the_loop_took_it_is_never_sent() -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:
        portal.send("t", b"0").result(SOON)
        go = threading.Event()
        assert portal._session is not None
        loop = portal._session._loop
        assert loop is not None
        hold_up(loop, go)
        kept, gone = portal.send("t", b"kept"), portal.send("t", b"gone")
        assert gone.cancel()
        go.set()
        kept.result(SOON)
        portal.flush()
        with pytest.raises(concurrent.futures.CancelledError):
            gone.result(SOON)

    assert producer.values == [b"0", b"kept"]


def test_a_record_that_the_loop_has_taken_cannot_be_cancelled_and_is_delivered() -> None:
    producer = StubProducer()
    producer.hold = True
    with portal_of(producer) as portal:
        future = portal.send("t", b"v")
        until(lambda: len(producer.held) == 1)
        assert not future.cancel()
        portal.flush()
        assert future.result(SOON).partition == 0


def test_ctrl_c_in_a_call_cancels_it_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = StubProducer()
    ended = threading.Event()

    async def forever(given: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def interrupted(self: Any, timeout: float | None = None) -> None:
        until(lambda: bool(portal._session and portal._session.calls))
        raise KeyboardInterrupt

    with portal_of(producer) as portal:
        portal.send("t", b"v").result(SOON)
        monkeypatch.setattr("aioproducer.patterns.portal_jobs.PortalFuture.result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            portal.run(forever)
        assert ended.wait(SOON)
        monkeypatch.undo()


def test_ctrl_c_amid_the_handing_over_loses_nothing_that_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:
        portal.send("t", b"a").result(SOON)
        assert portal._session is not None
        handover = portal._session.handover

        def interrupted() -> None:
            monkeypatch.undo()
            raise KeyboardInterrupt

        monkeypatch.setattr(handover, "_wake", interrupted)
        with pytest.raises(KeyboardInterrupt):
            portal.send("t", b"withdrawn")
        assert portal.send("t", b"b").result(SOON).offset == 1

    assert producer.values == [b"a", b"b"]


# --- the end


def test_what_is_handed_over_just_before_the_close_is_delivered() -> None:
    """The loop may be between its look for records and its look for the end."""
    producer = StubProducer()
    with portal_of(producer) as portal:
        portal.send("t", b"a").result(SOON)
        session = portal._session
        assert session is not None
        handover, take = session.handover, session.handover.take
        futures: list[Any] = []

        def taken() -> list[Any]:
            jobs = take()
            if not jobs and not futures:
                futures.append(portal_send_elsewhere(portal))
                handover.refuse(ProducerClosedError("closed"))
            return jobs

        handover.take = taken  # type: ignore[method-assign]
        session._wake()
        until(lambda: bool(futures))
        assert futures[0].result(SOON).offset == 1


def portal_send_elsewhere(portal: ThreadPortal[Any, Any]) -> Any:
    futures: list[Any] = []
    in_threads(1, lambda _: futures.append(portal.send("t", b"b")))
    return futures[0]


def test_closing_delivers_what_was_handed_over_and_refuses_the_rest() -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:
        futures = [portal.send("t", number) for number in range(300)]
        assert portal.close() is not None
        assert all(future.done() for future in futures)
        with pytest.raises(ProducerClosedError, match="is closed"):
            portal.send("t", b"late")
        assert portal.close() is not None

    assert producer.values == list(range(300))
    assert producer.closed_with[0] > 100


def test_closing_by_force_fails_what_is_open_and_says_what_may_be_in_the_log() -> None:
    producer = StubProducer()
    producer.hold = producer.crowded = True
    with portal_of(producer) as portal:
        futures = [portal.send("t", number) for number in range(100)]
        until(lambda: len(producer.sent) > 0)
        portal.close(0)

    errors = [future.exception(SOON) for future in futures]
    assert all(isinstance(error, ProducerClosedError) for error in errors)
    # Crowded, it took no more than it hands over at a time.
    assert len(producer.sent) <= 64
    waiting = errors[len(producer.sent) :]
    assert {error.persisted for error in waiting} == {"no"}  # type: ignore[union-attr]
    assert "before the record's turn came" in str(waiting[0])


def test_a_second_close_with_less_time_brings_the_end_nearer() -> None:
    producer = StubProducer()
    producer.never_ends = True
    with portal_of(producer) as portal:
        portal.send("t", b"v").result(SOON)
        closing = threading.Thread(target=portal.close)
        closing.start()
        until(lambda: len(producer.closed_with) == 1)
        portal.close(0)
        closing.join(SOON)

    assert producer.closed_with[0] > 100
    assert producer.closed_with[1] == 0


def test_a_portal_that_was_never_used_is_closed_without_a_thread() -> None:
    with portal_of(StubProducer()) as portal:
        assert portal.close() is None
    with pytest.raises(ProducerClosedError):
        portal.send("t", b"v")


def test_a_start_that_fails_fails_what_waits_and_the_next_use_tries_again() -> None:
    producer = StubProducer()
    producer.fail_start = TransactionTimeoutError("no coordinator")
    with portal_of(producer) as portal:
        with pytest.raises(TransactionTimeoutError, match="no coordinator"):
            portal.send("t", b"v").result(SOON)
        until(lambda: portal._session is not None and portal._session.ended.is_set())
        producer.fail_start = None
        producer.closed_with.clear()
        assert portal.send("t", b"v").result(SOON).topic == "t"


def test_waiting_in_the_loop_s_own_thread_is_refused_instead_of_hanging() -> None:
    producer = StubProducer()
    producer.hold = True

    async def misuse(given: Any) -> list[str]:
        words = []
        for call in (
            lambda: portal.send("t", b"v"),
            lambda: portal.send_and_wait("t", b"v"),
            portal.flush,
            portal.close,
            future.result,
            future.exception,
        ):
            try:
                call()
            except WrongLoopError as error:
                words.append(str(error))
        return words

    with portal_of(producer) as portal:
        future = portal.send("t", b"v")
        words = portal.run(misuse)
        assert portal.send("t", b"still open") is not None

    assert len(words) == 6
    assert all("would never end" in each for each in words)


# --- somebody else's producer


def test_a_portal_of_a_running_producer_serves_threads_and_leaves_it_open() -> None:
    producer = StubProducer()

    async def main() -> None:
        async with ThreadPortal.of(producer) as portal:  # type: ignore[arg-type]

            def work(number: int) -> None:
                for place in range(100):
                    portal.send("t", (number, place))
                portal.flush()

            await asyncio.to_thread(in_threads, 4, work)
            with pytest.raises(WrongLoopError):
                portal.send("t", b"v")
        with pytest.raises(ProducerClosedError):
            await asyncio.to_thread(portal.send, "t", b"late")

    asyncio.run(main())
    assert len(producer.sent) == 400
    assert producer.closed_with == []


def test_it_is_made_in_a_loop() -> None:
    with pytest.raises(ProducerStateError, match="running event loop"):
        ThreadPortal.of(StubProducer())  # type: ignore[arg-type]


def test_a_thread_may_close_it() -> None:
    producer = StubProducer()

    async def main() -> None:
        portal: ThreadPortal[Any, Any] = ThreadPortal.of(producer)  # type: ignore[arg-type]
        await asyncio.to_thread(portal.send, "t", b"v")
        assert await asyncio.to_thread(portal.close) is None

    asyncio.run(main())
    assert producer.values == [b"v"]


def test_when_the_loop_ends_first_no_future_hangs() -> None:
    producer = StubProducer()
    producer.hold = True
    futures: list[Any] = []

    async def main() -> None:
        portal: ThreadPortal[Any, Any] = ThreadPortal.of(producer)  # type: ignore[arg-type]
        await asyncio.to_thread(lambda: futures.append(portal.send("t", b"v")))
        futures.append(portal)

    asyncio.run(main())
    error = futures[0].exception(SOON)
    assert isinstance(error, ProducerClosedError)
    assert "event loop of thread-portal-" in str(error)
    with pytest.raises(ProducerClosedError):
        futures[1].send("t", b"v")


def test_a_loop_that_is_closed_without_a_word_is_noticed() -> None:
    producer = StubProducer()
    producer.hold = True
    loop = asyncio.new_event_loop()
    made: list[ThreadPortal[Any, Any]] = []

    async def main() -> None:
        made.append(ThreadPortal.of(producer))  # type: ignore[arg-type]
        made.append(await asyncio.to_thread(made[0].send, "t", b"v"))  # type: ignore[arg-type]

    loop.run_until_complete(main())
    portal, future = made[0], made[1]
    # What asyncio.run() would do first is left out here.
    loop.run_until_complete(loop.shutdown_default_executor())
    serving = portal._serving
    assert serving is not None
    serving._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()

    with pytest.raises(ProducerClosedError, match="was closed"):
        future.result(SOON)  # type: ignore[attr-defined]
    with pytest.raises(ProducerClosedError):
        portal.send("t", b"v")
