"""What cancelling does: each sentence of a docstring that says so has its test.

Whoever adds a public coroutine adds its sentences and their tests to ``SENTENCES``.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import aioproducer
from aioproducer import AsyncProducer, Delivery, LifeState, Record, TopicPartition
from aioproducer.runtime.failure_feed import FailureReader
from tests.broker_wire import Request
from tests.fake_broker import Conduct, FakeBroker, FakeCluster
from tests.fake_log import Verb
from tests.named_tests import is_a_test
from tests.test_closing import run

_UNIT = "tests/test_producer_unit.py::"
_CLOSING = "tests/test_closing.py::"
_HERE = "tests/test_cancellation.py::"
_FEED = "tests/runtime/test_failure_feed.py::"
_DELIVERY = "tests/test_delivery.py::"

_A_STEP = _HERE + "TestTransactions::test_a_step_goes_on_without_its_caller"
_THE_STEP_GOES_ON = {"Cancelling abandons the wait only.": [_A_STEP]}
_HANDED_ON = "tests/test_transaction.py::test_everything_is_handed_to_the_producer"

SENTENCES: dict[str, dict[str, list[str]]] = {
    "AsyncProducer.__aenter__": {
        "to be cancelled like it": [_HERE + "test_starting_waits_for_nothing"],
    },
    "AsyncProducer.__aexit__": {
        "Cancelling is put off until then: the producer is closed when the block is left.": [
            _CLOSING + "TestContext::test_an_exit_that_is_cancelled_once_is_gone_through_with",
        ],
        "If the block itself was left by a cancellation that is the first one, and the next"
        " forces.": [
            _CLOSING + "TestContext::test_a_cancelled_block_drains",
            _CLOSING + "TestContext::test_cancelled_again_it_forces",
            _CLOSING + "TestContext::test_an_exit_that_is_cancelled_twice_forces",
        ],
    },
    "AsyncProducer.start": {
        "there is nothing to cancel.": [_HERE + "test_starting_waits_for_nothing"],
        "If that fails or is cancelled, the producer is closed before the error is raised.": [
            _HERE + "TestTransactions::test_a_start_that_is_cancelled_leaves_a_closed_producer",
        ],
    },
    "AsyncProducer.close": {
        "Cancelling abandons the wait: the producer goes on closing within its timeout.": [
            _CLOSING + "TestClose::test_the_first_cancellation_abandons_the_wait_only",
        ],
        "A second cancellation, of this or another call, forces.": [
            _CLOSING + "TestClose::test_the_second_cancellation_forces",
        ],
    },
    "AsyncProducer.send_and_wait": {
        "Cancelling withdraws the record while it waits for room, else abandons the wait only.": [
            _UNIT + "TestCancelling::test_send_and_wait_in_a_batch_is_delivered_all_the_same",
            _UNIT + "TestCancelling::test_send_and_wait_in_the_waiting_room_withdraws_the_record",
        ],
    },
    "AsyncProducer.send_many": {
        "Cancelling withdraws the records that still wait for room; the others are delivered.": [
            _UNIT + "TestSendMany::test_cancelling_withdraws_what_still_waits",
        ],
    },
    "AsyncProducer.serialize": {
        "cancelling cancels them.": [
            _UNIT + "TestForWrappers::test_cancelling_a_serialization_cancels_the_serializers",
        ],
    },
    "AsyncProducer.drain": {
        "Cancelling abandons the wait only.": [
            _UNIT + "TestCancelling::test_drain_abandons_the_wait_only",
        ],
    },
    "AsyncProducer.flush": {
        "Cancelling abandons the wait only.": [
            "tests/runtime/test_engine.py::TestFlush::test_cancelling_it_abandons_the_wait_only",
        ],
    },
    "AsyncProducer.client_instance_id": {
        "Cancelling abandons the wait only.": [
            "tests/runtime/test_telemetry.py::"
            "TestProducer::test_a_cluster_that_is_away_gives_no_id_in_time",
        ],
    },
    "AsyncProducer.partitions_for": {
        "Cancelling abandons the wait only.": [
            "tests/runtime/test_cluster.py::test_partitions_for_has_a_limit_and_can_be_cancelled",
        ],
    },
    "AsyncProducer.warm_up": {
        "Cancelling abandons the wait only.": [_HERE + "test_a_cancelled_warm_up_leaves_no_trace"],
    },
    "AsyncProducer.failures": {
        "Cancelling a wait for the next one loses none.": [
            _FEED + "TestFailures::test_cancelling_the_wait_loses_no_failure",
        ],
    },
    "AsyncProducer.on_late_result": {
        "That is: a Delivery that was cancelled, or failed by ``send(timeout=)``, while its record"
        " was on its way.": [
            _FEED + "TestLateResults::test_a_cancelled_delivery_has_its_metadata_told",
            _FEED + "TestLateResults::test_a_late_failure_is_told_with_its_error",
        ],
    },
    "AsyncProducer.watch_metrics": {
        "Cancelling ends the watch alone.": [
            "tests/observe/test_metrics.py::TestWatching::test_cancelling_ends_the_watch_alone",
        ],
    },
    "AsyncProducer.init_transactions": _THE_STEP_GOES_ON,
    "AsyncProducer.commit_transaction": _THE_STEP_GOES_ON,
    "AsyncProducer.abort_transaction": {
        "Errors, timeout and cancelling are those of ``commit_transaction()``.": [_A_STEP],
    },
    "AsyncProducer.send_offsets_to_transaction": _THE_STEP_GOES_ON,
    "Transaction": {
        "when the body raises or is cancelled it aborts.": [
            "tests/test_transaction.py::test_a_body_that_raises_aborts_and_its_error_goes_on",
        ],
    },
    "Transaction.__aenter__": {
        "Cancelling gives the turn back.": [
            "tests/test_transaction.py::test_a_transaction_that_cannot_begin_gives_its_turn_back",
        ],
    },
    "Transaction.__aexit__": {
        "only a :exc:`FatalTransactionError` of the abort replaces it, unless it is a"
        " cancellation.": ["tests/test_transaction.py::test_a_cancellation_is_never_replaced"],
        "Cancelling abandons the wait: the step goes on, and the next transaction waits for it.": [
            "tests/test_transaction.py::test_cancelling_the_end_gives_the_turn_back",
            _HERE + "TestTransactions::test_the_next_transaction_waits_for_an_end_left_alone",
        ],
    },
    "Transaction.send_and_wait": {
        "Raises and is cancelled as :meth:`AsyncProducer.send_and_wait`.": [_HANDED_ON],
    },
    "Transaction.send_many": {
        "Cancelling withdraws the records that still wait for room.": [_HANDED_ON],
    },
    "Transaction.send_offsets": {
        "Arguments, errors and cancelling are those of"
        " :meth:`AsyncProducer.send_offsets_to_transaction`.": [_HANDED_ON],
    },
    "FailureReader.__anext__": {
        "Cancelling loses none.": [
            _FEED + "TestFailures::test_cancelling_the_wait_loses_no_failure",
        ],
    },
    "SignalDrain.wait": {
        "Cancelling abandons the wait only.": [
            "tests/test_signals.py::test_cancelling_a_wait_for_the_signal_abandons_it_only",
        ],
    },
    "Delivery": {
        "Cancelling it while the record still waits for its serializer, for room or for metadata"
        " withdraws the record: it is never sent.": [
            _HERE + "TestDelivery::test_in_the_waiting_room_the_record_is_withdrawn",
            "tests/runtime/test_serializing.py::TestCancelling"
            "::test_a_record_behind_its_serializer_is_withdrawn",
        ],
        "Later it abandons the wait only, and the record is delivered all the same; if that fails,"
        " the loop's exception handler is told as for any failure that nobody looked at.": [
            _HERE + "TestDelivery::test_in_a_batch_the_wait_alone_is_abandoned",
            _HERE + "TestDelivery::test_a_failure_after_that_is_told_to_the_loop",
        ],
        "All who wait for this Delivery get the cancellation.": [
            _DELIVERY
            + "TestCancelling::test_all_who_await_it_get_the_cancellation_and_its_message",
        ],
    },
}


def public_classes() -> list[type]:
    named = [getattr(aioproducer, name) for name in aioproducer.__all__]
    return [each for each in named if inspect.isclass(each)] + [FailureReader]


def public_coroutines() -> list[str]:
    found = []
    for each in public_classes():
        for name, method in vars(each).items():
            is_public = not name.startswith("_") or name in ("__aenter__", "__aexit__", "__anext__")
            if is_public and inspect.iscoroutinefunction(method):
                found.append(f"{each.__name__}.{name}")
    return found


def words_of(name: str) -> str:
    by_name = {each.__name__: each for each in public_classes()}
    owner, _, method = name.partition(".")
    target = getattr(by_name[owner], method) if method else by_name[owner]
    return re.sub(r"\s+", " ", inspect.getdoc(target) or "")


class TestTable:
    """The docstrings, the table and the tests agree."""

    @pytest.mark.parametrize("name", public_coroutines())
    def test_every_public_coroutine_says_what_cancelling_it_does(self, name: str) -> None:
        assert SENTENCES.get(name), f"{name}: say it in the docstring, test it, add it to SENTENCES"

    @pytest.mark.parametrize("name", sorted(SENTENCES))
    def test_every_sentence_is_in_the_docstring_and_none_is_missing(self, name: str) -> None:
        words = words_of(name)
        for sentence in SENTENCES[name]:
            assert sentence in words, f"{name} does not say: {sentence}"
        rest = words
        for sentence in SENTENCES[name]:
            rest = rest.replace(sentence, "")
        assert not re.search(r"[Cc]ancel", rest), f"{name} says more than SENTENCES: {rest}"

    @pytest.mark.parametrize("name", sorted(SENTENCES))
    def test_every_sentence_has_its_tests(self, name: str) -> None:
        for tests in SENTENCES[name].values():
            assert tests
            for test in tests:
                assert is_a_test(test), test

    def test_every_method_that_speaks_of_cancelling_is_in_the_table(self) -> None:
        for name, method in vars(AsyncProducer).items():
            if inspect.isfunction(method) and not name.startswith("_"):
                speaks = re.search(r"[Cc]ancel", words_of(f"AsyncProducer.{name}"))
                assert not speaks or f"AsyncProducer.{name}" in SENTENCES, name


# Every wait, cut short in each of asyncio's ways


class Frozen:
    """A cluster whose brokers take requests and answer none, until it is thawed."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(latency=lambda: 0.01)
        self.cluster.add_topic("orders")
        self.frozen = False
        self.cluster.chooser = self._choose

    def _choose(self, broker: FakeBroker, request: Request) -> Conduct | None:
        return Conduct(stall=True) if self.frozen else None

    @property
    def values(self) -> list[bytes | None]:
        return self.cluster.topics["orders"].partitions[0].values

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AsyncProducer[Any, Any]]:
        """Run a producer that has one record under way and one waiting; the end delivers both."""
        asyncio.get_running_loop().network = self.cluster  # type: ignore[attr-defined]
        options: dict[str, Any] = {"linger_ms": 0, "request_timeout_ms": 2000}
        producer: AsyncProducer[Any, Any] = AsyncProducer(
            self.cluster.bootstrap, buffer_memory=1500, **options
        )
        await producer.start()
        await producer.send("orders", b"first")
        self.frozen = True
        held = [producer.send("orders", b"." * 700) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert producer.metrics().waiting_records == 1
        yield producer
        self.frozen = False
        assert [m.offset for m in await asyncio.gather(*held)] == [1, 2]
        await producer.send("orders", b"last")
        await producer.close()
        await asyncio.sleep(5)
        assert self.values[-1] == b"last"
        assert asyncio.all_tasks() == {asyncio.current_task()}


Call = Callable[[AsyncProducer[Any, Any]], Awaitable[Any]]


async def _next_failure(producer: AsyncProducer[Any, Any]) -> Any:
    return await anext(producer.failures())


WAITS: dict[str, Call] = {
    "send": lambda producer: producer.send("orders", b"x"),
    "send_and_wait": lambda producer: producer.send_and_wait("orders", b"x"),
    "send_many": lambda producer: producer.send_many([Record("orders", b"x")] * 3),
    "drain": lambda producer: producer.drain(),
    "flush": lambda producer: producer.flush(),
    "partitions_for": lambda producer: producer.partitions_for("unknown"),
    "warm_up": lambda producer: producer.warm_up(["orders", "unknown"]),
    "failures": _next_failure,
}
EVERY_WAIT = pytest.mark.parametrize("wait", WAITS.values(), ids=list(WAITS))


async def awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@EVERY_WAIT
def test_wait_for_ends_in_time_and_harms_nothing(wait: Call) -> None:
    async def main() -> None:
        async with Frozen().producer() as producer:
            started = asyncio.get_running_loop().time()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(producer), 0.5)
            assert asyncio.get_running_loop().time() - started == pytest.approx(0.5)

    run(main())


@EVERY_WAIT
def test_a_task_group_that_fails_harms_nothing(wait: Call) -> None:
    async def main() -> None:
        async with Frozen().producer() as producer:

            async def fall_over() -> None:
                await asyncio.sleep(0.5)
                raise ZeroDivisionError

            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    waiting = group.create_task(awaiting(wait(producer)))
                    group.create_task(fall_over())
            assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
            assert waiting.cancelled()

    run(main())


@EVERY_WAIT
def test_a_gather_that_is_cancelled_harms_nothing(wait: Call) -> None:
    async def main() -> None:
        async with Frozen().producer() as producer:
            gathered = asyncio.gather(wait(producer), wait(producer))
            await asyncio.sleep(0.5)
            gathered.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gathered

    run(main())


@EVERY_WAIT
def test_the_end_of_the_loop_leaves_nothing_and_says_what_is_lost(
    wait: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio.run() cancels whatever is left; the producer's own tasks end in good order."""
    producers: list[AsyncProducer[Any, Any]] = []

    async def main() -> None:
        async with Frozen().producer() as producer:
            producers.append(producer)
            keep.append(asyncio.create_task(awaiting(wait(producer))))
            keep.append(asyncio.create_task(awaiting(producer.close())))
            await asyncio.sleep(0.1)
            raise ZeroDivisionError

    keep: list[asyncio.Task[Any]] = []
    with pytest.raises(ZeroDivisionError):
        run(main())
    assert all(task.done() for task in keep)
    assert producers[0].state is LifeState.CLOSED
    assert "records undelivered" in caplog.text


def test_starting_waits_for_nothing() -> None:
    """Not even one turn of the loop, also when there is no cluster."""

    async def main() -> None:
        asyncio.get_running_loop().network = FakeCluster()  # type: ignore[attr-defined]
        for begin in ("start", "__aenter__"):
            producer: AsyncProducer[Any, Any] = AsyncProducer("nowhere:9092")
            work: Coroutine[Any, Any, Any] = getattr(producer, begin)()
            with pytest.raises(StopIteration):
                work.send(None)
            await producer.close()

    run(main())


@pytest.mark.parametrize("when", [0.005, 0.02, 0.05])
def test_a_cancelled_warm_up_leaves_no_trace(when: float) -> None:
    """Neither while it asks nor while it connects to the leaders."""

    async def main() -> None:
        cluster = FakeCluster(3, latency=lambda: 0.01)
        cluster.add_topic("orders", 3)
        asyncio.get_running_loop().network = cluster  # type: ignore[attr-defined]
        for node in (2, 3):
            cluster.brokers[node].when_down = "hang"
            cluster.brokers[node].stop()
        async with AsyncProducer("broker-1:9092") as producer:
            warming = asyncio.create_task(producer.warm_up(["orders"]))
            await asyncio.sleep(when)
            assert not warming.done()
            warming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await warming
            await asyncio.sleep(0)
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert not [name for name in names if ":ready-" in name and when > 0.02]
            for node in (2, 3):
                cluster.brokers[node].start()
            await producer.warm_up(["orders"])
            for partition in range(3):
                await producer.send("orders", b"v", partition=partition)
        await asyncio.sleep(5)

    run(main())


class TestDelivery:
    """Before its batch and after."""

    def test_in_the_waiting_room_the_record_is_withdrawn(self) -> None:
        async def main() -> None:
            world = Frozen()
            async with world.producer() as producer:
                for reason in ("orders", "unknown"):  # for room, for metadata
                    delivery = producer.send(reason, b"withdrawn")
                    assert delivery.cancel()
                    assert delivery.cancelled()
                world.cluster.add_topic("unknown")
            assert b"withdrawn" not in world.values
            assert world.cluster.topics["unknown"].partitions[0].values == []

        run(main())

    def _in_a_batch(self, code: int) -> tuple[FakeCluster, list[dict[str, Any]]]:
        cluster = FakeCluster(latency=lambda: 0.01)
        topic = cluster.add_topic("orders")
        reports: list[dict[str, Any]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.network = cluster  # type: ignore[attr-defined]
            async with AsyncProducer(cluster.bootstrap, linger_ms=1000) as producer:
                await producer.warm_up(["orders"])
                loop.set_exception_handler(lambda _, context: reports.append(context))
                if code:
                    topic.partitions[0].script.append(Verb(code))
                delivery: Delivery = producer.send("orders", b"v")
                await asyncio.sleep(0.1)
                delivery.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await delivery
                del delivery
                await producer.flush()
                # An idle partition lets go of its last batch.
                await asyncio.sleep(1)
            await asyncio.sleep(1)

        run(main())
        return cluster, reports

    def test_in_a_batch_the_wait_alone_is_abandoned(self) -> None:
        cluster, reports = self._in_a_batch(0)
        assert cluster.topics["orders"].partitions[0].values == [b"v"]
        assert reports == []

    def test_a_failure_after_that_is_told_to_the_loop(self) -> None:
        cluster, reports = self._in_a_batch(29)
        assert cluster.topics["orders"].partitions[0].values == []
        (report,) = reports
        assert "1 record(s) for orders-0 failed and nobody looked at it" in report["message"]


class TestTransactions:
    """Steps belong to the producer; callers only wait for them."""

    @asynccontextmanager
    async def _producer(self, world: Frozen, **start: Any) -> AsyncIterator[Any]:
        asyncio.get_running_loop().network = world.cluster  # type: ignore[attr-defined]
        producer: AsyncProducer[Any, Any] = AsyncProducer(
            world.cluster.bootstrap,
            transactional_id="me",
            linger_ms=0,
            request_timeout_ms=2000,
        )
        await producer.start(**start)
        yield producer
        await producer.close()
        await asyncio.sleep(60)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @pytest.mark.parametrize("step", ["init", "commit", "abort", "offsets"])
    def test_a_step_goes_on_without_its_caller(self, step: str) -> None:
        async def main() -> None:
            world = Frozen()
            async with self._producer(world, initialize=step != "init") as producer:
                if step != "init":
                    producer.begin_transaction()
                    await producer.send("orders", b"v")
                offsets = {TopicPartition("orders", 0): 5}
                calls: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
                    "init": producer.init_transactions,
                    "commit": producer.commit_transaction,
                    "abort": producer.abort_transaction,
                    "offsets": lambda: producer.send_offsets_to_transaction(offsets, "group"),
                }
                world.frozen = True
                waiting = asyncio.create_task(calls[step]())
                await asyncio.sleep(0.5)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                world.frozen = False
                await calls[step]()
                if step == "offsets":
                    await producer.commit_transaction()
                producer.begin_transaction()
                await producer.send("orders", b"next")
                await producer.commit_transaction()

        run(main())

    def test_the_next_transaction_waits_for_an_end_left_alone(self) -> None:
        async def main() -> None:
            world = Frozen()
            async with self._producer(world) as producer:

                async def one() -> None:
                    async with producer.transaction() as transaction:
                        await transaction.send("orders", b"first")
                        world.frozen = True

                leaving = asyncio.create_task(one())
                await asyncio.sleep(0.5)
                leaving.cancel()
                await asyncio.wait([leaving])
                assert leaving.cancelled()
                world.frozen = False
                async with producer.transaction() as transaction:
                    await transaction.send("orders", b"second")

        run(main())

    def test_a_start_that_is_cancelled_leaves_a_closed_producer(self) -> None:
        async def main() -> None:
            world = Frozen()
            world.frozen = True
            asyncio.get_running_loop().network = world.cluster  # type: ignore[attr-defined]
            producer: AsyncProducer[Any, Any] = AsyncProducer(
                world.cluster.bootstrap, transactional_id="me"
            )
            starting = asyncio.create_task(producer.start())
            await asyncio.sleep(0.5)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert producer.state is LifeState.CLOSED
            await asyncio.sleep(60)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        run(main())
