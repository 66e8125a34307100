"""What a caller waits for is resolved once, and outlives the caller."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.core.transaction_scope import OffsetsToCommit
from aioproducer.errors import ProducerError, TransactionStateError, TransactionTimeoutError
from aioproducer.records import GroupMetadata, OffsetAndMetadata, TopicPartition
from aioproducer.runtime.pending_operation import Operation, Operations, Pending
from aioproducer.runtime.stall import StallWatch


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


def operations(cause: ProducerError | None = None) -> Operations:
    return Operations(100, StallWatch("c"), lambda: cause)


def five() -> OffsetsToCommit:
    return OffsetsToCommit(GroupMetadata("g"), {TopicPartition("t", 0): OffsetAndMetadata(5)})


async def test_the_same_call_attaches_to_what_is_under_way_and_others_are_refused() -> None:
    it = operations()
    assert it.attach(Operation.COMMIT) is None
    commit = it.begin(Operation.COMMIT)
    assert it.attach(Operation.COMMIT) is commit
    with pytest.raises(TransactionStateError, match=r"commit_transaction\(\) is still under way"):
        it.attach(Operation.ABORT)
    it.settle(None)
    it.require_ended()
    assert it.attach(Operation.ABORT) is None
    assert it.current is None


async def test_an_outcome_is_told_once_and_the_next_operation_begins_anew() -> None:
    it = operations()
    commit = it.begin(Operation.COMMIT)
    it.settle(ProducerError("refused"))
    with pytest.raises(ProducerError, match="refused"):
        await it.finish(commit, 1)
    assert it.current is None


async def test_records_that_are_not_settled_have_the_patience_and_requests_their_own_time() -> None:
    loop = asyncio.get_running_loop()
    it = operations(ProducerError("the coordinator is away"))
    began = loop.time()
    with pytest.raises(TransactionTimeoutError, match=r"100 s; .*away") as caught:
        await it.finish(it.begin(Operation.COMMIT), 5)
    assert loop.time() - began == pytest.approx(100, abs=1)
    assert caught.value.persisted == "maybe"
    abort = it.begin(Operation.ABORT)
    abort.settled()
    began = loop.time()
    with pytest.raises(TransactionTimeoutError, match="5 s") as caught:
        await it.finish(abort, 5)
    assert loop.time() - began == pytest.approx(5, abs=1)
    assert caught.value.persisted == "no"


async def test_offsets_are_found_by_what_they_say_until_they_are_granted() -> None:
    it, offsets = operations(), five()
    pending = it.wish(offsets)
    assert it.wished(five()) is pending
    it.granted(offsets)
    assert pending.done.result() is None
    assert it.wished(five()) is None


async def test_offsets_that_are_given_up_fail_each_with_an_error_of_its_own() -> None:
    it, error = operations(), ProducerError("aborted")
    first, second = it.wish(five()), it.wish(five())
    it.fail_offsets(error)
    assert first.done.exception() is not second.done.exception()
    assert it.wished(five()) is None
