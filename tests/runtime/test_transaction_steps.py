"""The steps of a transaction: which requests there are, and what stays in doubt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer.core.transaction_outcome import Abortable, Again, Fatal
from aioproducer.errors import (
    FatalTransactionError,
    InvalidTxnStateError,
    ProducerError,
    broker_error,
)
from tests.runtime.transaction_world import FIRST, NEXT, V1, V2, WISH, S, world

LOST = Again(ProducerError("not answered"), unanswered=True)
FORGOTTEN = Fatal(broker_error(48))
NOT_COORDINATOR = Again(broker_error(16))


# Which requests there are


async def test_the_old_protocol_keeps_its_epoch() -> None:
    async with world(V1) as it:
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await asyncio.sleep(0.01)
        assert it.records.offered == 1
        await it.manager.commit(60)
        assert it.coordinator.log == [("add", ("t", 0)), "commit"]
        assert it.keeper.identity == FIRST


async def test_the_new_protocol_takes_the_epoch_that_the_end_names() -> None:
    async with world(V2) as it:
        it.manager.begin()
        it.manager.scope.started = True
        await it.manager.commit(60)
        assert it.coordinator.log == ["commit"]
        assert it.keeper.identity == NEXT


async def test_what_may_succeed_later_is_asked_again() -> None:
    async with world(V1) as it:
        busy = Again(broker_error(51))
        it.coordinator.outcomes = {"add": [busy, busy], "commit": [busy]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await it.manager.commit(60)
        assert it.asked == ["add", "add", "add", "commit", "commit"]


async def test_a_partition_that_was_never_added_needs_no_end() -> None:
    """EndTxn where nothing is open is refused, and that would be fatal."""
    async with world(V1) as it:
        it.coordinator.outcomes = {"add": [Again(ProducerError("busy"))] * 100}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await asyncio.sleep(1)
        await it.manager.abort(60)
        assert set(it.asked) == {"add"}
        it.manager.begin()


async def test_a_partition_that_may_have_been_added_is_asked_for_again_before_the_end() -> None:
    async with world(V1) as it:
        lost = Again(ProducerError("disconnected"), unanswered=True)
        it.coordinator.outcomes = {"add": [lost, lost]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await asyncio.sleep(0.01)
        await it.manager.abort(60)
        assert it.asked == ["add", "add", "add", "abort"]


# The protocol changes


async def test_an_upgrade_takes_a_higher_epoch_after_the_transaction() -> None:
    async with world(V1) as it:
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        it.coordinator.protocol = V2
        await it.manager.commit(60)
        assert it.asked == ["add", "commit", "init"]
        assert it.coordinator.log[-1] == ("init", FIRST)
        assert it.manager.scope.protocol is V2
        assert it.keeper.identity == NEXT
        assert it.keeper.starts_at_zero


async def test_a_downgrade_needs_no_more_than_the_end() -> None:
    async with world(V2) as it:
        it.manager.begin()
        it.manager.scope.started = True
        it.coordinator.protocol = V1
        await it.manager.commit(60)
        assert it.asked == ["commit"]
        assert it.manager.scope.protocol is V1
        assert not it.keeper.starts_at_zero


async def test_the_protocol_never_changes_inside_a_transaction() -> None:
    async with world(V1) as it:
        it.manager.begin()
        it.coordinator.protocol = V2
        it.manager.scope.touch("t", 0)
        await it.manager.send_offsets(WISH, 60)
        assert it.manager.scope.protocol is V1
        assert it.asked == ["add", "add group", "offsets"]


# Identities and doubts


async def test_after_a_broken_sequence_the_old_protocol_renews_its_epoch() -> None:
    async with world(V1) as it:
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await asyncio.sleep(0.01)
        it.keeper.broken = True
        it.manager.record_failed(ProducerError("gap"))
        await it.manager.abort(60)
        assert it.coordinator.log == [("add", ("t", 0)), "abort", ("init", FIRST)]
        assert it.keeper.identity == NEXT
        assert it.manager.scope.state is S.READY


async def test_a_late_copy_of_an_end_must_not_end_the_next_transaction() -> None:
    """Before KIP-890 all transactions have one epoch, so the one that was ended takes a higher."""
    async with world(V1) as it:
        it.coordinator.outcomes = {"commit": [LOST]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await it.manager.commit(60)
        assert it.asked == ["add", "commit", "commit", "init"]
        assert it.keeper.identity == NEXT
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await it.manager.commit(60)
        assert it.asked[4:] == ["add", "commit"]


async def test_brokers_that_cannot_renew_an_epoch_go_on_after_a_lost_end() -> None:
    async with world(V1) as it:
        cannot = broker_error(35, "InitProducerId version 1 cannot say which")
        it.coordinator.outcomes = {"commit": [LOST], "init": [Fatal(cannot)]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await it.manager.commit(60)
        assert it.asked == ["add", "commit", "commit", "init"]
        assert it.keeper.identity == FIRST
        assert it.manager.scope.state is S.READY


async def test_an_answer_to_come_again_leaves_no_doubt_about_the_end() -> None:
    async with world(V1) as it:
        it.coordinator.outcomes = {"commit": [Again(broker_error(51))]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await it.manager.commit(60)
        assert it.asked == ["add", "commit", "commit"]


async def test_a_coordinator_that_forgot_the_producer_has_it_renewed() -> None:
    async with world(V1) as it:
        it.coordinator.outcomes = {"add": [Abortable(ProducerError("unknown"))]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        await asyncio.sleep(0.01)
        it.coordinator.needs_new_epoch = True
        await it.manager.abort(60)
        assert it.asked == ["add", "init"]


# Transactions that the coordinator knows nothing of


async def test_a_commit_that_the_coordinator_knows_nothing_of_is_aborted_before_it_fails() -> None:
    """Nobody else would end it: its records would become visible with the next transaction's."""
    async with world(V2) as it:
        it.coordinator.outcomes = {"commit": [FORGOTTEN]}
        it.manager.begin()
        await it.manager.send_offsets(WISH, 60)
        it.manager.scope.sent("t", 1)
        it.manager.scope.sent("t", 0)
        with pytest.raises(InvalidTxnStateError) as caught:
            await it.manager.commit(60)
        told = [("add group", "g"), ("add", ("t", 0), ("t", 1)), "abort"]
        assert it.coordinator.log == ["offsets", "commit", *told]
        assert caught.value.persisted == "no"
        assert "run all of it again" in caught.value.what_next
        await it.manager.abort(60)
        assert it.keeper.identity == NEXT
        it.manager.begin()
        it.manager.scope.sent("t", 2)
        await it.manager.commit(60)
        assert it.coordinator.log[5:] == ["commit"]


async def test_a_forgotten_commit_that_was_in_doubt_is_final() -> None:
    """It may have been done before it was forgotten, so it must not be run again."""
    async with world(V2) as it:
        it.coordinator.outcomes = {"commit": [NOT_COORDINATOR, FORGOTTEN]}
        it.manager.begin()
        it.manager.scope.sent("t", 0)
        with pytest.raises(FatalTransactionError) as caught:
            await it.manager.commit(60)
        assert caught.value.persisted == "maybe"
        assert it.coordinator.log == ["commit", "commit", ("add", ("t", 0)), "abort"]


@pytest.mark.parametrize("step", ["add", "abort"])
@pytest.mark.parametrize("outcome", [Fatal, Abortable])
async def test_a_forgotten_commit_that_cannot_be_aborted_is_final(step: str, outcome: Any) -> None:
    async with world(V2) as it:
        refused = Fatal if step == "abort" else outcome
        it.coordinator.outcomes = {"commit": [FORGOTTEN], step: [refused(broker_error(90))]}
        it.manager.begin()
        it.manager.scope.sent("t", 0)
        with pytest.raises(FatalTransactionError, match="FENCED"):
            await it.manager.commit(60)
        await asyncio.sleep(60)
        assert it.asked == ["commit", "add", "abort"][: 2 if step == "add" else 3]


async def test_telling_of_a_forgotten_commit_goes_on_until_it_is_answered() -> None:
    async with world(V2) as it:
        it.coordinator.outcomes = {"commit": [FORGOTTEN], "add": [LOST], "abort": [LOST]}
        it.manager.begin()
        it.manager.scope.sent("t", 0)
        with pytest.raises(FatalTransactionError):
            await it.manager.commit(60)
        assert it.asked == ["commit", "add", "add", "abort", "abort"]


async def test_before_kip_890_a_refused_commit_is_final_at_once() -> None:
    async with world(V1) as it:
        it.coordinator.outcomes = {"commit": [FORGOTTEN]}
        it.manager.begin()
        it.manager.scope.touch("t", 0)
        with pytest.raises(FatalTransactionError):
            await it.manager.commit(60)
        assert it.asked == ["add", "commit"]


@pytest.mark.parametrize("failure", [NOT_COORDINATOR, LOST])
async def test_an_abort_that_finds_another_coordinator_tells_it_of_everything(
    failure: Again,
) -> None:
    """One that knows nothing of the transaction would say that all is well, and end nothing."""
    async with world(V2) as it:
        it.coordinator.outcomes = {"abort": [failure]}
        it.manager.begin()
        it.manager.scope.sent("t", 0)
        await it.manager.abort(60)
        assert it.coordinator.log == ["abort", ("add", ("t", 0)), "abort"]
        assert it.keeper.identity == NEXT


@pytest.mark.parametrize("refused", [Fatal(broker_error(90)), Abortable(broker_error(3))])
async def test_an_abort_that_was_done_already_is_repeated_all_the_same(refused: Any) -> None:
    """The coordinator fences what is told of a transaction that is over, and confirms its end."""
    async with world(V2) as it:
        it.coordinator.outcomes = {"abort": [NOT_COORDINATOR], "add": [refused]}
        it.manager.begin()
        it.manager.scope.sent("t", 0)
        await it.manager.abort(60)
        assert it.asked == ["abort", "add", "abort"]
        assert it.manager.scope.state is S.READY


@pytest.mark.parametrize("end", ["commit", "abort"])
async def test_after_a_repeated_request_the_coordinator_is_told_of_everything(end: str) -> None:
    """A coordinator answers a repetition by what its predecessor had not replicated yet."""
    async with world(V2) as it:
        it.coordinator.outcomes = {"offsets": [Again(broker_error(51)), NOT_COORDINATOR]}
        it.manager.begin()
        await it.manager.send_offsets(WISH, 60)
        it.manager.scope.sent("t", 0)
        await getattr(it.manager, end)(60)
        told = [("add group", "g"), ("add", ("t", 0)), end]
        assert it.coordinator.log == ["offsets", "offsets", "offsets", *told]
        it.manager.begin()
        await it.manager.send_offsets(WISH, 60)
        await getattr(it.manager, end)(60)
        assert it.coordinator.log[6:] == ["offsets", end]


async def test_an_abort_that_only_has_to_wait_tells_nothing_again() -> None:
    async with world(V2) as it:
        it.coordinator.outcomes = {"abort": [Again(broker_error(51))]}
        it.manager.begin()
        it.manager.scope.sent("t", 0)
        await it.manager.abort(60)
        assert it.asked == ["abort", "abort"]
