"""One transaction at a time: whose turn it is, and what cancelling a wait does."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer import AsyncProducer, TransactionStateError, TransactionTimeoutError
from aioproducer.testing.proxy import FaultProxy, Frame
from tests.conftest import TopicFactory
from tests.integration.transactions.helpers import new_producer, visible, written

END_TXN = 26
INIT_PRODUCER_ID = 22


async def test_transactions_of_several_tasks_take_turns_first_come_first_served(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, begun = topic(), []
    async with new_producer(bootstrap) as producer:

        async def work(number: int) -> None:
            async with producer.transaction() as tx:
                begun.append(number)
                for part in range(3):
                    await tx.send(name, b"%d.%d" % (number, part))

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(work(number))
        wanted = [b"%d.%d" % (number, part) for number in range(8) for part in range(3)]
        assert begun == list(range(8))
        assert await visible(bootstrap, name) == wanted


async def test_a_transaction_inside_one_of_the_same_task_is_refused(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The outer one is none the worse for it."""
    name = topic()
    async with new_producer(bootstrap) as producer:
        async with producer.transaction() as tx:
            with pytest.raises(TransactionStateError, match="nest"):
                async with producer.transaction():
                    pass
            tx.send(name, b"outer")
        assert await visible(bootstrap, name) == [b"outer"]


async def test_waiting_for_a_turn_is_bounded_and_can_be_cancelled(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Who gave up is out of the line; the next in it has the turn."""
    name = topic()
    async with new_producer(bootstrap) as producer:

        async def work(value: bytes) -> None:
            async with producer.transaction() as tx:
                tx.send(name, value)

        async with producer.transaction() as tx:
            tx.send(name, b"first")
            cancelled = asyncio.create_task(work(b"cancelled"))
            patient = asyncio.create_task(work(b"patient"))

            async def hurried() -> None:
                async with producer.transaction(timeout=0.05):
                    pass

            with pytest.raises(TransactionTimeoutError, match="another task"):
                await asyncio.create_task(hurried())
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        await patient
        assert await visible(bootstrap, name) == [b"first", b"patient"]


async def test_the_transaction_object_is_of_no_use_outside_its_block(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with new_producer(bootstrap) as producer:
        transaction = producer.transaction()
        with pytest.raises(TransactionStateError):
            transaction.send(name, b"too early")
        async with transaction:
            transaction.send(name, b"kept")
        with pytest.raises(TransactionStateError):
            transaction.send(name, b"too late")
        with pytest.raises(TransactionStateError):
            await transaction.send_offsets({}, "group")
        with pytest.raises(TransactionStateError):
            producer.send(name, b"outside")
        assert await visible(bootstrap, name) == [b"kept"]


@pytest.mark.parametrize("ending", ["commit", "abort"])
async def test_cancelling_the_end_of_a_transaction_abandons_the_wait_only(
    bootstrap: str, topic: TopicFactory, ending: str
) -> None:
    """The step goes on, and the next transaction waits for it."""
    name = topic()
    async with FaultProxy(bootstrap) as proxy, new_producer(proxy.bootstrap_servers) as producer:
        producer.begin_transaction()
        await producer.send(name, b"first")
        asked = _holding(proxy, END_TXN)
        step = producer.commit_transaction if ending == "commit" else producer.abort_transaction
        task = asyncio.create_task(step())
        await asyncio.wait_for(asked.wait(), 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        following = asyncio.create_task(_one(producer, name, b"second"))
        await asyncio.sleep(0.1)
        assert not following.done()
        proxy.answers.set()
        await following
        kept = [b"first"] if ending == "commit" else []
        assert await visible(bootstrap, name) == [*kept, b"second"]
        assert await written(bootstrap, name) == [b"first", b"second"]


async def test_cancelling_the_exit_of_the_block_abandons_the_wait_only(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy, new_producer(proxy.bootstrap_servers) as producer:
        await _one(producer, name, b"zero")
        asked = _holding(proxy, END_TXN)

        async def work() -> None:
            async with producer.transaction() as tx:
                await tx.send(name, b"first")

        task = asyncio.create_task(work())
        await asyncio.wait_for(asked.wait(), 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.answers.set()
        await _one(producer, name, b"second")
        assert await visible(bootstrap, name) == [b"zero", b"first", b"second"]


async def test_cancelling_init_transactions_abandons_the_wait_only(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The same call takes up the step where it is: the coordinator is asked once."""
    name = topic()
    async with FaultProxy(bootstrap) as proxy:
        producer = new_producer(proxy.bootstrap_servers)
        await producer.start(initialize=False)
        try:
            asked = _holding(proxy, INIT_PRODUCER_ID)
            task = asyncio.create_task(producer.init_transactions())
            await asyncio.wait_for(asked.wait(), 120)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(TransactionStateError):
                producer.begin_transaction()
            proxy.answers.set()
            await producer.init_transactions()
            await _one(producer, name, b"kept")
        finally:
            proxy.answers.set()
            await producer.close()
        assert await visible(bootstrap, name) == [b"kept"]


async def test_cancelling_start_closes_the_producer(bootstrap: str) -> None:
    """What cannot be entered needs no exit: nothing is left of it."""
    async with FaultProxy(bootstrap) as proxy:
        asked = _holding(proxy, INIT_PRODUCER_ID)
        producer = new_producer(proxy.bootstrap_servers)
        task = asyncio.create_task(producer.start())
        await asyncio.wait_for(asked.wait(), 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert producer.state.value == "closed"
        proxy.answers.set()


async def _one(producer: AsyncProducer[bytes, bytes], topic: str, value: bytes) -> None:
    async with producer.transaction() as tx:
        tx.send(topic, value)


def _holding(proxy: FaultProxy, api: int) -> asyncio.Event:
    """An event that is set by the first request of that kind; answers are held back from then."""
    seen = asyncio.Event()

    def look(frame: Frame) -> None:
        if frame.api == api and not seen.is_set():
            seen.set()
            proxy.answers.clear()

    proxy.on_request = look
    return seen
