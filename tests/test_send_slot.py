"""How an await of a Delivery is stepped through: by a task, by hand, from a generator."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from aioproducer.delivery import Delivery, Fate, Steps
from aioproducer.errors import ProducerError
from aioproducer.records import RecordMetadata


def one() -> tuple[Fate, Delivery]:
    fate = Fate(asyncio.get_running_loop(), "orders", 3, count=1)
    return fate, fate.delivery(0, 1, 2, 3)


async def test_a_pending_one_gives_itself_then_its_outcome() -> None:
    fate, delivery = one()
    steps: Any = delivery.__await__()
    assert next(steps) is delivery
    assert delivery._asyncio_future_blocking
    delivery._asyncio_future_blocking = False
    fate.deliver(40)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == RecordMetadata("orders", 3, 40, 1, 2, 3)
    with pytest.raises(StopIteration):
        next(steps)


async def test_one_that_is_done_gives_its_outcome_at_once() -> None:
    fate, delivery = one()
    fate.deliver(40)
    steps: Any = delivery.__await__()
    with pytest.raises(StopIteration) as end:
        steps.send(None)
    assert end.value.value.offset == 40


async def test_a_failure_is_raised_where_it_is_awaited() -> None:
    fate, delivery = one()
    fate.fail(ProducerError("no"))
    steps: Any = delivery.__await__()
    with pytest.raises(ProducerError, match="no"):
        next(steps)


async def test_whoever_steps_on_without_waiting_is_told() -> None:
    """Only a task may wait: it has to have taken the Delivery that it was given."""
    fate, delivery = one()
    steps: Any = delivery.__await__()
    next(steps)
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(steps)
    fate.deliver(0)


async def test_what_another_loop_refused_can_be_awaited_here() -> None:
    """Its task takes the Delivery and may not wait for it; nothing of that stays."""
    fate, delivery = one()

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="loop"):
            await delivery

    await asyncio.to_thread(asyncio.run, elsewhere())
    waiting = asyncio.ensure_future(delivery)
    asyncio.get_running_loop().call_soon(fate.deliver, 5)
    assert (await delivery).offset == 5
    assert (await waiting).offset == 5


async def test_what_is_thrown_in_comes_out() -> None:
    fate, delivery = one()
    for thrown in (KeyError, KeyError("x")):
        steps: Any = delivery.__await__()
        next(steps)
        delivery._asyncio_future_blocking = False
        with pytest.raises(KeyError):
            steps.throw(thrown)
        with pytest.raises(StopIteration):
            next(steps)
    steps = delivery.__await__()
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
    fate.deliver(0)


async def test_a_generator_may_yield_from_it() -> None:
    fate, delivery = one()

    class Through:
        def __await__(self) -> Generator[Any, None, RecordMetadata]:
            return (yield from delivery)

    waiting = asyncio.ensure_future(Through())
    await asyncio.sleep(0)
    assert not waiting.done()
    fate.deliver(7)
    assert (await waiting).offset == 7


async def test_a_cancelled_task_leaves_the_wait() -> None:
    fate, delivery = one()

    async def wait() -> RecordMetadata:
        return await delivery

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert delivery.cancelled()
    fate.deliver(1)


def test_steps_are_made_by_awaiting() -> None:
    with pytest.raises(TypeError):
        Steps()
