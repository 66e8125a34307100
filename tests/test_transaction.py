"""`async with producer.transaction()`: what leaving it does, in every way it can be left."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from aioproducer import AsyncProducer, Transaction
from aioproducer.errors import (
    FatalTransactionError,
    ProducerError,
    ProducerFencedError,
    TransactionStateError,
    TransactionTimeoutError,
)
from aioproducer.transaction import TransactionTurn


class Producer:
    """Says what it was called for; each step fails as the test wants."""

    def __init__(self, **failures: BaseException) -> None:
        self.log: list[str] = []
        self.failures = failures
        self.hold: dict[str, asyncio.Event] = {}

    async def _step(self, name: str) -> None:
        self.log.append(name)
        if name in self.hold:
            await self.hold[name].wait()
        if name in self.failures:
            raise self.failures[name]

    async def _settle_transaction(self, timeout: float) -> None:
        await self._step("settle")

    def begin_transaction(self) -> None:
        self.log.append("begin")
        if "begin" in self.failures:
            raise self.failures["begin"]

    async def commit_transaction(self, timeout: float) -> None:
        await self._step("commit")

    async def abort_transaction(self, timeout: float) -> None:
        await self._step("abort")

    def send(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return ("send", args, kwargs)

    def try_send(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return ("try_send", args, kwargs)

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return ("send_and_wait", args, kwargs)

    async def send_many(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return ("send_many", args, kwargs)

    async def send_offsets_to_transaction(self, *args: Any, **kwargs: Any) -> None:
        self.log.append(f"offsets {args} {kwargs}")


def transaction_of(
    producer: Producer, turn: TransactionTurn | None = None, timeout: float = 5.0
) -> Transaction[Any, Any]:
    return Transaction(cast(AsyncProducer[Any, Any], producer), turn or TransactionTurn(), timeout)


async def test_leaving_commits() -> None:
    producer = Producer()
    async with transaction_of(producer):
        assert producer.log == ["settle", "begin"]
    assert producer.log == ["settle", "begin", "commit"]


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_a_body_that_raises_aborts_and_its_error_goes_on(error: BaseException) -> None:
    producer = Producer()
    with pytest.raises(type(error)) as caught:
        async with transaction_of(producer):
            raise error
    assert caught.value is error
    assert producer.log == ["settle", "begin", "abort"]


async def test_an_abortable_commit_aborts_and_raises_the_first_cause() -> None:
    cause = ProducerError("too large")
    producer = Producer(commit=cause)
    with pytest.raises(ProducerError) as caught:
        async with transaction_of(producer):
            pass
    assert caught.value is cause
    assert producer.log == ["settle", "begin", "commit", "abort"]


@pytest.mark.parametrize(
    "error",
    [FatalTransactionError("over"), TransactionTimeoutError("late"), TransactionStateError("odd")],
)
async def test_a_commit_that_is_final_or_still_under_way_is_not_aborted(
    error: ProducerError,
) -> None:
    producer = Producer(commit=error)
    with pytest.raises(type(error)):
        async with transaction_of(producer):
            pass
    assert producer.log == ["settle", "begin", "commit"]


async def test_a_fatal_abort_replaces_the_bodys_error_and_keeps_it_as_cause() -> None:
    """Or who catches the body's error would go on with a producer that is over."""
    body = KeyError("x")
    with pytest.raises(ProducerFencedError) as caught:
        async with transaction_of(Producer(abort=ProducerFencedError("took over"))):
            raise body
    assert caught.value.__cause__ is body


@pytest.mark.parametrize("fatal", [True, False])
async def test_a_cancellation_is_never_replaced(fatal: bool) -> None:
    failure = FatalTransactionError("over") if fatal else TransactionTimeoutError("late")
    with pytest.raises(asyncio.CancelledError) as caught:
        async with transaction_of(Producer(abort=failure)):
            raise asyncio.CancelledError
    assert any("could not be aborted" in note for note in caught.value.__notes__)


async def test_an_abort_out_of_time_is_noted_on_the_bodys_error() -> None:
    with pytest.raises(KeyError) as caught:
        async with transaction_of(Producer(abort=TransactionTimeoutError("late"))):
            raise KeyError("x")
    assert any("late" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("step", ["settle", "begin"])
async def test_a_transaction_that_cannot_begin_gives_its_turn_back(step: str) -> None:
    turn = TransactionTurn()
    with pytest.raises(ProducerError):
        async with transaction_of(Producer(**{step: ProducerError("no")}), turn):
            pytest.fail("must not be entered")
    async with transaction_of(Producer(), turn):
        pass


@pytest.mark.parametrize("step", ["commit", "abort"])
async def test_cancelling_the_end_gives_the_turn_back(step: str) -> None:
    turn, producer = TransactionTurn(), Producer()
    producer.hold[step] = asyncio.Event()

    async def work() -> None:
        async with transaction_of(producer, turn):
            if step == "abort":
                raise KeyError("x")

    task = asyncio.create_task(work())
    while step not in producer.log:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with transaction_of(Producer(), turn):
        pass


# Turns


async def test_transactions_of_several_tasks_take_turns_in_order() -> None:
    turn = TransactionTurn()
    order: list[int] = []

    async def work(number: int) -> None:
        async with transaction_of(Producer(), turn):
            order.append(number)
            await asyncio.sleep(0)
            assert order[-1] == number

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10))


async def test_transactions_do_not_nest_in_one_task() -> None:
    turn = TransactionTurn()
    outer = Producer()
    async with transaction_of(outer, turn):
        with pytest.raises(TransactionStateError, match="do not nest"):
            async with transaction_of(Producer(), turn):
                pytest.fail("must not be entered")
    assert outer.log[-1] == "commit"


async def test_waiting_for_a_turn_is_bounded() -> None:
    turn = TransactionTurn()
    release = asyncio.Event()

    async def hold() -> None:
        async with transaction_of(Producer(), turn):
            await release.wait()

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    with pytest.raises(TransactionTimeoutError, match="still open after 0 s") as caught:
        async with transaction_of(Producer(), turn, timeout=0):
            pytest.fail("must not be entered")
    assert caught.value.persisted == "no"
    release.set()
    await holder


# What belongs to it


async def test_everything_is_handed_to_the_producer() -> None:
    producer = Producer()
    more = {"key": b"k", "partition": 1, "timestamp_ms": 2, "headers": [("h", b"")]}
    async with transaction_of(producer) as tx:
        sent: Any = tx.send("t", b"v", **more, timeout=3.0)
        assert sent == ("send", ("t", b"v"), {**more, "timeout": 3.0})
        tried: Any = tx.try_send("t", b"v", **more)
        assert tried == ("try_send", ("t", b"v"), more)
        waited: Any = await tx.send_and_wait("t", b"v", **more, timeout=3.0)
        assert waited == ("send_and_wait", ("t", b"v"), {**more, "timeout": 3.0})
        many: Any = await tx.send_many([], timeout=3.0)
        assert many == ("send_many", ([],), {"timeout": 3.0})
        await tx.send_offsets({("t", 0): 1}, "g")
    assert "offsets ({('t', 0): 1}, 'g') {'timeout': 5.0}" in producer.log


async def test_nothing_belongs_to_a_transaction_that_is_not_open() -> None:
    tx = transaction_of(Producer())

    async def every_call_is_refused() -> None:
        for call in (tx.send, tx.try_send):
            with pytest.raises(TransactionStateError, match="not open"):
                call("t")
        for wait in (tx.send_and_wait("t"), tx.send_many([]), tx.send_offsets({}, "g")):
            with pytest.raises(TransactionStateError, match="not open"):
                await wait
        assert "not open" in repr(tx)

    await every_call_is_refused()
    async with tx:
        assert "not open" not in repr(tx)
    await every_call_is_refused()
