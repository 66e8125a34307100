"""The time that the end of a producer has: for all steps together, and shorter when it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioproducer.runtime.patience import Patience
from aioproducer.runtime.stall import StallWatch
from tests.runtime.world import now
from tests.virtual_clock import VirtualClockLoop


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


def a_patience(seconds: float) -> Patience:
    patience = Patience(StallWatch("me"))
    patience.shorten(seconds)
    return patience


async def hang() -> None:
    await asyncio.Event().wait()


def test_the_steps_share_what_is_left() -> None:
    async def main() -> None:
        patience, begun = a_patience(10), now()
        async with patience.step(1):
            await asyncio.sleep(7)
        assert patience.left == pytest.approx(3)
        async with patience.step(1) as clock:
            await hang()
        assert clock.expired()
        assert now() - begun == pytest.approx(10)

    run(main)


def test_a_step_has_its_least_time_when_nothing_is_left() -> None:
    async def main() -> None:
        patience, begun = a_patience(0), now()
        async with patience.step(1):
            await asyncio.sleep(0.5)
        async with patience.step(1):
            await hang()
        assert now() - begun == pytest.approx(1.5)

    run(main)


def test_without_a_least_time_a_step_ends_by_itself() -> None:
    async def main() -> None:
        patience, begun = a_patience(1), now()
        async with patience.step() as clock:
            await asyncio.sleep(3)
        assert not clock.expired()
        assert now() - begun == pytest.approx(3)

    run(main)


@pytest.mark.parametrize(
    ("at_least", "shortened_at", "to", "ends_at"),
    [(None, 2, 0, 2), (None, 2, 3, 5), (1, 2, 0, 2), (1, 0.25, 0, 1), (1, 2, 50, 10)],
)
def test_it_is_shortened_in_the_middle_of_a_step(
    at_least: float | None, shortened_at: float, to: float, ends_at: float
) -> None:
    async def main() -> None:
        patience, begun = a_patience(10), now()
        asyncio.get_running_loop().call_later(shortened_at, patience.shorten, to)
        async with patience.step(at_least):
            await hang()
        assert now() - begun == pytest.approx(ends_at)

    run(main)


def test_it_never_gets_longer() -> None:
    async def main() -> None:
        patience = a_patience(10)
        patience.shorten(20)
        assert patience.left == pytest.approx(10)

    run(main)


def test_cancelling_ends_the_step_and_leaves_no_time() -> None:
    async def main() -> None:
        patience, begun = a_patience(10), now()
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(2, task.cancel)
        async with patience.step(1):
            await hang()
        async with patience.step(1):
            await hang()
        assert now() - begun == pytest.approx(3)
        assert task.uncancel() == 0

    run(main)
