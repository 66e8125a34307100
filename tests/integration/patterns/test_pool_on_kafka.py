"""The pool of transactional producers on a real cluster, judged by librdkafka's consumer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    LifeState,
    ProducerFencedError,
    RecordTooLargeError,
    Transaction,
    TransactionTimeoutError,
)
from aioproducer.patterns import TransactionalProducerPool
from tests.conftest import TopicFactory
from tests.integration.committed import read_settled_async

# Nothing here is quick on a slow machine.
pytestmark = pytest.mark.timeout(900)


async def _committed(bootstrap: str, topic: str) -> list[bytes | None]:
    return [r.value for r in await read_settled_async(bootstrap, topic)]


async def test_many_transactions_at_once_are_each_whole_or_not_there(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, prefix = topic(3), topic()
    async with TransactionalProducerPool(
        bootstrap, prefix=prefix, max_size=4, max_block_ms=240_000
    ) as pool:

        async def transfer(number: int) -> None:
            async with pool.transaction() as tx:
                tx.send(name, b"%d debit" % number)
                tx.send(name, b"%d credit" % number)
                if number % 5 == 0:
                    raise LookupError(number)

        outcomes = await asyncio.gather(*(transfer(n) for n in range(60)), return_exceptions=True)
        assert pool.size == 4
    failed = {n for n, outcome in enumerate(outcomes) if isinstance(outcome, LookupError)}
    assert failed == set(range(0, 60, 5))
    expected = {
        b"%d %s" % (n, what) for n in set(range(60)) - failed for what in (b"debit", b"credit")
    }
    assert Counter(await _committed(bootstrap, name)) == Counter(expected)


async def test_members_fenced_from_outside_are_replaced_and_nothing_is_lost_or_doubled(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, prefix = topic(2), topic() + "-"
    async with TransactionalProducerPool(
        bootstrap, prefix=prefix, instance_id="pod-0", max_size=3
    ) as pool:

        async def book(tx: Transaction[bytes, bytes], number: int) -> None:
            await tx.send(name, b"%d" % number)
            await asyncio.sleep(0.01)

        async def work(numbers: range) -> None:
            for number in numbers:
                await pool.execute_in_transaction(lambda tx, n=number: book(tx, n), attempts=10)

        workers = [asyncio.create_task(work(range(n, 90, 3))) for n in range(3)]
        for member in range(3):
            await asyncio.sleep(0.3)
            async with AsyncProducer(bootstrap, transactional_id=f"{prefix}pod-0-{member}"):
                pass
        await asyncio.gather(*workers)
        assert pool.size == 3
    assert Counter(await _committed(bootstrap, name)) == Counter(b"%d" % n for n in range(90))


async def test_a_fenced_member_raises_in_its_transaction_and_never_fences_back(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, prefix = topic(), topic() + "-"
    async with TransactionalProducerPool(bootstrap, prefix=prefix, instance_id="pod-0") as pool:
        async with pool.producer() as fenced:
            pass
        async with AsyncProducer(bootstrap, transactional_id=f"{prefix}pod-0-0") as other:
            with pytest.raises(ProducerFencedError):
                async with pool.transaction() as tx:
                    tx.send(name, b"zombie")
            await pool.execute_in_transaction(_send(name, b"replacement"))
            async with other.transaction() as tx:
                tx.send(name, b"other")
        assert pool.size == 1
    assert fenced.state is LifeState.CLOSED
    assert await _committed(bootstrap, name) == [b"replacement", b"other"]


async def test_a_restarted_instance_frees_readers_from_what_its_former_self_left_open(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The crash: a process that is not there any more to abort."""
    name, prefix = topic(), topic() + "-"
    crashed = AsyncProducer(
        bootstrap, transactional_id=f"{prefix}pod-0-0", transaction_timeout_ms=600_000
    )
    await crashed.start()
    crashed.begin_transaction()
    await crashed.send(name, b"left open")
    async with TransactionalProducerPool(bootstrap, prefix=prefix, instance_id="pod-0") as pool:
        await pool.execute_in_transaction(_send(name, b"after the restart"))
        # Long before the brokers would abort it by themselves.
        records = await read_settled_async(bootstrap, name, timeout=240)
        assert [record.value for record in records] == [b"after the restart"]
    await crashed.close(0)


async def test_a_record_that_is_too_large_for_the_topic_aborts_and_is_not_run_again(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, prefix = topic(configs={"max.message.bytes": "2000"}), topic()
    calls = []

    async def fn(tx: Transaction[Any, Any]) -> None:
        calls.append(tx.send(name, b"small"))
        tx.send(name, b"x" * 5_000)

    async with TransactionalProducerPool(bootstrap, prefix=prefix) as pool:
        with pytest.raises(RecordTooLargeError):
            await pool.execute_in_transaction(fn)
        assert len(calls) == 1
        await pool.execute_in_transaction(_send(name, b"next"))
        assert pool.size == 1
    assert await _committed(bootstrap, name) == [b"next"]


async def test_waiting_and_closing_are_bounded(bootstrap: str, topic: TopicFactory) -> None:
    name, prefix = topic(), topic()
    async with TransactionalProducerPool(bootstrap, prefix=prefix, max_size=1) as pool:
        began = asyncio.Event()

        async def hold(tx: Transaction[bytes, bytes]) -> None:
            await tx.send(name, b"held")
            began.set()
            await asyncio.sleep(600)

        holding = asyncio.create_task(pool.execute_in_transaction(hold))
        await began.wait()
        with pytest.raises(TransactionTimeoutError, match="all 1 producers"):
            async with pool.producer(timeout=0.2):
                raise AssertionError("there is none")
        await pool.close(0.2)
        holding.cancel()
        await asyncio.wait([holding])
    assert await _committed(bootstrap, name) == []


def _send(topic: str, value: bytes) -> Any:
    async def send(tx: Transaction[bytes, bytes]) -> None:
        tx.send(topic, value)

    return send
