"""SIGTERM closes a producer, a second one forces, and the signals go back where they came from."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from aioproducer import LifeState, ProducerClosedError, ProducerStateError
from aioproducer.signals import SignalDrain
from tests.runtime.world import now
from tests.test_closing import World, a_world, run
from tests.virtual_clock import VirtualClockLoop


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


async def started() -> World:
    world = a_world()
    await world.producer.start()
    await world.begin()
    return world


def test_the_first_signal_closes_gracefully(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="aioproducer")

    async def main() -> None:
        world = await started()
        drain = world.producer.install_signal_drain(timeout=60)
        assert drain.received is None
        signal.raise_signal(signal.SIGTERM)
        assert await drain.wait() is signal.SIGTERM
        assert world.producer.state is LifeState.CLOSING
        with pytest.raises(ProducerClosedError):
            world.producer.send("orders", b"too late")
        report = await world.producer.close()
        assert (report.delivered, report.abandoned) == (1, 0)
        assert f"[{world.producer.client_id}] SIGTERM: closing within 60 s" in caplog.text
        await asyncio.sleep(1)

    run(main())


def test_its_time_is_the_one_given(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = await started()
        world.producer.install_signal_drain(timeout=3)
        before = now()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait([world.delivery])
        assert now() - before == pytest.approx(3)
        await asyncio.sleep(0.1)
        world.must_be_abandoned(caplog)
        await asyncio.sleep(20)

    run(main())


def test_a_second_signal_forces(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = await started()
        signals = (signal.SIGTERM, signal.SIGINT)
        drain = world.producer.install_signal_drain(signals, timeout=60)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(1)
        before = now()
        signal.raise_signal(signal.SIGINT)
        await asyncio.wait([world.delivery])
        assert now() == before
        assert drain.received is signal.SIGTERM
        await asyncio.sleep(0.1)
        world.must_be_abandoned(caplog)
        assert "SIGINT again: closing at once" in caplog.text
        await asyncio.sleep(20)

    run(main())


def test_a_signal_during_close_gives_it_the_shorter_time() -> None:
    async def main() -> None:
        world = await started()
        world.producer.install_signal_drain(timeout=2)
        closing = asyncio.create_task(world.producer.close())
        await asyncio.sleep(1)
        signal.raise_signal(signal.SIGTERM)
        before = now()
        assert (await closing).abandoned == 1
        assert now() - before == pytest.approx(2)
        assert isinstance(world.delivery.exception(), ProducerClosedError)
        await asyncio.sleep(20)

    run(main())


def test_closing_without_a_signal_gives_the_handlers_back() -> None:
    calls: list[int] = []

    async def main() -> None:
        before = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda number, _: calls.append(number))
        try:
            world = await started()
            drain = world.producer.install_signal_drain()
            waiting = asyncio.create_task(drain.wait())
            await world.producer.close()
            assert await waiting is None
            assert drain.received is None
            signal.raise_signal(signal.SIGTERM)
            assert calls == [signal.SIGTERM]
            await asyncio.sleep(1)
        finally:
            signal.signal(signal.SIGTERM, before)

    run(main())


def test_every_producer_of_the_process_is_closed() -> None:
    """A loop has room for one handler of a signal; they share it."""

    async def main() -> None:
        first, second = await started(), await started()
        drains = [world.producer.install_signal_drain(timeout=60) for world in (first, second)]
        signal.raise_signal(signal.SIGTERM)
        assert [await drain.wait() for drain in drains] == [signal.SIGTERM, signal.SIGTERM]
        for world in (first, second):
            await world.producer.close()
        await asyncio.sleep(1)

    run(main())


def test_one_of_two_leaves_the_other_its_signal() -> None:
    async def main() -> None:
        first, second = await started(), await started()
        left = first.producer.install_signal_drain()
        stays = second.producer.install_signal_drain()
        left.uninstall()
        signal.raise_signal(signal.SIGTERM)
        assert await stays.wait() is signal.SIGTERM
        assert await left.wait() is None
        assert first.producer.state is LifeState.RUNNING
        for world in (first, second):
            await world.producer.close()
        await asyncio.sleep(1)

    run(main())


def test_the_applications_own_handler_on_the_loop_is_left_alone() -> None:
    """Nobody but the loop knows it, so it could not be put back."""

    async def main() -> None:
        called: list[int] = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, called.append, 1)
        world = await started()
        with pytest.raises(ProducerStateError, match="handler for SIGTERM") as caught:
            world.producer.install_signal_drain()
        assert "close()" in caught.value.what_next
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        assert called == [1]
        loop.remove_signal_handler(signal.SIGTERM)
        await world.producer.close()
        await asyncio.sleep(1)

    run(main())


def test_cancelling_a_wait_for_the_signal_abandons_it_only() -> None:
    async def main() -> None:
        world = await started()
        drain = world.producer.install_signal_drain(timeout=60)
        waiting = asyncio.create_task(drain.wait())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        signal.raise_signal(signal.SIGTERM)
        assert await drain.wait() is signal.SIGTERM
        await world.producer.close()
        await asyncio.sleep(1)

    run(main())


def test_it_may_be_uninstalled_by_hand_and_twice() -> None:
    async def main() -> None:
        world = await started()
        drain = world.producer.install_signal_drain(timeout=60)
        drain.uninstall()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        drain.uninstall()
        await world.producer.close()
        await asyncio.sleep(1)

    run(main())


def test_outside_the_main_thread_it_is_refused_in_clear_words() -> None:
    caught: list[ProducerStateError] = []

    def elsewhere() -> None:
        async def main() -> None:
            world = await started()
            try:
                world.producer.install_signal_drain()
            except ProducerStateError as error:
                caught.append(error)
            await world.producer.close()
            await asyncio.sleep(1)

        run(main())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_where_the_loop_cannot_it_is_refused_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    async def main() -> None:
        world = await started()
        loop = asyncio.get_running_loop()
        works = loop.add_signal_handler

        def refuses(sig: int, *args: Any) -> None:
            if sig == signal.SIGTERM:
                raise NotImplementedError
            works(sig, *args)

        monkeypatch.setattr(loop, "add_signal_handler", refuses)
        with pytest.raises(ProducerStateError, match=f"cannot handle {number.name}"):
            world.producer.install_signal_drain((signal.SIGINT, number))
        assert signal.getsignal(signal.SIGINT) is before
        await world.producer.close()
        await asyncio.sleep(1)

    before = signal.getsignal(signal.SIGINT)
    # asyncio.Runner handles SIGINT itself; without it Python's own handler is what stays.
    loop = VirtualClockLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_a_producer_that_is_not_running_has_nothing_to_install() -> None:
    async def main() -> None:
        world = a_world()
        with pytest.raises(ProducerStateError):
            world.producer.install_signal_drain()
        await world.producer.close()

    run(main())


def test_its_class_needs_no_producer() -> None:
    """It calls what it is given: with the time first, with none after that."""
    calls: list[float] = []

    async def main() -> None:
        drain = SignalDrain([signal.SIGTERM], calls.append, 5, "me")
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
        drain.uninstall()

    run(main())
    assert calls == [5, 0, 0]
