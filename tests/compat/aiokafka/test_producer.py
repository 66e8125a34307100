"""The drop-in in virtual time: what cannot be had from a real cluster at will."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import errors

from aioproducer.compat.aiokafka import AIOKafkaProducer
from aioproducer.errors import TopicAuthorizationFailedError
from aioproducer.testing import FakeProducer
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import now, values_of, virtual_loop


@asynccontextmanager
async def running(cluster: FakeCluster, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    virtual_loop().network = cluster
    memory = options.pop("buffer_memory", None)
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, **options)
    if memory is not None:
        # aiokafka has no option for it.
        producer._settings["buffer_memory"] = memory
        producer._producer = producer._make()
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
        await asyncio.sleep(1)


def cluster_with(topic: str) -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_topic(topic)
    return cluster


async def test_send_waits_for_room_and_cancelled_there_withdraws_the_record() -> None:
    cluster = cluster_with("t")
    async with running(cluster, buffer_memory=3000) as producer:
        await producer.send_and_wait("t", b"first")
        cluster.brokers[1].script.append(Conduct(delay=5))
        # More than memory and waiting room together hold.
        sends = [asyncio.create_task(producer.send("t", b"v" * 500)) for _ in range(30)]
        await asyncio.sleep(1)
        waiting = [task for task in sends if not task.done()]
        assert len(waiting) > 20
        waiting[-1].cancel()
        await asyncio.wait([waiting[-1]])
        kept = [await task for task in sends if task is not waiting[-1]]
        assert len(await asyncio.gather(*kept)) == 29
    assert len(values_of(cluster, "t")) == 1 + 29


async def test_without_room_for_long_the_record_fails() -> None:
    cluster = cluster_with("t")
    async with running(cluster, buffer_memory=3000, request_timeout_ms=2000) as producer:
        await producer.send_and_wait("t", b"first")
        cluster.brokers[1].stop()
        sends = [asyncio.create_task(_whole(producer)) for _ in range(30)]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        assert {type(each) for each in outcomes} == {errors.KafkaTimeoutError}
        cluster.brokers[1].start()


async def _whole(producer: AIOKafkaProducer) -> Any:
    return await producer.send_and_wait("t", b"v" * 500)


async def test_a_start_without_a_cluster_fails_in_time_and_may_be_repeated() -> None:
    cluster = cluster_with("t")
    virtual_loop().network = cluster
    for broker in cluster.brokers.values():
        broker.stop()
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, request_timeout_ms=3000)
    begun = now()
    with pytest.raises(errors.KafkaConnectionError, match="Unable to bootstrap from"):
        await producer.start()
    assert 3 <= now() - begun < 4
    for broker in cluster.brokers.values():
        broker.start()
    await producer.start()
    assert (await producer.send_and_wait("t", b"v")).offset == 0  # type: ignore[union-attr]
    await producer.stop()
    await producer.stop()
    await asyncio.sleep(1)


async def test_a_topic_that_is_not_there_fails_the_call() -> None:
    async with running(cluster_with("t"), request_timeout_ms=2000) as producer:
        with pytest.raises(errors.KafkaError):
            await producer.send("another", b"v")


async def test_a_record_that_is_not_acknowledged_in_time_fails_its_future() -> None:
    cluster = cluster_with("t")
    async with running(cluster, request_timeout_ms=1000) as producer:
        await producer.send_and_wait("t", b"first")
        for broker in cluster.brokers.values():
            broker.stop()
        future = await producer.send("t", b"v")
        with pytest.raises(errors.KafkaTimeoutError) as failure:
            await future
        assert failure.value.__cause__ is not None
        for broker in cluster.brokers.values():
            broker.start()


async def test_a_flush_after_the_stop_has_nothing_to_do() -> None:
    async with running(cluster_with("t")) as producer:
        await producer.send_and_wait("t", b"v")
        await producer.stop()
        await producer.flush()


async def test_an_empty_batch_is_done_at_once() -> None:
    async with running(cluster_with("t")) as producer:
        future = await producer.send_batch(producer.create_batch(), "t", partition=0)
        assert await future is None


async def test_a_batch_fails_with_its_first_error() -> None:
    async with running(cluster_with("t"), max_request_size=200) as producer:
        batch = producer.create_batch()
        for size in (10, 500, 600):
            batch.append(timestamp=1, key=None, value=b"v" * size)
        future = await producer.send_batch(batch, "t", partition=0)
        with pytest.raises(errors.MessageSizeTooLargeError):
            await future


async def test_what_fails_in_a_transaction_is_told_by_its_commit_alone() -> None:
    """A program that rolls back looks at no future; asyncio would log each of them."""

    class Faked(AIOKafkaProducer):
        def _make(self) -> Any:
            return FakeProducer(config=self._settings, auto_complete=False)

    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with Faked(transactional_id="id") as producer:
        fake: Any = producer._producer
        await producer.begin_transaction()
        await producer.send("t", b"v")
        batch = producer.create_batch()
        batch.append(timestamp=1, key=None, value=b"v")
        await producer.send_batch(batch, "t", partition=0)
        while fake.error_next(TopicAuthorizationFailedError):
            await asyncio.sleep(0)
        with pytest.raises(errors.KafkaError):
            await producer.commit_transaction()
        await producer.abort_transaction()
        gc.collect()
    assert [sent.state for sent in fake.history] == ["failed", "failed"]
    assert told == []


async def test_what_aiokafka_has_for_itself_is_refused_with_words() -> None:
    async with running(cluster_with("t")) as producer:
        with pytest.raises(AttributeError, match="aiokafka's own machinery"):
            _ = producer.client


async def test_options_that_do_nothing_warn() -> None:
    with pytest.warns(DeprecationWarning, match="`loop`"):
        AIOKafkaProducer(loop=asyncio.get_running_loop())
    with pytest.warns(DeprecationWarning, match="`api_version`"):
        AIOKafkaProducer(api_version="auto")
