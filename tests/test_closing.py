"""The end of a producer: whoever waits for it may give up, and a second time that is meant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioproducer import AsyncProducer, LifeState, ProducerClosedError, ProducerStateError
from aioproducer.closing import Closing
from aioproducer.runtime.engine import Engine
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import now
from tests.virtual_clock import VirtualClockLoop


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop, debug=True) as runner:
        runner.run(main)
        loop = runner.get_loop()
        assert isinstance(loop, VirtualClockLoop)
        assert not loop.pending_timers()
        assert loop.reported == []


class World:
    """A running producer whose broker takes ten seconds for the record that was sent."""

    def __init__(self, cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
        self.cluster = cluster
        self.producer = producer
        self.delivery: Any = None

    @property
    def values(self) -> list[bytes | None]:
        return self.cluster.topics["orders"].partitions[0].values

    async def begin(self) -> None:
        await self.producer.warm_up(["orders"])
        self.cluster.brokers[1].script.append(Conduct(delay=10))
        self.delivery = self.producer.send("orders", b"v")
        await asyncio.sleep(0.1)

    def must_be_abandoned(self, caplog: pytest.LogCaptureFixture) -> None:
        error = self.delivery.exception()
        assert isinstance(error, ProducerClosedError)
        assert error.persisted == "maybe"
        assert "closed with 1 records undelivered: orders 1" in caplog.text
        assert self.producer.state is LifeState.CLOSED


def a_world() -> World:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    loop = asyncio.get_running_loop()
    loop.network = cluster  # type: ignore[attr-defined]
    return World(cluster, AsyncProducer(cluster.bootstrap, linger_ms=0))


class TestClose:
    """close(), twice, shorter, cancelled."""

    def test_the_first_cancellation_abandons_the_wait_only(self) -> None:
        async def main() -> None:
            world = a_world()
            await world.producer.start()
            await world.begin()
            closing = asyncio.create_task(world.producer.close())
            await asyncio.sleep(1)
            closing.cancel()
            await asyncio.wait([closing])
            assert world.producer.state is LifeState.CLOSING
            assert (await world.producer.close()).delivered == 1
            await asyncio.sleep(1)

        run(main())

    def test_the_second_cancellation_forces(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            world = a_world()
            await world.producer.start()
            await world.begin()
            for _ in range(2):
                closing = asyncio.create_task(world.producer.close())
                await asyncio.sleep(1)
                closing.cancel()
                await asyncio.wait([closing])
            before = now()
            report = await world.producer.close()
            assert now() == before
            assert report.abandoned == 1
            world.must_be_abandoned(caplog)
            await asyncio.sleep(20)

        run(main())

    def test_closing_again_brings_the_end_nearer(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            world = a_world()
            await world.producer.start()
            await world.begin()
            before = now()
            first = asyncio.create_task(world.producer.close())
            await asyncio.sleep(1)
            await world.producer.close(timeout=2)
            assert now() - before == pytest.approx(3)
            assert (await first).abandoned == 1
            world.must_be_abandoned(caplog)
            await asyncio.sleep(20)

        run(main())

    def test_closing_again_never_makes_it_longer(self) -> None:
        async def main() -> None:
            world = a_world()
            await world.producer.start()
            await world.begin()
            before = now()
            first = asyncio.create_task(world.producer.close(timeout=2))
            await asyncio.sleep(1)
            await asyncio.gather(world.producer.close(), world.producer.close(timeout=100), first)
            assert now() - before == pytest.approx(2)
            assert isinstance(world.delivery.exception(), ProducerClosedError)
            await asyncio.sleep(20)

        run(main())

    def test_closing_again_with_zero_forces_before_the_first_has_begun(self) -> None:
        async def main() -> None:
            world = a_world()
            await world.producer.start()
            await world.begin()
            before = now()
            reports = await asyncio.gather(world.producer.close(), world.producer.close(timeout=0))
            assert now() == before
            assert reports[0] is reports[1]
            assert reports[0].abandoned == 1
            assert isinstance(world.delivery.exception(), ProducerClosedError)
            await asyncio.sleep(20)

        run(main())

    def test_the_end_of_the_loop_forces(self, caplog: pytest.LogCaptureFixture) -> None:
        """asyncio.run() cancels all tasks at its end, the one that closes among them."""
        worlds: list[World] = []

        async def main() -> None:
            world = a_world()
            worlds.append(world)
            await world.producer.start()
            await world.begin()
            closing = asyncio.create_task(world.producer.close())
            await asyncio.sleep(1)
            closing.cancel()
            await asyncio.wait([closing])

        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            runner.run(main())
        worlds[0].must_be_abandoned(caplog)


class TestContext:
    """Leaving ``async with``: not before the producer is closed."""

    async def _leave(self, world: World, *, cancelled: bool) -> None:
        async with world.producer:
            await world.begin()
            if cancelled:
                await asyncio.sleep(10**6)

    def test_a_cancelled_block_drains(self) -> None:
        async def main() -> None:
            world = a_world()
            leaving = asyncio.create_task(self._leave(world, cancelled=True))
            await asyncio.sleep(1)
            leaving.cancel()
            await asyncio.wait([leaving])
            assert leaving.cancelled()
            assert world.values == [b"v"]
            assert world.delivery.result().offset == 0
            await asyncio.sleep(1)

        run(main())

    def test_cancelled_again_it_forces(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            world = a_world()
            leaving = asyncio.create_task(self._leave(world, cancelled=True))
            await asyncio.sleep(1)
            leaving.cancel()
            await asyncio.sleep(1)
            assert not leaving.done()
            before = now()
            leaving.cancel()
            await asyncio.wait([leaving])
            assert now() == before
            assert leaving.cancelled()
            world.must_be_abandoned(caplog)
            await asyncio.sleep(20)

        run(main())

    def test_an_exit_that_is_cancelled_once_is_gone_through_with(self) -> None:
        async def main() -> None:
            world = a_world()
            leaving = asyncio.create_task(self._leave(world, cancelled=False))
            await asyncio.sleep(1)
            leaving.cancel()
            await asyncio.wait([leaving])
            assert leaving.cancelled()
            assert world.producer.state is LifeState.CLOSED
            assert world.delivery.result().offset == 0
            await asyncio.sleep(1)

        run(main())

    def test_an_exit_that_is_cancelled_twice_forces(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            world = a_world()
            leaving = asyncio.create_task(self._leave(world, cancelled=False))
            for _ in range(2):
                await asyncio.sleep(1)
                leaving.cancel()
            await asyncio.wait([leaving])
            assert leaving.cancelled()
            world.must_be_abandoned(caplog)
            await asyncio.sleep(20)

        run(main())

    def test_a_timeout_around_it_is_a_timeout(self) -> None:
        async def main() -> None:
            world = a_world()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await self._leave(world, cancelled=False)
            assert world.producer.state is LifeState.CLOSED
            assert world.delivery.result().offset == 0
            await asyncio.sleep(1)

        run(main())

    def test_keyboard_interrupts_count_as_well(self) -> None:
        """The first Ctrl-C cancels, or interrupts; a second one interrupts what was cancelled."""

        async def main() -> None:
            for cancelled, hastened in ((False, []), (True, [0])):
                calls: list[float] = []

                async def work() -> Any:
                    await asyncio.sleep(5)

                async def leave(hasten: Callable[[float], None]) -> None:
                    closing = Closing(work(), hasten, name="close")
                    try:
                        await asyncio.sleep(10)
                    finally:
                        await closing.wait_through(KeyboardInterrupt())

                leaving = asyncio.create_task(leave(calls.append))
                await asyncio.sleep(1)
                if cancelled:
                    leaving.cancel()
                await asyncio.wait([leaving])
                assert calls == hastened

        run(main())


class TestStartThatFails:
    """Nothing leaks, and it can be closed."""

    @pytest.mark.parametrize("where", ["__init__", "start"])
    def test_it_ends_closed_with_nothing_left(
        self, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        works = getattr(Engine, where)

        def fails(engine: Engine, *args: Any, **options: Any) -> None:
            works(engine, *args, **options)
            raise ZeroDivisionError("half-way")

        monkeypatch.setattr(Engine, where, fails)

        async def main() -> None:
            world = a_world()
            with pytest.raises(ZeroDivisionError):
                await world.producer.start()
            assert world.producer.state is LifeState.CLOSED
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await asyncio.sleep(1)
            assert not world.cluster.open_sessions
            assert (await world.producer.close()).topics == {}
            with pytest.raises(ProducerClosedError):
                world.producer.send("orders", b"v")
            with pytest.raises(ProducerStateError):
                await world.producer.start()

        run(main())

    def test_closing_right_after_start_ends_the_connecting(self) -> None:
        async def main() -> None:
            world = a_world()
            for broker in world.cluster.brokers.values():
                broker.when_down = "hang"
                broker.stop()
            await world.producer.start()
            before = now()
            await world.producer.close()
            assert now() == before
            assert asyncio.all_tasks() == {asyncio.current_task()}

        run(main())
