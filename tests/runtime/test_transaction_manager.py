"""The TransactionManager: what it asks for when, and what its callers are told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.core.transaction import TransactionState
from aioproducer.core.transaction_scope import (
    OffsetsToCommit,
    TransactionProtocol,
    TransactionScope,
)
from aioproducer.errors import (
    ClusterConnectionError,
    FatalTransactionError,
    InvalidTxnStateError,
    ProducerClosedError,
    ProducerError,
    TransactionAbortedError,
    TransactionStateError,
    TransactionTimeoutError,
    broker_error,
)
from aioproducer.records import GroupMetadata, OffsetAndMetadata, TopicPartition
from aioproducer.runtime.coordinator_client import Abortable, Again, Fatal, Refused
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.transaction_manager import TransactionManager

S = TransactionState
V1, V2 = TransactionProtocol.V1, TransactionProtocol.V2
FIRST, NEXT = ProducerIdentity(7, 0), ProducerIdentity(7, 1)
WISH = OffsetsToCommit(GroupMetadata("g"), {TopicPartition("t", 0): OffsetAndMetadata(5)})
BOTH = pytest.mark.parametrize("protocol", [V1, V2])


class Coordinator:
    """Stands for all brokers: every request waits for its scripted outcome, or succeeds."""

    def __init__(self, protocol: TransactionProtocol) -> None:
        self.protocol = protocol
        self.last_error: ProducerError | None = None
        self.needs_new_epoch = False
        self.log: list[Any] = []
        self.outcomes: dict[str, list[Any]] = {}
        self.epoch = 0

    async def _answer(self, name: str, *what: Any) -> None:
        self.log.append((name, *what) if what else name)
        script = self.outcomes.get(name, [])
        outcome = script.pop(0) if script else None
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        elif outcome is not None:
            raise outcome

    async def init_producer_id(self, current: ProducerIdentity | None) -> ProducerIdentity:
        await self._answer("init", current)
        self.epoch = 0 if current is None else current.epoch + 1
        return ProducerIdentity(7, self.epoch)

    async def add_partitions(self, identity: Any, partitions: Any) -> list[Any]:
        await self._answer("add", *partitions)
        return list(partitions)

    async def add_offsets(self, identity: Any, group_id: str) -> None:
        await self._answer("add group", group_id)

    async def commit_offsets(self, identity: Any, protocol: Any, wish: Any) -> None:
        await self._answer("offsets")

    async def end(self, identity: Any, protocol: Any, *, commit: bool) -> ProducerIdentity | None:
        await self._answer("commit" if commit else "abort")
        return ProducerIdentity(7, identity.epoch + 1) if protocol is V2 else None

    async def refresh_features(self, now: float) -> None:
        pass

    def finalized_protocol(self) -> TransactionProtocol:
        return self.protocol

    def is_upgrade(self, scope: TransactionScope) -> bool:
        return scope.protocol is V1 and self.protocol is V2

    def starts_at_zero(self, scope: TransactionScope) -> bool:
        return scope.protocol is V2

    def is_fatal_for_producing(self, error: ProducerError) -> bool:
        return isinstance(error, FatalTransactionError)

    def fatal(self, error: ProducerError, began_at: float, now: float) -> ProducerError:
        return FatalTransactionError(str(error))

    def has_forgotten(self, error: ProducerError, began_at: float, now: float) -> bool:
        return isinstance(error, InvalidTxnStateError)

    def pause(self, again: Again, attempt: int, rng: random.Random) -> float:
        return 0.1


class Records:
    """The producer's records: open until the test settles them."""

    def __init__(self) -> None:
        self.quiet = True
        self.hurried = 0
        self.withdrawn: list[tuple[ProducerError, bool]] = []
        self.offered = 0
        self._done: Callable[[], None] = lambda: None

    def is_quiet(self) -> bool:
        return self.quiet

    def hurry(self, done: Callable[[], None]) -> Callable[[], None]:
        self.hurried += 1
        self._done = done

        def undo() -> None:
            self.hurried -= 1

        return undo

    def withdraw(self, make_error: Callable[[], ProducerError], *, keep_doubtful: bool) -> None:
        self.withdrawn.append((make_error(), keep_doubtful))

    def offer_everything(self) -> None:
        self.offered += 1

    def settle(self) -> None:
        self.quiet = True
        self._done()


class Keeper:
    def __init__(self) -> None:
        self.identity: ProducerIdentity | None = None
        self.starts_at_zero: bool | None = None
        self.broken = False

    def adopt(self, identity: ProducerIdentity, *, starts_at_zero: bool) -> None:
        self.identity = identity
        self.starts_at_zero = starts_at_zero
        self.broken = False

    def needs_renewal(self) -> bool:
        return self.broken


class World(SimpleNamespace):
    manager: TransactionManager
    coordinator: Coordinator
    records: Records
    keeper: Keeper
    states: list[S]
    fatal: list[ProducerError]

    @property
    def asked(self) -> list[str]:
        return [entry[0] if isinstance(entry, tuple) else entry for entry in self.coordinator.log]


@asynccontextmanager
async def world(protocol: TransactionProtocol = V2, *, ready: bool = True) -> AsyncIterator[World]:
    config = ProducerConfig.create("h:1", transactional_id="x", delivery_timeout_ms=60_000)
    it = World(
        coordinator=Coordinator(protocol), records=Records(), keeper=Keeper(), states=[], fatal=[]
    )
    manager: TransactionManager

    def wake() -> None:
        manager.wake()

    it.manager = manager = TransactionManager(
        config,
        "c",
        TransactionScope("x", wake),
        it.coordinator,  # type: ignore[arg-type]
        it.keeper,  # type: ignore[arg-type]
        it.records,
        random.Random(1),
        StallWatch("c"),
        on_fatal=it.fatal.append,
        on_state=it.states.append,
    )
    task = asyncio.create_task(manager.run())
    try:
        if ready:
            await manager.initialize(60)
            it.coordinator.log.clear()
        yield it
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert it.records.hurried == 0


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


LOST = Again(ProducerError("not answered"), unanswered=True)


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


FORGOTTEN = Fatal(broker_error(48))
NOT_COORDINATOR = Again(broker_error(16))


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
