"""What a caller waits for is resolved once, and outlives the caller."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.errors import ProducerError
from aioproducer.runtime.pending_operation import Operation, Pending


def pending() -> Pending:
    return Pending(Operation.COMMIT, asyncio.get_running_loop())


async def test_it_is_resolved_once_with_the_first_outcome() -> None:
    it = pending()
    it.settle(None)
    it.settle(ProducerError("late"))
    assert it.done.result() is None
    failed = pending()
    failed.settle(ProducerError("first"))
    failed.settle(None)
    with pytest.raises(ProducerError, match="first"):
        failed.done.result()


async def test_its_end_implies_that_the_records_are_settled() -> None:
    it = pending()
    assert not it.calm.done()
    it.settle(None)
    assert it.calm.done()


async def test_settled_records_do_not_end_it() -> None:
    it = pending()
    it.settled()
    it.settled()
    assert it.calm.done()
    assert not it.done.done()


async def test_what_was_begun_for_it_is_undone_once() -> None:
    undone: list[int] = []
    it = pending()
    it.undo = lambda: undone.append(1)
    it.settle(None)
    it.settle(None)
    assert undone == [1]


async def test_a_failure_that_nobody_waits_for_is_not_reported() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    pending().settle(ProducerError("nobody looks"))
    await asyncio.sleep(0)
    assert reported == []
