"""The TransactionManager: what it asks for when, and what its callers are told."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.core.transaction_outcome import Abortable, Again, Fatal, Refused
from aioproducer.core.transaction_scope import OffsetsToCommit, TransactionProtocol
from aioproducer.errors import (
    ClusterConnectionError,
    FatalTransactionError,
    ProducerClosedError,
    ProducerError,
    TransactionAbortedError,
    TransactionStateError,
    TransactionTimeoutError,
    broker_error,
)
from aioproducer.records import GroupMetadata
from tests.runtime.transaction_world import BOTH, FIRST, NEXT, V1, V2, WISH, S, world

# The ordinary course


@BOTH
async def test_an_identity_is_obtained_once(protocol: TransactionProtocol) -> None:
    async with world(protocol, ready=False) as it:
        await it.manager.initialize(60)
        await it.manager.initialize(60)
        assert it.coordinator.log == [("init", None)]
        assert it.keeper.identity == FIRST
        assert it.keeper.starts_at_zero is (protocol is V2)
        assert it.manager.scope.protocol is protocol


@BOTH
async def test_nothing_sent_means_no_request(protocol: TransactionProtocol) -> None:
    async with world(protocol) as it:
        for end in (it.manager.commit, it.manager.abort):
            it.manager.begin()
            await end(60)
        assert it.coordinator.log == []
        assert it.keeper.identity == FIRST


@BOTH
async def test_a_commit_waits_for_every_record(protocol: TransactionProtocol) -> None:
    async with world(protocol) as it:
        it.manager.begin()
        it.manager.scope.started = True
        it.records.quiet = False
        commit = asyncio.create_task(it.manager.commit(1))
        await asyncio.sleep(30)
        assert it.records.hurried == 1
        assert it.asked == []
        assert not commit.done()
        it.records.settle()
        await commit
        assert it.asked == ["commit"]


async def test_offsets_are_added_and_committed() -> None:
    for protocol, asked in ((V1, ["add group", "offsets"]), (V2, ["offsets"])):
        async with world(protocol) as it:
            it.manager.begin()
            await it.manager.send_offsets(WISH, 60)
            assert it.asked == asked
            await it.manager.commit(60)
            assert it.asked == [*asked, "commit"]


async def test_no_offsets_are_no_request() -> None:
    async with world() as it:
        it.manager.begin()
        await it.manager.send_offsets(OffsetsToCommit(GroupMetadata("g"), {}), 60)
        await it.manager.commit(60)
        assert it.asked == []


# Failures


@BOTH
async def test_a_failed_record_makes_the_commit_raise_it(protocol: TransactionProtocol) -> None:
    async with world(protocol) as it:
        it.manager.begin()
        it.manager.scope.started = True
        cause = ProducerError("too large", retriable=True)
        it.manager.record_failed(cause)
        it.manager.record_failed(ProducerError("another"))
        with pytest.raises(ProducerError, match="too large") as caught:
            await it.manager.commit(60)
        assert not caught.value.retriable
        assert "Abort" in caught.value.what_next
        assert it.asked == []
        await asyncio.sleep(0)
        (error, keeps_doubtful), *more = it.records.withdrawn
        assert not more
        assert isinstance(error, TransactionAbortedError)
        assert error.__cause__ is cause
        assert keeps_doubtful is (protocol is V1)
        await it.manager.abort(60)
        assert it.asked == ["abort"]
        it.manager.begin()
        await it.manager.commit(60)


@BOTH
async def test_a_record_that_fails_during_the_commit_stops_it(
    protocol: TransactionProtocol,
) -> None:
    async with world(protocol) as it:
        it.manager.begin()
        it.manager.scope.started = True
        it.records.quiet = False
        commit = asyncio.create_task(it.manager.commit(60))
        await asyncio.sleep(1)
        it.manager.record_failed(ProducerError("too large"))
        it.records.settle()
        with pytest.raises(ProducerError, match="too large"):
            await commit
        assert it.asked == []
        with pytest.raises(ProducerError, match="too large"):
            await it.manager.commit(60)
        await it.manager.abort(60)


async def test_refused_offsets_tell_their_caller_and_the_commit() -> None:
    async with world(V2) as it:
        it.coordinator.outcomes = {"offsets": [Abortable(ProducerError("rebalanced"))]}
        it.manager.begin()
        with pytest.raises(ProducerError, match="rebalanced"):
            await it.manager.send_offsets(WISH, 60)
        with pytest.raises(ProducerError, match="rebalanced"):
            await it.manager.commit(60)
        with pytest.raises(ProducerError, match="rebalanced"):
            await it.manager.send_offsets(WISH, 60)
        await it.manager.abort(60)
        assert it.asked == ["offsets", "abort"]


async def test_an_abort_gives_up_offsets_that_are_not_yet_committed() -> None:
    async with world(V2) as it:
        it.coordinator.outcomes = {"offsets": [Again(ProducerError("away"))] * 50}
        it.manager.begin()
        offsets = asyncio.create_task(it.manager.send_offsets(WISH, 60))
        await asyncio.sleep(1)
        await it.manager.abort(60)
        with pytest.raises(TransactionAbortedError):
            await offsets


async def test_a_commit_that_the_coordinator_wants_aborted() -> None:
    async with world(V2) as it:
        it.coordinator.outcomes = {"commit": [Abortable(ProducerError("abort me"))]}
        it.manager.begin()
        it.manager.scope.started = True
        with pytest.raises(ProducerError, match="abort me"):
            await it.manager.commit(60)
        await it.manager.abort(60)
        assert it.asked == ["commit", "abort"]


@pytest.mark.parametrize("step", ["init", "add", "add group", "offsets", "commit", "abort"])
async def test_a_fatal_answer_is_for_good(step: str) -> None:
    """Whatever was asked: all callers learn it, all records fail, nothing more is asked."""
    async with world(V1) as it:
        it.coordinator.outcomes = {step: [Fatal(ProducerError("fenced"))]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        it.keeper.broken = step == "init"
        with pytest.raises(FatalTransactionError, match="fenced"):
            await asyncio.sleep(0.01)
            await it.manager.send_offsets(WISH, 60)
            if step in ("abort", "init"):
                await it.manager.abort(60)
            await it.manager.commit(60)
        assert [str(error) for error in it.fatal] == ["fenced"]
        asked = list(it.asked)
        for call in (it.manager.commit, it.manager.abort, it.manager.initialize):
            with pytest.raises(FatalTransactionError):
                await call(60)
        with pytest.raises(FatalTransactionError):
            it.manager.begin()
        with pytest.raises(FatalTransactionError):
            it.manager.require_open()
        await asyncio.sleep(60)
        assert it.asked == asked


@pytest.mark.parametrize(
    ("before", "persisted"),
    [
        ([], "no"),
        ([Again(ClusterConnectionError("gone"), unanswered=True)], "maybe"),
        ([Again(broker_error(51))], "no"),
    ],
)
async def test_a_commit_that_is_refused_for_good_may_have_been_done_before(
    before: list[Again], persisted: str
) -> None:
    """Only an EndTxn without an answer is in doubt: error 51 says that it was not begun."""
    async with world() as it:
        it.coordinator.outcomes = {"commit": [*before, Fatal(broker_error(90))]}
        it.manager.begin()
        it.manager.scope.started = True
        with pytest.raises(FatalTransactionError) as caught:
            await it.manager.commit(60)
        assert caught.value.persisted == persisted


@pytest.mark.parametrize("end", ["commit", "abort"])
async def test_an_end_that_was_answered_stands_whatever_comes_after_it(end: str) -> None:
    """The new epoch is wanted by the next transaction only: that one learns of the failure."""
    async with world(V1) as it:
        it.coordinator.outcomes = {"init": [Fatal(ProducerError("fenced"))]}
        it.manager.begin()
        it.manager.scope.started = True
        it.keeper.broken = True
        await getattr(it.manager, end)(60)
        assert it.asked == [end, "init"]
        with pytest.raises(FatalTransactionError, match="fenced"):
            it.manager.begin()


async def test_only_a_commit_out_of_time_is_in_doubt() -> None:
    async with world(ready=False) as it:
        it.coordinator.outcomes = {"init": [asyncio.Event()]}
        with pytest.raises(TransactionTimeoutError) as caught:
            await it.manager.initialize(1)
        assert caught.value.persisted == "no"


async def test_a_record_that_says_it_is_over_ends_it() -> None:
    async with world() as it:
        it.manager.begin()
        it.coordinator.is_fatal_for_producing = lambda error: True  # type: ignore[method-assign]
        it.manager.record_failed(ProducerError("not allowed"))
        with pytest.raises(FatalTransactionError, match="not allowed"):
            await it.manager.commit(60)
        await asyncio.sleep(0)
        assert len(it.fatal) == 1


async def test_a_refused_first_identity_can_be_asked_for_again() -> None:
    async with world(ready=False) as it:
        it.coordinator.outcomes = {"init": [Refused(ProducerError("denied"))]}
        with pytest.raises(ProducerError, match="denied"):
            await it.manager.initialize(60)
        assert it.manager.scope.state is S.UNINITIALIZED
        await it.manager.initialize(60)
        assert it.manager.scope.state is S.READY


# Time and cancellation


async def test_a_commit_out_of_time_goes_on_and_can_be_awaited_again() -> None:
    async with world() as it:
        answer = asyncio.Event()
        it.coordinator.outcomes = {"commit": [answer]}
        it.coordinator.last_error = ProducerError("the coordinator is away")
        it.manager.begin()
        it.manager.scope.started = True
        with pytest.raises(TransactionTimeoutError, match=r"5 s.*coordinator is away") as caught:
            await it.manager.commit(5)
        assert caught.value.persisted == "maybe"
        for wrong in (it.manager.abort(1), it.manager.send_offsets(WISH, 1)):
            with pytest.raises(TransactionStateError):
                await wrong
        with pytest.raises(TransactionStateError, match="under way"):
            it.manager.begin()
        with pytest.raises(TransactionStateError):
            it.manager.require_open()
        again = asyncio.create_task(it.manager.commit(60))
        await asyncio.sleep(1)
        answer.set()
        await again
        assert it.asked == ["commit"]
        it.manager.begin()


async def test_a_commit_that_ended_after_its_caller_left_is_told_to_the_next_call() -> None:
    async with world() as it:
        answer = asyncio.Event()
        it.coordinator.outcomes = {"commit": [answer]}
        it.manager.begin()
        it.manager.scope.started = True
        with pytest.raises(TransactionTimeoutError):
            await it.manager.commit(5)
        answer.set()
        await asyncio.sleep(1)
        await it.manager.commit(5)
        assert it.asked == ["commit"]


async def test_time_for_requests_begins_when_the_records_are_settled() -> None:
    async with world() as it:
        it.manager.begin()
        it.records.quiet = False
        commit = asyncio.create_task(it.manager.commit(0.5))
        await asyncio.sleep(20)
        it.records.settle()
        await commit


async def test_cancelling_a_caller_never_cancels_the_step() -> None:
    async with world() as it:
        answer = asyncio.Event()
        it.coordinator.outcomes = {"commit": [answer]}
        it.manager.begin()
        it.manager.scope.started = True
        commit = asyncio.create_task(it.manager.commit(60))
        await asyncio.sleep(1)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        waits = asyncio.create_task(it.manager.settle(60))
        await asyncio.sleep(1)
        assert not waits.done()
        answer.set()
        await waits
        it.manager.begin()
        assert it.keeper.identity == NEXT


async def test_waiting_for_an_earlier_step_is_bounded() -> None:
    async with world() as it:
        it.coordinator.outcomes = {"commit": [asyncio.Event()]}
        it.manager.begin()
        it.manager.scope.started = True
        with pytest.raises(TransactionTimeoutError):
            await it.manager.commit(1)
        with pytest.raises(TransactionTimeoutError, match=r"commit_transaction\(\)") as caught:
            await it.manager.settle(3)
        assert caught.value.persisted == "no"
        it.manager.close(ProducerClosedError("closed"))


async def test_the_same_offsets_given_again_are_one_wish() -> None:
    async with world() as it:
        answer = asyncio.Event()
        it.coordinator.outcomes = {"offsets": [answer]}
        it.manager.begin()
        with pytest.raises(TransactionTimeoutError):
            await it.manager.send_offsets(WISH, 1)
        again = asyncio.create_task(it.manager.send_offsets(WISH, 60))
        await asyncio.sleep(1)
        answer.set()
        await again
        assert it.asked == ["offsets"]


# Misuse


@BOTH
async def test_every_call_at_the_wrong_time_says_so(protocol: TransactionProtocol) -> None:
    async with world(protocol) as it:
        manager = it.manager
        for call in (manager.commit(1), manager.abort(1), manager.send_offsets(WISH, 1)):
            with pytest.raises(TransactionStateError):
                await call
        with pytest.raises(TransactionStateError, match="open transaction"):
            manager.require_open()
        manager.begin()
        manager.require_open()
        with pytest.raises(TransactionStateError):
            manager.begin()
        await manager.initialize(1)
        manager.record_failed(ProducerError("broken"))
        with pytest.raises(TransactionAbortedError, match="broken"):
            manager.require_open()
        assert it.asked == []
        await manager.abort(1)


# Leaving


@pytest.mark.parametrize("failed", [False, True])
async def test_leaving_aborts_what_is_open(failed: bool) -> None:
    async with world() as it:
        it.manager.begin()
        it.manager.scope.started = True
        if failed:
            it.manager.record_failed(ProducerError("broken"))
        await it.manager.leave(10)
        assert it.asked == ["abort"]
        assert it.manager.scope.state is S.READY


async def test_leaving_finishes_a_commit_that_is_under_way() -> None:
    async with world() as it:
        answer = asyncio.Event()
        it.coordinator.outcomes = {"commit": [answer]}
        it.manager.begin()
        it.manager.scope.started = True
        with pytest.raises(TransactionTimeoutError):
            await it.manager.commit(1)
        leaving = asyncio.create_task(it.manager.leave(10))
        await asyncio.sleep(1)
        answer.set()
        await leaving
        assert it.asked == ["commit"]


async def test_leaving_is_bounded_and_says_what_it_left(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as it:
        it.coordinator.outcomes = {"abort": [asyncio.Event()]}
        it.manager.begin()
        it.manager.scope.started = True
        loop = asyncio.get_running_loop()
        before = loop.time()
        await it.manager.leave(10)
        assert loop.time() - before == pytest.approx(10, abs=0.1)
        it.manager.close(ProducerClosedError("closed"))
        assert "transaction.timeout.ms" in caplog.text


async def test_leaving_does_not_wait_for_an_identity_that_nobody_uses() -> None:
    async with world(ready=False) as it:
        it.coordinator.outcomes = {"init": [Again(ProducerError("no broker"))] * 1000}
        with pytest.raises(TransactionTimeoutError):
            await it.manager.initialize(1)
        before = asyncio.get_running_loop().time()
        await it.manager.leave(30)
        assert asyncio.get_running_loop().time() == before
        it.manager.close(ProducerClosedError("closed"))


async def test_closing_fails_whoever_still_waits() -> None:
    async with world() as it:
        it.coordinator.outcomes = {"offsets": [asyncio.Event()]}
        it.manager.begin()
        waiting = asyncio.create_task(it.manager.send_offsets(WISH, 60))
        await asyncio.sleep(1)
        it.manager.close(ProducerClosedError("closed"))
        with pytest.raises(ProducerClosedError):
            await waiting


@pytest.mark.parametrize("step", ["add", "offsets", "commit"])
async def test_once_closed_nothing_more_is_asked(
    step: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As after the death of another task: a commit that was said to fail must not happen then."""
    async with world(V1) as it:
        answer = asyncio.Event()
        it.coordinator.outcomes = {step: [answer]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        offsets = asyncio.create_task(it.manager.send_offsets(WISH, 60))
        commit = asyncio.create_task(it.manager.commit(60))
        await asyncio.sleep(1)
        asked = list(it.asked)
        it.manager.close(ProducerClosedError("a task died"))
        it.manager.close(ProducerClosedError("closed"))
        with pytest.raises(ProducerClosedError) as caught:
            await commit
        assert caught.value.persisted == ("maybe" if step == "commit" else "no")
        await asyncio.wait([offsets])
        offsets.exception()
        answer.set()
        await asyncio.sleep(60)
        assert it.asked == asked
        assert caplog.text.count("closed before its transaction was ended") == (step != "add")


async def test_every_state_is_told() -> None:
    """The short path of send() is opened and closed by it."""
    async with world() as it:
        it.states.clear()
        it.manager.begin()
        it.manager.record_failed(ProducerError("broken"))
        await it.manager.abort(1)
        assert it.states == [S.IN_TRANSACTION, S.ABORTABLE_ERROR, S.ABORTING, S.READY]
