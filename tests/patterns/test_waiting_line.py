"""The WaitingLine: first come, first served, and no place is ever lost."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.patterns.waiting_line import WaitingLine


async def _queue(line: WaitingLine, *names: str, timeout: float = 60) -> tuple[list[str], list]:
    served: list[str] = []

    async def wait(name: str) -> None:
        await line.take(timeout)
        served.append(name)

    tasks = [asyncio.create_task(wait(name)) for name in names]
    await asyncio.sleep(0.001)
    return served, tasks


async def test_a_free_place_is_taken_at_once() -> None:
    line = WaitingLine(2)
    served, _ = await _queue(line, "a", "b")
    assert served == ["a", "b"]
    assert line.length == 0


async def test_who_came_first_is_served_first() -> None:
    line = WaitingLine(1)
    served, tasks = await _queue(line, "a", "b", "c")
    assert line.length == 2
    for expected in (["a", "b"], ["a", "b", "c"]):
        line.give()
        await asyncio.sleep(0.001)
        assert served == expected
    await asyncio.gather(*tasks)


async def test_nobody_overtakes_by_coming_when_a_place_is_given() -> None:
    line = WaitingLine(1)
    served, tasks = await _queue(line, "a", "b")
    line.give()
    late = asyncio.create_task(line.take(60))
    await asyncio.sleep(0.001)
    assert served == ["a", "b"]
    assert not late.done()
    line.give()
    await asyncio.gather(late, *tasks)


async def test_a_place_is_waited_for_no_longer_than_told() -> None:
    line = WaitingLine(1)
    await line.take(60)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await line.take(3)
    assert asyncio.get_running_loop().time() - began == pytest.approx(3)
    assert line.length == 0


async def test_who_is_cancelled_leaves_the_line() -> None:
    line = WaitingLine(1)
    served, (_, b, c) = await _queue(line, "a", "b", "c")
    b.cancel()
    line.give()
    await c
    assert served == ["a", "c"]
    assert line.length == 0
    line.give()
    await line.take(0)


async def test_a_place_given_to_one_who_is_cancelled_goes_to_the_next() -> None:
    """Both in one turn of the loop: the place must be neither lost nor doubled."""
    line = WaitingLine(1)
    served, (_, b, c) = await _queue(line, "a", "b", "c")
    line.give()
    b.cancel()
    await asyncio.wait([b, c])
    assert b.cancelled()
    assert served == ["a", "c"]
    with pytest.raises(TimeoutError):
        await line.take(0.1)


async def test_a_line_that_is_refused_fails_all_who_wait() -> None:
    line = WaitingLine(1)
    _, (_, b, c) = await _queue(line, "a", "b", "c")
    c.cancel()
    line.refuse(ValueError("over"))
    with pytest.raises(ValueError, match="over"):
        await b
    with pytest.raises(asyncio.CancelledError):
        await c
    assert line.length == 0
