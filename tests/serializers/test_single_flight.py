"""One asks, the others wait for that."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.errors import SchemaRegistryError
from aioproducer.serializers.single_flight import SingleFlight


class Asking:
    def __init__(self) -> None:
        self.flights = SingleFlight()
        self.begun = 0
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, key: str = "orders") -> None:
        async def attempt() -> None:
            self.begun += 1
            await asyncio.shield(self.answer)

        await self.flights.ask(key, attempt, lambda error: isinstance(error, SchemaRegistryError))


async def several(ask: Asking, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.ensure_future(ask()) for _ in range(count)]
    await asyncio.sleep(0.1)
    return tasks


async def test_many_ask_once() -> None:
    ask = Asking()
    tasks = await several(ask, 5)
    ask.answer.set_result(None)
    await asyncio.gather(*tasks)
    assert ask.begun == 1


async def test_other_keys_ask_for_themselves() -> None:
    ask = Asking()
    tasks = [asyncio.ensure_future(ask(key)) for key in "ab"]
    await asyncio.sleep(0.1)
    assert ask.begun == 2
    ask.answer.set_result(None)
    await asyncio.gather(*tasks)


async def test_what_concerns_all_is_told_to_all_who_wait_and_then_forgotten() -> None:
    ask = Asking()
    tasks = await several(ask, 3)
    ask.answer.set_exception(SchemaRegistryError("incompatible"))
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(failure) for failure in failures] == [SchemaRegistryError] * 3
    assert len({id(failure) for failure in failures}) == 3
    ask.answer = asyncio.get_running_loop().create_future()
    ask.answer.set_result(None)
    await ask()
    assert ask.begun == 2


async def test_what_concerns_one_is_told_to_that_one() -> None:
    ask = Asking()
    first, *others = await several(ask, 3)
    ask.answer.set_exception(KeyError("field"))
    with pytest.raises(KeyError):
        await first
    await asyncio.gather(*others)


async def test_when_the_one_who_asks_is_cancelled_the_others_look_again() -> None:
    ask = Asking()
    first, *others = await several(ask, 3)
    first.cancel()
    await asyncio.gather(*others)
    assert first.cancelled()
    assert ask.begun == 1
    again = asyncio.ensure_future(ask())
    await asyncio.sleep(0.1)
    assert ask.begun == 2
    ask.answer.set_result(None)
    await again


async def test_one_who_waits_may_be_cancelled_alone() -> None:
    ask = Asking()
    first, second = await several(ask, 2)
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    ask.answer.set_result(None)
    await first
