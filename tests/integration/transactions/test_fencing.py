"""Two instances of one transactional id: the older one can do no more harm."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from aioproducer import AsyncProducer, FatalTransactionError, ProducerError, ProducerFencedError
from tests.conftest import TopicFactory
from tests.integration.transactions.helpers import new_id, new_producer, settled, visible, written

ROOT = Path(__file__).parents[3]


async def _commit_one(producer: AsyncProducer[bytes, bytes], topic: str, value: bytes) -> None:
    async with producer.transaction() as tx:
        tx.send(topic, value)


async def _is_fenced_for_good(producer: AsyncProducer[bytes, bytes], topic: str) -> None:
    for _ in range(2):
        with pytest.raises(ProducerFencedError) as caught:
            await _commit_one(producer, topic, b"zombie")
        assert isinstance(caught.value, FatalTransactionError)
        assert not caught.value.retriable
        assert caught.value.what_next
    with pytest.raises(ProducerFencedError):
        producer.begin_transaction()
    with pytest.raises(ProducerFencedError):
        await producer.init_transactions()


@pytest.mark.core
async def test_the_older_of_two_instances_is_fenced_before_it_sends(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, transactional_id = topic(), new_id()
    async with new_producer(bootstrap, transactional_id=transactional_id) as older:
        await _commit_one(older, name, b"older")
        async with new_producer(bootstrap, transactional_id=transactional_id) as newer:
            await _commit_one(newer, name, b"newer")
            await _is_fenced_for_good(older, name)
            await _commit_one(newer, name, b"newer again")
            assert await visible(bootstrap, name) == [b"older", b"newer", b"newer again"]
            assert b"zombie" not in await written(bootstrap, name)


@pytest.mark.core
async def test_the_older_of_two_instances_is_fenced_in_the_midst_of_its_transaction(
    bootstrap: str, topic: TopicFactory
) -> None:
    """What it wrote is aborted by the newer one's start; its further deliveries fail."""
    name, transactional_id = topic(), new_id()
    async with new_producer(bootstrap, transactional_id=transactional_id) as older:
        with pytest.raises(ProducerFencedError):
            async with older.transaction() as tx:
                await tx.send(name, b"before")
                async with new_producer(bootstrap, transactional_id=transactional_id) as newer:
                    await _commit_one(newer, name, b"newer")
                zombie = tx.send(name, b"zombie")
                await asyncio.wait([zombie])
                error = zombie.exception()
                assert isinstance(error, ProducerError)
                assert (error.persisted, error.topic) == ("no", name)
        await _is_fenced_for_good(older, name)
        assert await visible(bootstrap, name) == [b"newer"]
        assert b"zombie" not in await written(bootstrap, name)


@pytest.mark.parametrize("ending", ["commit", "abort"])
async def test_the_older_instance_learns_it_from_its_commit_or_abort(
    bootstrap: str, topic: TopicFactory, ending: str
) -> None:
    name, transactional_id = topic(), new_id()
    older = new_producer(bootstrap, transactional_id=transactional_id)
    await older.start()
    older.begin_transaction()
    await older.send(name, b"before")
    async with new_producer(bootstrap, transactional_id=transactional_id) as newer:
        step = older.commit_transaction if ending == "commit" else older.abort_transaction
        for _ in range(2):
            with pytest.raises(ProducerFencedError):
                await step()
        await _commit_one(newer, name, b"newer")
    await older.close()
    assert await visible(bootstrap, name) == [b"newer"]


async def test_closing_a_fenced_producer_is_quick_and_harms_nobody(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, transactional_id = topic(), new_id()
    older = new_producer(bootstrap, transactional_id=transactional_id)
    await older.start()
    older.begin_transaction()
    await older.send(name, b"before")
    async with new_producer(bootstrap, transactional_id=transactional_id) as newer:
        newer.begin_transaction()
        await newer.send(name, b"newer")
        # Far less than the two minutes that its close may take.
        async with asyncio.timeout(60):
            await older.close()
        await newer.commit_transaction()
    assert await visible(bootstrap, name) == [b"newer"]


_FROZEN = """
import asyncio, sys
from aioproducer import AsyncProducer, ProducerError

async def main(bootstrap, transactional_id, topic):
    producer = AsyncProducer(
        bootstrap, transactional_id=transactional_id, transaction_timeout_ms=300_000, linger_ms=0
    )
    await producer.start()
    producer.begin_transaction()
    await producer.send(topic, b"before the pause")
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    delivery = producer.send(topic, b"after the pause")
    await asyncio.wait([delivery])
    print(type(delivery.exception()).__name__, flush=True)
    for step in (producer.commit_transaction, producer.abort_transaction):
        try:
            await step()
        except ProducerError as error:
            print(type(error).__name__, flush=True)
    await producer.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_process_that_was_frozen_wakes_up_fenced(
    bootstrap: str, topic: TopicFactory
) -> None:
    """SIGSTOP, a successor takes over and commits, SIGCONT: the first one's work never shows."""
    name, transactional_id = topic(), new_id()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _FROZEN, bootstrap, transactional_id, name,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 120) == b"open\n"
        process.send_signal(signal.SIGSTOP)
        async with new_producer(bootstrap, transactional_id=transactional_id) as successor:
            await _commit_one(successor, name, b"successor")
            process.send_signal(signal.SIGCONT)
            output, _ = await asyncio.wait_for(process.communicate(b"go on\n"), 240)
            await _commit_one(successor, name, b"successor again")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
    delivery, *steps = output.decode().split()
    # The record may be told that its epoch is old; the steps say what that means.
    assert delivery in ("InvalidProducerEpochError", "ProducerFencedError")
    assert steps[-1] == "ProducerFencedError"
    assert set(steps) <= {"InvalidProducerEpochError", "ProducerFencedError"}
    await settled(bootstrap, name)
    assert await visible(bootstrap, name) == [b"successor", b"successor again"]
    assert b"after the pause" not in await written(bootstrap, name)
