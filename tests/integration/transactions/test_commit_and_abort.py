"""What becomes visible, and when: the promise of a transaction to its readers."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer import (
    AsyncProducer,
    Delivery,
    Record,
    TransactionAbortedError,
    TransactionStateError,
)
from aioproducer.testing.judge import end_offsets
from aioproducer.testing.proxy import FaultProxy
from tests.conftest import TopicFactory
from tests.integration.transactions.helpers import (
    new_id,
    new_producer,
    records,
    settled,
    visible,
    written,
)

END_TXN = 26
ADD_PARTITIONS = 24


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


@pytest.mark.core
async def test_records_become_visible_together_when_the_block_is_left(
    bootstrap: str, topic: TopicFactory
) -> None:
    orders, stock = topic(2), topic()
    async with new_producer(bootstrap) as producer:
        async with producer.transaction() as tx:
            sent = [tx.send(orders, b"%d" % n, partition=n % 2) for n in range(10)]
            sent.append(tx.send(stock, b"-10"))
            await asyncio.gather(*sent)
            # In the logs, and hidden: the last stable offset stays before them.
            assert len(await written(bootstrap, orders)) == 10
            assert await records(bootstrap, orders, "read_committed") == []
        assert sorted(await visible(bootstrap, orders)) == numbers(10)
        assert await visible(bootstrap, stock) == [b"-10"]


async def test_deliveries_tell_the_offsets_at_which_readers_find_the_records(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A marker takes an offset at the end of each transaction: offsets have gaps."""
    name = topic()
    deliveries: list[Delivery] = []
    async with new_producer(bootstrap) as producer:
        for batch in range(3):
            async with producer.transaction() as tx:
                deliveries += [tx.send(name, value) for value in numbers(5, batch * 5)]
        await settled(bootstrap, name)
        reads = await records(bootstrap, name, "read_committed")
        assert [read.offset for read in reads] == [(await d).offset for d in deliveries]
        first, second, third = (reads[start].offset for start in (0, 5, 10))
        # One marker each; a coordinator that takes over writes them again.
        assert 0 == first < second - 5 < third - 10
        wanted = [start + n for start in (first, second, third) for n in range(5)]
        assert [read.offset for read in reads] == wanted


@pytest.mark.core
async def test_a_body_that_raises_leaves_nothing_visible(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The body's own exception comes out; what was written is there for dirty readers only."""
    name = topic()
    async with new_producer(bootstrap) as producer:
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction() as tx:
                await tx.send(name, b"lost")
                raise ZeroDivisionError
        async with producer.transaction() as tx:
            tx.send(name, b"kept")
        assert await visible(bootstrap, name) == [b"kept"]
        assert await written(bootstrap, name) == [b"lost", b"kept"]


async def test_records_that_have_not_left_yet_are_never_written_when_the_body_raises(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with new_producer(bootstrap, linger_ms=60_000) as producer:
        with pytest.raises(KeyError):
            async with producer.transaction() as tx:
                waiting = tx.send(name, b"lingering")
                raise KeyError("why")
        error = waiting.exception()
        assert isinstance(error, TransactionAbortedError)
        assert error.persisted == "no"
        assert await written(bootstrap, name) == []


async def test_a_cancelled_body_aborts(bootstrap: str, topic: TopicFactory) -> None:
    """And the cancellation goes on: whoever cancelled sees the task cancelled."""
    name = topic()
    async with new_producer(bootstrap) as producer:
        sent = asyncio.Event()

        async def work() -> None:
            async with producer.transaction() as tx:
                await tx.send(name, b"lost")
                sent.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.wait_for(sent.wait(), 240)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with producer.transaction() as tx:
            tx.send(name, b"kept")
        assert await visible(bootstrap, name) == [b"kept"]


async def test_a_body_that_takes_too_long_under_a_timeout_aborts(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with new_producer(bootstrap) as producer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                async with producer.transaction() as tx:
                    await tx.send(name, b"lost")
                    await asyncio.Event().wait()
        assert await visible(bootstrap, name) == []


@pytest.mark.core
async def test_kafkas_own_names_do_the_same(bootstrap: str, topic: TopicFactory) -> None:
    """begin_transaction(), commit_transaction(), abort_transaction(), as in other clients."""
    name = topic()
    producer = new_producer(bootstrap)
    await producer.start(initialize=False)
    try:
        with pytest.raises(TransactionStateError):
            producer.begin_transaction()
        await producer.init_transactions()
        await producer.init_transactions()
        for number in range(4):
            producer.begin_transaction()
            producer.send(name, b"%d" % number)
            await producer.flush()
            if number % 2:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
        with pytest.raises(TransactionStateError):
            producer.send(name, b"outside")
        with pytest.raises(TransactionStateError):
            await producer.commit_transaction()
    finally:
        await producer.close()
    assert await visible(bootstrap, name) == [b"0", b"2"]
    assert await written(bootstrap, name) == numbers(4)


async def test_nothing_sent_means_nothing_asked(bootstrap: str, topic: TopicFactory) -> None:
    """An empty transaction costs no request, committed or aborted."""
    name = topic()
    async with FaultProxy(bootstrap) as proxy, new_producer(proxy.bootstrap_servers) as producer:
        before = len(proxy.seen)
        for _ in range(10):
            async with producer.transaction():
                pass
            producer.begin_transaction()
            await producer.abort_transaction()
        await asyncio.sleep(0.1)
        apis = [frame.api for frame in proxy.seen[before:]]
        assert END_TXN not in apis
        assert ADD_PARTITIONS not in apis
        async with producer.transaction() as tx:
            tx.send(name, b"something")
        assert END_TXN in [frame.api for frame in proxy.seen]
        await settled(bootstrap, name)


async def test_a_value_that_never_became_a_record_is_no_part_of_the_transaction(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A Delivery cancelled while its record waits for metadata is withdrawn: commit goes on."""
    name = topic()
    async with new_producer(bootstrap) as producer:
        async with producer.transaction() as tx:
            withdrawn = tx.send(name, b"withdrawn")
            assert withdrawn.cancel()
            tx.send(name, b"kept")
        assert await visible(bootstrap, name) == [b"kept"]


@pytest.mark.core
async def test_several_batches_in_flight_stay_in_order_in_every_partition(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Five requests on their way, small batches, compressed: order and count hold per partition."""
    name, partitions, count = topic(4), 4, 2_000
    async with new_producer(
        bootstrap, batch_size=2_000, linger_ms=2, compression_type="lz4"
    ) as producer:
        for start, keeps in ((0, True), (count, False), (2 * count, True)):
            producer.begin_transaction()
            for number in range(start, start + count):
                producer.send(name, b"%d" % number, partition=number % partitions)
                await producer.drain()
            await (producer.commit_transaction() if keeps else producer.abort_transaction())
        await settled(bootstrap, name)
        reads = await records(bootstrap, name, "read_committed")
    wanted = [*range(count), *range(2 * count, 3 * count)]
    for partition in range(partitions):
        mine = [int(read.value or b"") for read in reads if read.partition == partition]
        assert mine == wanted[partition::partitions]
    assert len(reads) == 2 * count


async def test_send_many_belongs_to_the_transaction(bootstrap: str, topic: TopicFactory) -> None:
    name = topic(3)
    async with new_producer(bootstrap) as producer:
        async with producer.transaction() as tx:
            result = await tx.send_many(Record(name, value) for value in numbers(300))
            assert not result.failures
            assert (await tx.send_and_wait(name, b"300")).offset >= 0
        assert sorted(map(int, await visible(bootstrap, name))) == list(range(301))  # type: ignore[arg-type]


async def test_closing_inside_a_transaction_aborts_it(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    producer = new_producer(bootstrap)
    await producer.start()
    producer.begin_transaction()
    await producer.send(name, b"lost")
    await producer.close()
    assert await visible(bootstrap, name) == []
    assert await written(bootstrap, name) == [b"lost"]


async def test_leaving_the_producers_block_inside_a_transaction_aborts_it(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    with pytest.raises(ZeroDivisionError):
        async with new_producer(bootstrap) as producer, producer.transaction() as tx:
            await tx.send(name, b"lost")
            raise ZeroDivisionError
    assert await visible(bootstrap, name) == []


@pytest.mark.core
async def test_a_new_instance_of_an_id_ends_what_the_last_one_left_open(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The start of the new one aborts it: its records never show, and readers go on at once."""
    name, transactional_id = topic(), new_id()
    crashed = new_producer(bootstrap, transactional_id=transactional_id)
    await crashed.start()
    crashed.begin_transaction()
    await crashed.send(name, b"lost")
    async with new_producer(bootstrap, transactional_id=transactional_id) as successor:
        async with successor.transaction() as tx:
            tx.send(name, b"kept")
        await settled(bootstrap, name)
    await crashed.close(0)
    assert await visible(bootstrap, name) == [b"kept"]


@pytest.mark.core
async def test_many_short_transactions_in_a_row(bootstrap: str, topic: TopicFactory) -> None:
    """Each follows at once on the markers of the one before it."""
    name = topic(3)
    async with new_producer(bootstrap) as producer:
        for number in range(30):
            producer.begin_transaction()
            producer.send(name, b"%d" % number, partition=number % 3)
            await (
                producer.abort_transaction() if number % 5 == 4 else producer.commit_transaction()
            )
        found = sorted(map(int, await visible(bootstrap, name)))  # type: ignore[arg-type]
    assert found == [number for number in range(30) if number % 5 != 4]


async def test_transactions_of_two_ids_do_not_disturb_each_other(
    bootstrap: str, topic: TopicFactory
) -> None:
    """One stays open and holds readers back; the other's commits are theirs all the same."""
    name = topic()

    async def fill(producer: AsyncProducer[bytes, bytes]) -> None:
        async with producer.transaction() as tx:
            await tx.send(name, b"second")

    async with new_producer(bootstrap) as one, new_producer(bootstrap) as other:
        one.begin_transaction()
        await one.send(name, b"first")
        await fill(other)
        # The last stable offset does not pass what is open, so the committed one waits too.
        stable = await asyncio.to_thread(end_offsets, bootstrap, name, isolation="read_committed")
        assert stable == {0: 0}
        await one.abort_transaction()
        assert await visible(bootstrap, name) == [b"second"]
