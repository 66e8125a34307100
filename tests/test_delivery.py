"""A Delivery is a full asyncio future; a Fate settles a whole batch of them at once."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import traceback
from typing import Any

import pytest

from aioproducer import Delivery, RecordMetadata
from aioproducer.delivery import Fate, FateState
from aioproducer.errors import (
    ClusterConnectionError,
    DeliveryTimeoutError,
    NotLeaderOrFollowerError,
    ProducerError,
)
from tests.both_loops import on_both_loops


def batch(count: int = 3, partition: int | None = 1) -> tuple[Fate, list[Delivery]]:
    """Return a pending batch of ``count`` records and their Deliveries."""
    fate = Fate(asyncio.get_running_loop(), "orders", partition, count)
    return fate, [fate.delivery(index, 1000 + index, 2, 5) for index in range(count)]


def error() -> ProducerError:
    return NotLeaderOrFollowerError(topic="orders", partition=1)


class Reports:
    """Collects what the loop's exception handler is told."""

    def __init__(self) -> None:
        self.contexts: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, c: self.contexts.append(c))

    @property
    def messages(self) -> list[str]:
        gc.collect()
        return [context["message"] for context in self.contexts]


class TestAwaiting:
    """Whoever waits gets the record's own outcome."""

    @staticmethod
    @on_both_loops
    async def test_await_returns_the_metadata() -> None:
        fate, deliveries = batch()
        asyncio.get_running_loop().call_soon(fate.deliver, 40)
        assert await deliveries[2] == RecordMetadata("orders", 1, 42, 1002, 2, 5)

    @staticmethod
    @on_both_loops
    async def test_the_metadata_is_found_in_a_set() -> None:
        """CPython 3.14 keeps a tuple's hash in it; compiled code makes the tuple by itself."""
        fate, deliveries = batch()
        fate.deliver(40)
        assert {RecordMetadata("orders", 1, 42, 1002, 2, 5)} == {await deliveries[2]}

    @staticmethod
    @on_both_loops
    async def test_await_of_a_settled_delivery_does_not_give_up_the_turn() -> None:
        fate, deliveries = batch()
        fate.deliver(0)
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        await deliveries[0]
        assert not turns

    @staticmethod
    @on_both_loops
    async def test_await_raises_the_record_s_error() -> None:
        fate, deliveries = batch()
        asyncio.get_running_loop().call_soon(fate.fail, error())
        with pytest.raises(NotLeaderOrFollowerError) as caught:
            await deliveries[0]
        assert (caught.value.topic, caught.value.partition) == ("orders", 1)

    @staticmethod
    @on_both_loops
    async def test_many_tasks_can_await_one_delivery() -> None:
        fate, deliveries = batch()
        waiting = [asyncio.ensure_future(_wait_for(deliveries[1])) for _ in range(5)]
        await asyncio.sleep(0)
        fate.deliver(7)
        assert {metadata.offset for metadata in await asyncio.gather(*waiting)} == {8}

    @staticmethod
    @on_both_loops
    async def test_it_can_be_awaited_again_and_gives_the_same_object() -> None:
        fate, deliveries = batch()
        fate.deliver(7)
        assert await deliveries[0] is await deliveries[0] is deliveries[0].result()

    @staticmethod
    @on_both_loops
    async def test_a_hundred_waiters_are_woken_in_the_order_of_their_records() -> None:
        fate, deliveries = batch(100)
        order: list[int] = []
        for index, delivery in enumerate(deliveries):
            delivery.add_done_callback(lambda _, index=index: order.append(index))
        fate.deliver(0)
        await asyncio.sleep(0)
        assert order == list(range(100))


async def _wait_for(delivery: Delivery) -> RecordMetadata:
    return await delivery


class TestAsyncioTakesIt:
    """Everything in asyncio that takes a future takes a Delivery as it is."""

    @staticmethod
    @on_both_loops
    async def test_isfuture_and_ensure_future() -> None:
        _, deliveries = batch()
        assert asyncio.isfuture(deliveries[0])
        assert asyncio.ensure_future(deliveries[0]) is deliveries[0]
        assert asyncio.wrap_future(deliveries[0]) is deliveries[0]
        assert deliveries[0].get_loop() is asyncio.get_running_loop()

    @staticmethod
    @on_both_loops
    async def test_gather() -> None:
        fate, deliveries = batch()
        gathering = asyncio.gather(*deliveries)
        fate.deliver(0)
        assert [metadata.offset for metadata in await gathering] == [0, 1, 2]

    @staticmethod
    @on_both_loops
    async def test_gather_with_exceptions() -> None:
        fate, deliveries = batch()
        gathering = asyncio.gather(*deliveries, return_exceptions=True)
        fate.fail(error())
        outcomes = await gathering
        assert [type(outcome) for outcome in outcomes] == [NotLeaderOrFollowerError] * 3
        assert len({id(outcome) for outcome in outcomes}) == 3

    @staticmethod
    @on_both_loops
    async def test_gather_raises_the_first_failure() -> None:
        fate, deliveries = batch()
        gathering = asyncio.gather(*deliveries)
        fate.fail(error())
        with pytest.raises(NotLeaderOrFollowerError):
            await gathering

    @staticmethod
    @on_both_loops
    async def test_gather_of_a_cancelled_one_ends() -> None:
        _, deliveries = batch()
        gathering = asyncio.gather(*deliveries)
        await asyncio.sleep(0)
        deliveries[0].cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await gathering

    @staticmethod
    @on_both_loops
    async def test_cancelling_a_gather_cancels_the_waits() -> None:
        _, deliveries = batch()
        gathering = asyncio.gather(*deliveries)
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        assert all(delivery.cancelled() for delivery in deliveries)

    @staticmethod
    @on_both_loops
    async def test_wait() -> None:
        first, deliveries = batch()
        _, others = batch()
        first.deliver(0)
        done, pending = await asyncio.wait(
            [*deliveries, *others], return_when=asyncio.FIRST_COMPLETED
        )
        assert done == set(deliveries)
        assert pending == set(others)

    @staticmethod
    @on_both_loops
    async def test_wait_with_a_timeout_leaves_it_alone() -> None:
        fate, deliveries = batch()
        _, pending = await asyncio.wait(deliveries, timeout=0.001)
        assert pending == set(deliveries)
        fate.deliver(0)
        assert (await deliveries[0]).offset == 0

    @staticmethod
    @on_both_loops
    async def test_wait_for_returns_the_metadata() -> None:
        fate, deliveries = batch()
        asyncio.get_running_loop().call_soon(fate.deliver, 0)
        assert (await asyncio.wait_for(deliveries[0], 10)).offset == 0

    @staticmethod
    @on_both_loops
    async def test_wait_for_that_times_out_abandons_the_wait() -> None:
        fate, deliveries = batch()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(deliveries[0], 0.001)
        assert deliveries[0].cancelled()
        fate.deliver(0)
        assert (await deliveries[1]).offset == 1

    @staticmethod
    @on_both_loops
    async def test_timeout_that_ends_leaves_the_others_of_the_batch_alone() -> None:
        fate, deliveries = batch()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await deliveries[0]
        fate.deliver(0)
        assert (await deliveries[1]).offset == 1

    @staticmethod
    @on_both_loops
    async def test_shield() -> None:
        fate, deliveries = batch()
        shield = asyncio.shield(deliveries[0])
        shield.cancel()
        await asyncio.sleep(0)
        assert not deliveries[0].cancelled()
        fate.deliver(5)
        assert (await asyncio.shield(deliveries[0])).offset == 5

    @staticmethod
    @on_both_loops
    async def test_shield_passes_a_failure_on() -> None:
        fate, deliveries = batch()
        shield = asyncio.shield(deliveries[0])
        fate.fail(error())
        with pytest.raises(NotLeaderOrFollowerError):
            await shield

    @staticmethod
    @on_both_loops
    async def test_as_completed() -> None:
        first, (one,) = batch(1)
        second, (two,) = batch(1)
        second.deliver(20)
        offsets = []
        for next_done in asyncio.as_completed([one, two]):
            offsets.append((await next_done).offset)
            if first.state is FateState.PENDING:
                first.deliver(10)
        assert offsets == [20, 10]

    @staticmethod
    @on_both_loops
    async def test_task_group() -> None:
        fate, deliveries = batch()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_wait_for(delivery)) for delivery in deliveries]
            group.create_task(_deliver(fate))
        assert [task.result().offset for task in tasks] == [0, 1, 2]

    @staticmethod
    @on_both_loops
    async def test_a_task_group_that_fails_cancels_the_waits_only() -> None:
        fate, deliveries = batch()
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(_wait_for(deliveries[0]))
                group.create_task(_fail())
        assert deliveries[0].cancelled()
        fate.deliver(0)
        assert (await deliveries[1]).offset == 1


async def _deliver(fate: Fate) -> None:
    fate.deliver(0)


async def _fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("the neighbour fell over")


class TestCallbacks:
    """As with any future: later in the loop, in their own context, once."""

    @staticmethod
    @on_both_loops
    async def test_they_run_in_a_later_turn_and_get_the_delivery() -> None:
        fate, deliveries = batch()
        called: list[object] = []
        deliveries[0].add_done_callback(called.append)
        fate.deliver(0)
        assert not called
        await asyncio.sleep(0)
        assert called == [deliveries[0]]

    @staticmethod
    @on_both_loops
    async def test_on_a_settled_delivery_they_run_in_a_later_turn_too() -> None:
        fate, deliveries = batch()
        fate.deliver(0)
        called: list[object] = []
        deliveries[0].add_done_callback(called.append)
        assert not called
        await asyncio.sleep(0)
        assert called == [deliveries[0]]

    @staticmethod
    @on_both_loops
    async def test_they_run_in_the_order_they_were_added() -> None:
        fate, deliveries = batch()
        order: list[int] = []
        for number in range(4):
            deliveries[0].add_done_callback(lambda _, number=number: order.append(number))
        fate.deliver(0)
        await asyncio.sleep(0)
        assert order == [0, 1, 2, 3]

    @staticmethod
    @on_both_loops
    async def test_they_run_in_the_context_they_were_added_in() -> None:
        fate, deliveries = batch()
        colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
        seen: list[str] = []
        colour.set("red")
        deliveries[0].add_done_callback(lambda _: seen.append(colour.get()))
        other = contextvars.copy_context()
        other.run(colour.set, "blue")
        deliveries[0].add_done_callback(lambda _: seen.append(colour.get()), context=other)
        colour.set("green")
        fate.deliver(0)
        await asyncio.sleep(0)
        assert seen == ["red", "blue"]

    @staticmethod
    @on_both_loops
    async def test_removing_takes_every_registration_and_tells_how_many() -> None:
        fate, deliveries = batch()
        called: list[object] = []
        deliveries[0].add_done_callback(called.append)
        deliveries[0].add_done_callback(called.append)
        assert deliveries[0].remove_done_callback(called.append) == 2
        assert deliveries[0].remove_done_callback(called.append) == 0
        fate.deliver(0)
        await asyncio.sleep(0)
        assert not called

    @staticmethod
    @on_both_loops
    async def test_one_added_after_the_last_was_removed_runs_once() -> None:
        fate, deliveries = batch()
        called: list[object] = []
        deliveries[0].add_done_callback(called.append)
        deliveries[0].remove_done_callback(called.append)
        deliveries[0].add_done_callback(called.append)
        fate.deliver(0)
        await asyncio.sleep(0)
        assert called == [deliveries[0]]

    @staticmethod
    @on_both_loops
    async def test_one_that_raises_is_reported_and_hinders_nobody() -> None:
        reports = Reports()
        fate, deliveries = batch()
        called: list[object] = []
        deliveries[0].add_done_callback(lambda _: 1 / 0)
        deliveries[1].add_done_callback(called.append)
        fate.deliver(0)
        await asyncio.sleep(0)
        assert called == [deliveries[1]]
        assert isinstance(reports.contexts[0]["exception"], ZeroDivisionError)

    @staticmethod
    @on_both_loops
    async def test_cancelling_runs_them() -> None:
        _, deliveries = batch()
        called: list[object] = []
        deliveries[0].add_done_callback(called.append)
        deliveries[0].cancel()
        await asyncio.sleep(0)
        assert called == [deliveries[0]]


class TestCancelling:
    """It abandons the wait; the record goes on."""

    @staticmethod
    @on_both_loops
    async def test_cancel_answers_true_until_done() -> None:
        fate, deliveries = batch()
        assert deliveries[0].cancel() is True
        assert deliveries[0].cancel() is False
        fate.deliver(0)
        assert deliveries[1].cancel() is False

    @staticmethod
    @on_both_loops
    async def test_all_who_await_it_get_the_cancellation_and_its_message() -> None:
        _, deliveries = batch()
        waiting = [asyncio.ensure_future(_wait_for(deliveries[0])) for _ in range(2)]
        await asyncio.sleep(0)
        deliveries[0].cancel("no longer needed")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
        with pytest.raises(asyncio.CancelledError, match="no longer needed"):
            deliveries[0].result()

    @staticmethod
    @on_both_loops
    async def test_cancelling_a_task_that_awaits_it_cancels_it() -> None:
        _, deliveries = batch()
        task = asyncio.ensure_future(_wait_for(deliveries[0]))
        await asyncio.sleep(0)
        task.cancel("bye")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert deliveries[0].cancelled()

    @staticmethod
    @on_both_loops
    async def test_what_comes_later_changes_nothing() -> None:
        fate, deliveries = batch()
        deliveries[0].cancel()
        fate.deliver(0)
        assert deliveries[0].cancelled()
        assert deliveries[0].done()
        with pytest.raises(asyncio.CancelledError):
            deliveries[0].result()
        with pytest.raises(asyncio.CancelledError):
            deliveries[0].exception()

    @staticmethod
    @on_both_loops
    async def test_it_withdraws_a_record_that_waits_outside_any_batch() -> None:
        fate, (delivery,) = batch(1)
        withdrawn: list[object] = []
        fate.withdraw = withdrawn.append
        delivery.cancel()
        assert withdrawn == [None]


class TestStates:
    """pending, then acknowledged, failed or cancelled; the same answers as asyncio's futures."""

    @staticmethod
    @on_both_loops
    async def test_pending() -> None:
        _, deliveries = batch()
        delivery = deliveries[0]
        assert not delivery.done()
        assert not delivery.cancelled()
        for ask in (delivery.result, delivery.exception):
            with pytest.raises(asyncio.InvalidStateError):
                ask()

    @staticmethod
    @on_both_loops
    async def test_acknowledged() -> None:
        fate, deliveries = batch()
        fate.deliver(3)
        assert deliveries[1].done()
        assert deliveries[1].exception() is None
        assert deliveries[1].result().offset == 4

    @staticmethod
    @on_both_loops
    async def test_failed() -> None:
        fate, deliveries = batch()
        fate.fail(error())
        assert deliveries[0].done()
        assert isinstance(deliveries[0].exception(), NotLeaderOrFollowerError)
        with pytest.raises(NotLeaderOrFollowerError):
            deliveries[0].result()

    @staticmethod
    @on_both_loops
    async def test_a_fate_is_settled_once() -> None:
        fate, deliveries = batch()
        fate.deliver(0)
        for settle in (
            lambda: fate.deliver(1),
            lambda: fate.fail(error()),
            lambda: fate.divide([]),
        ):
            with pytest.raises(AssertionError, match="settled already"):
                settle()
        assert deliveries[0].result().offset == 0

    @staticmethod
    @on_both_loops
    async def test_topic_and_partition() -> None:
        _, (known,) = batch(1)
        _, (unknown,) = batch(1, partition=None)
        assert (known.topic, known.partition) == ("orders", 1)
        assert unknown.partition is None

    @staticmethod
    @on_both_loops
    async def test_repr_tells_the_state() -> None:
        fate, deliveries = batch()
        assert repr(deliveries[0]) == "<Delivery orders-1 pending>"
        deliveries[2].cancel()
        assert repr(deliveries[2]) == "<Delivery orders-1 cancelled>"
        fate.deliver(40)
        assert repr(deliveries[1]) == "<Delivery orders-1 offset 41>"
        failed, (other,) = batch(1, partition=None)
        failed.fail(error())
        assert repr(other).startswith("<Delivery orders failed: NotLeaderOrFollowerError(")
        other.exception()

    @staticmethod
    @on_both_loops
    async def test_asking_for_its_repr_is_not_looking_at_the_failure() -> None:
        reports = Reports()
        fate, deliveries = batch()
        fate.fail(error())
        repr(deliveries[0])
        del deliveries, fate
        assert len(reports.messages) == 1

    @staticmethod
    @on_both_loops
    async def test_deliveries_hash_by_identity() -> None:
        _, deliveries = batch()
        assert len(set(deliveries)) == 3


class TestMetadata:
    """What is known of a record: the broker's word where it has one."""

    @staticmethod
    @on_both_loops
    async def test_an_unknown_offset_stays_unknown_for_every_record() -> None:
        fate, deliveries = batch()
        fate.deliver(-1)
        assert [delivery.result().offset for delivery in deliveries] == [-1, -1, -1]
        assert not deliveries[2].result().has_offset
        assert "offset -1" in repr(deliveries[2])

    @staticmethod
    @on_both_loops
    async def test_log_append_time_replaces_every_timestamp() -> None:
        fate, deliveries = batch()
        fate.deliver(0, 5_000)
        assert [delivery.result().timestamp_ms for delivery in deliveries] == [5_000] * 3

    @staticmethod
    @on_both_loops
    async def test_otherwise_each_keeps_its_own() -> None:
        fate, deliveries = batch()
        fate.deliver(0)
        assert [delivery.result().timestamp_ms for delivery in deliveries] == [1000, 1001, 1002]


class TestErrors:
    """One instance for each future, with one shared cause."""

    @staticmethod
    @on_both_loops
    async def test_each_delivery_has_its_own_instance() -> None:
        fate, deliveries = batch()
        cause = ClusterConnectionError("gone")
        failure = DeliveryTimeoutError("late", topic="orders", partition=1, persisted="maybe")
        failure.__cause__ = cause
        fate.fail(failure)
        errors = [delivery.exception() for delivery in deliveries]
        assert len({id(each) for each in errors}) == 3
        assert all(each is not None and each.__cause__ is cause for each in errors)
        assert {str(each) for each in errors} == {str(failure)}
        assert {each.persisted for each in errors if each} == {"maybe"}

    @staticmethod
    @on_both_loops
    async def test_the_same_delivery_always_gives_the_same_instance() -> None:
        fate, deliveries = batch()
        fate.fail(error())
        assert deliveries[0].exception() is deliveries[0].exception()

    @staticmethod
    @on_both_loops
    async def test_tracebacks_do_not_grow_with_each_raise() -> None:
        """asyncio's futures do not let them grow either."""
        fate, deliveries = batch()
        fate.fail(error())
        lengths = set()
        for _ in range(5):
            try:
                deliveries[0].result()
            except ProducerError as caught:
                lengths.add(len(traceback.extract_tb(caught.__traceback__)))
        assert len(lengths) == 1


class TestFailuresNobodyLookedAt:
    """One report for each batch, when its last Delivery is gone; none if somebody looked."""

    @staticmethod
    @on_both_loops
    async def test_one_report_for_a_whole_batch() -> None:
        reports = Reports()
        fate, deliveries = batch(100)
        fate.fail(error())
        del fate
        assert reports.messages == []
        del deliveries
        assert reports.messages == ["100 record(s) for orders-1 failed and nobody looked at it"]
        assert isinstance(reports.contexts[0]["exception"], NotLeaderOrFollowerError)

    @staticmethod
    @on_both_loops
    async def test_those_that_were_looked_at_do_not_count() -> None:
        reports = Reports()
        fate, deliveries = batch(3)
        fate.fail(error())
        deliveries[0].exception()
        with pytest.raises(ProducerError):
            await deliveries[1]
        del fate, deliveries
        assert reports.messages == ["1 record(s) for orders-1 failed and nobody looked at it"]

    @staticmethod
    @on_both_loops
    async def test_no_report_when_all_were_looked_at() -> None:
        reports = Reports()
        fate, deliveries = batch(3)
        gathering = asyncio.gather(*deliveries, return_exceptions=True)
        fate.fail(error())
        await gathering
        del fate, deliveries, gathering
        assert reports.messages == []

    @staticmethod
    @on_both_loops
    async def test_looking_twice_counts_once() -> None:
        reports = Reports()
        fate, deliveries = batch(2)
        fate.fail(error())
        deliveries[0].exception()
        deliveries[0].exception()
        del fate, deliveries
        assert reports.messages == ["1 record(s) for orders-1 failed and nobody looked at it"]

    @staticmethod
    @on_both_loops
    async def test_no_report_of_what_was_acknowledged_or_is_open() -> None:
        reports = Reports()
        fate, deliveries = batch()
        pending, others = batch()
        fate.deliver(0)
        del fate, deliveries, pending, others
        assert reports.messages == []

    @staticmethod
    @on_both_loops
    async def test_no_report_of_a_batch_that_is_quiet() -> None:
        reports = Reports()
        fate, deliveries = batch()
        fate.quiet = True
        fate.fail(error())
        del fate, deliveries
        assert reports.messages == []

    @staticmethod
    def test_no_report_after_the_loop_has_gone(capsys: pytest.CaptureFixture[str]) -> None:
        async def leave() -> list[Delivery]:
            fate, deliveries = batch()
            fate.fail(error())
            return deliveries

        deliveries = asyncio.run(leave())
        del deliveries
        gc.collect()
        assert capsys.readouterr().err == ""

    @staticmethod
    @on_both_loops
    async def test_a_divided_batch_reports_what_its_parts_failed_with() -> None:
        reports = Reports()
        fate, deliveries = batch(4)
        parts = [Fate(fate.loop, "orders", 1, 2) for _ in range(2)]
        fate.divide([(0, parts[0], 0), (2, parts[1], 0)])
        parts[0].deliver(0)
        parts[1].fail(error())
        assert deliveries[2].exception() is not None
        del fate, parts, deliveries
        assert reports.messages == ["1 record(s) for orders-1 failed and nobody looked at it"]


class TestDividing:
    """A split batch hands its records on; their Deliveries follow."""

    @staticmethod
    @on_both_loops
    async def test_deliveries_follow_to_their_part() -> None:
        fate, deliveries = batch(5)
        parts = [Fate(fate.loop, "orders", 1, count) for count in (2, 2, 1)]
        fate.divide([(0, parts[0], 0), (2, parts[1], 0), (4, parts[2], 0)])
        parts[0].deliver(10)
        parts[2].deliver(30)
        assert [d.done() for d in deliveries] == [True, True, False, False, True]
        parts[1].deliver(20)
        assert [d.result().offset for d in deliveries] == [10, 11, 20, 21, 30]

    @staticmethod
    @on_both_loops
    async def test_those_who_wait_already_are_woken_by_the_part() -> None:
        fate, deliveries = batch(2)
        waiting = asyncio.gather(*deliveries)
        await asyncio.sleep(0)
        parts = [Fate(fate.loop, "orders", 1, 1) for _ in range(2)]
        fate.divide([(0, parts[0], 0), (1, parts[1], 0)])
        parts[0].deliver(1)
        parts[1].deliver(9)
        assert [metadata.offset for metadata in await waiting] == [1, 9]

    @staticmethod
    @on_both_loops
    async def test_a_part_may_be_divided_again() -> None:
        fate, deliveries = batch(4)
        waiting = asyncio.gather(*deliveries)
        halves = [Fate(fate.loop, "orders", 1, 2) for _ in range(2)]
        fate.divide([(0, halves[0], 0), (2, halves[1], 0)])
        quarters = [Fate(fate.loop, "orders", 1, 1) for _ in range(2)]
        halves[1].divide([(0, quarters[0], 0), (1, quarters[1], 0)])
        halves[0].deliver(0)
        quarters[1].deliver(7)
        quarters[0].deliver(6)
        assert [metadata.offset for metadata in await waiting] == [0, 1, 6, 7]

    @staticmethod
    @on_both_loops
    async def test_survivors_keep_their_places_when_some_records_fail_alone() -> None:
        """Index 1 of three fails; 0 and 2 become 0 and 1 of the batch that is sent again."""
        fate, deliveries = batch(3)
        waiting = asyncio.gather(*deliveries, return_exceptions=True)
        survivors = Fate(fate.loop, "orders", 1, 2)
        alone = Fate(fate.loop, "orders", 1, 1)
        fate.divide([(0, survivors, 0), (1, alone, 0), (2, survivors, 1)])
        alone.fail(error())
        survivors.deliver(50)
        first, second, third = await waiting
        assert (first.offset, third.offset) == (50, 51)
        assert isinstance(second, NotLeaderOrFollowerError)

    @staticmethod
    @on_both_loops
    async def test_a_part_that_is_settled_already_wakes_at_once() -> None:
        fate, deliveries = batch(1)
        waiting = asyncio.ensure_future(_wait_for(deliveries[0]))
        await asyncio.sleep(0)
        part = Fate(fate.loop, "orders", 1, 1)
        part.deliver(3)
        fate.divide([(0, part, 0)])
        assert (await waiting).offset == 3

    @staticmethod
    @on_both_loops
    async def test_a_cancelled_delivery_stays_cancelled() -> None:
        fate, deliveries = batch(1)
        called: list[object] = []
        deliveries[0].add_done_callback(called.append)
        deliveries[0].cancel()
        part = Fate(fate.loop, "orders", 1, 1)
        fate.divide([(0, part, 0)])
        part.deliver(0)
        await asyncio.sleep(0)
        assert deliveries[0].cancelled()
        assert len(called) == 1


class TestLeavingTheBatch:
    """A record's own deadline, and its way out of the waiting room."""

    @staticmethod
    @on_both_loops
    async def test_one_with_a_deadline_of_its_own_fails_alone() -> None:
        fate, deliveries = batch(2)
        waiting = asyncio.ensure_future(_wait_for(deliveries[0]))
        await asyncio.sleep(0)
        deliveries[0]._fail_alone(error(), quiet=False)
        fate.deliver(0)
        with pytest.raises(NotLeaderOrFollowerError):
            await waiting
        assert (await deliveries[1]).offset == 1

    @staticmethod
    @on_both_loops
    async def test_its_batch_s_failure_is_not_reported_for_it() -> None:
        reports = Reports()
        fate, (delivery,) = batch(1)
        delivery._fail_alone(error(), quiet=False)
        assert delivery.exception() is not None
        fate.fail(error())
        del fate, delivery
        assert reports.messages == []

    @staticmethod
    @on_both_loops
    async def test_a_quiet_one_is_not_reported() -> None:
        reports = Reports()
        fate, (delivery,) = batch(1)
        delivery._fail_alone(error(), quiet=True)
        fate.deliver(0)
        del fate, delivery
        assert reports.messages == []

    @staticmethod
    @on_both_loops
    async def test_attaching_takes_those_who_wait_along() -> None:
        _, (delivery,) = batch(1, partition=None)
        waiting = asyncio.ensure_future(_wait_for(delivery))
        await asyncio.sleep(0)
        fate, _ = batch(10)
        delivery._attach(fate, 9)
        assert delivery.partition == 1
        fate.deliver(100)
        assert (await waiting).offset == 109

    @staticmethod
    @on_both_loops
    async def test_attaching_to_a_settled_batch_wakes_at_once() -> None:
        _, (delivery,) = batch(1, partition=None)
        waiting = asyncio.ensure_future(_wait_for(delivery))
        await asyncio.sleep(0)
        fate, _ = batch(1)
        fate.deliver(4)
        delivery._attach(fate, 0)
        assert (await waiting).offset == 4


class TestLateResults:
    """Whoever gave up waiting can still be told, by way of the Fate."""

    @staticmethod
    @on_both_loops
    async def test_the_fate_tells_of_those_that_were_cancelled() -> None:
        fate, deliveries = batch(3)
        late: list[list[Delivery]] = []
        fate.on_late = late.append
        deliveries[1].cancel()
        assert not late
        fate.deliver(0)
        assert late == [[deliveries[1]]]

    @staticmethod
    @on_both_loops
    async def test_a_twin_tells_of_one_that_had_its_own_deadline() -> None:
        fate, deliveries = batch(3)
        late: list[list[Delivery]] = []
        fate.on_late = late.append
        deliveries[2]._fail_alone(error(), quiet=False)
        fate.deliver(10)
        assert [[twin.result().offset for twin in group] for group in late] == [[12]]
        assert isinstance(deliveries[2].exception(), NotLeaderOrFollowerError)

    @staticmethod
    @on_both_loops
    async def test_it_follows_a_batch_that_is_divided() -> None:
        fate, deliveries = batch(2)
        parts = [Fate(fate.loop, "orders", 1, 1) for _ in range(2)]
        late: list[list[Delivery]] = []
        for part in parts:
            part.on_late = late.append
        deliveries[1].cancel()
        fate.divide([(0, parts[0], 0), (1, parts[1], 0)])
        parts[0].deliver(0)
        assert not late
        parts[1].deliver(1)
        assert late == [[deliveries[1]]]

    @staticmethod
    @on_both_loops
    async def test_nobody_is_told_of_a_record_that_was_withdrawn() -> None:
        fate, (delivery,) = batch(1)
        fate.withdraw = lambda _: None
        delivery.cancel()
        assert fate.abandoned is None


class TestWatching:
    """For those who stand between the producer and its user."""

    @staticmethod
    @on_both_loops
    async def test_a_failure_can_be_seen_without_having_been_looked_at() -> None:
        reports = Reports()
        fate, deliveries = batch(2)
        assert deliveries[0].failure is None
        fate.fail(error())
        assert deliveries[0].failure is deliveries[1].failure is fate.error
        del fate, deliveries
        assert reports.messages == ["2 record(s) for orders-1 failed and nobody looked at it"]

    @staticmethod
    @on_both_loops
    async def test_the_failure_of_a_wait_given_up_is_the_record_s() -> None:
        fate, deliveries = batch(1)
        deliveries[0].cancel()
        assert deliveries[0].failure is None
        fate.quiet = True
        fate.fail(error())
        assert isinstance(deliveries[0].failure, NotLeaderOrFollowerError)

    @staticmethod
    @on_both_loops
    async def test_records_of_one_batch_can_be_told_from_others_while_it_is_under_way() -> None:
        (fate, deliveries), (_, others) = batch(2), batch(1)
        assert deliveries[0].batch == deliveries[1].batch != others[0].batch
        assert hash(deliveries[0].batch) == hash(deliveries[1].batch)
        deliveries[1].cancel()
        assert deliveries[1].batch is None
        fate.withdraw = lambda error: None
        assert deliveries[0].batch is None
        fate.withdraw = None
        fate.deliver(0)
        assert deliveries[0].batch is None

    @staticmethod
    @on_both_loops
    async def test_a_twin_is_told_the_outcome_whoever_is_cancelled() -> None:
        fate, (delivery,) = batch(1)
        twin = delivery.twin()
        told: list[Any] = []
        twin.add_done_callback(told.append)
        delivery.cancel()
        assert not twin.done()
        fate.deliver(7)
        await asyncio.sleep(0)
        assert told == [twin]
        assert twin.result().offset == 7

    @staticmethod
    @on_both_loops
    async def test_only_a_record_that_waits_is_withdrawn() -> None:
        fate, deliveries = batch(1)
        assert not deliveries[0].withdraw()
        assert not deliveries[0].cancelled()
        withdrawn: list[object] = []
        fate.withdraw = withdrawn.append
        assert deliveries[0].withdraw()
        assert deliveries[0].cancelled()
        assert withdrawn == [None]
        assert not deliveries[0].withdraw()

    @staticmethod
    @on_both_loops
    async def test_one_that_was_refused_has_failed_already_and_is_never_reported() -> None:
        reports = Reports()
        refused = Delivery.refused("orders", error(), partition=1)
        assert refused.done()
        assert (refused.topic, refused.partition) == ("orders", 1)
        with pytest.raises(NotLeaderOrFollowerError):
            await refused
        Delivery.refused("orders", error())
        assert reports.messages == []
