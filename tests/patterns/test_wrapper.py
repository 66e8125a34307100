"""A wrapper offers what the producer does, and hands it on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    DeliveryTimeoutError,
    LifeState,
    Record,
    SerializationError,
)
from aioproducer.patterns import ProducerWrapper
from tests.fake_broker import FakeCluster
from tests.runtime.world import now, running, values_of, virtual_loop

# What belongs to the producer itself; ProducerWrapper's docstring names it.
NOT_WRAPPED = {
    "abort_transaction",
    "begin_transaction",
    "client_instance_id",
    "commit_transaction",
    "failures",
    "init_transactions",
    "send_offsets_to_transaction",
    "watch_metrics",
}


def cluster_of() -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("t", 1)
    return cluster


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_nothing_of_the_producer_is_missing_unless_it_was_decided() -> None:
    assert public(AsyncProducer) - public(ProducerWrapper) == NOT_WRAPPED


@pytest.mark.parametrize("name", sorted(public(AsyncProducer) - NOT_WRAPPED))
def test_arguments_are_those_of_the_producer(name: str) -> None:
    own, theirs = getattr(ProducerWrapper, name), getattr(AsyncProducer, name)
    if not inspect.isfunction(theirs):
        return
    assert list(inspect.signature(own).parameters) == list(inspect.signature(theirs).parameters)
    assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(theirs)


async def test_everything_is_handed_on_through_two_of_them() -> None:
    cluster = cluster_of()
    virtual_loop().network = cluster
    producer: AsyncProducer[Any, Any] = AsyncProducer(cluster.bootstrap, linger_ms=50)
    inner = ProducerWrapper(producer)
    async with ProducerWrapper(inner) as wrapper:
        assert wrapper.innermost is producer
        assert (wrapper.config, wrapper.client_id) == (producer.config, producer.client_id)
        assert wrapper.state is LifeState.RUNNING
        assert wrapper.transaction_state is None
        await wrapper.warm_up(["t"])
        assert await wrapper.partitions_for("t") == wrapper.known_partitions("t")
        assert wrapper.partition_for("t", b"k") == 0
        assert await wrapper.serialize("t", b"v", key=b"k") == Record("t", b"v", b"k")
        delivery = wrapper.send("t", b"1")
        started = now()
        assert (await wrapper.send_and_wait("t", b"2")).offset == 1
        assert now() - started < 0.05
        assert delivery.done()
        await wrapper.try_send("t", b"3")
        await wrapper.drain()
        await wrapper.flush()
        wrapper.register_metric("own-count", lambda: 7)
        assert [*wrapper.metrics().registered.values()] == [7]
        wrapper.unregister_metric("own-count")
        assert wrapper.health().ready
        assert str(wrapper.diagnose())
        wrapper.on_late_result(None)
        with pytest.raises(Exception, match="transactional"):
            async with wrapper.transaction():
                pass
    assert producer.state is LifeState.CLOSED
    assert values_of(cluster, "t") == [b"1", b"2", b"3"]
    assert (await wrapper.close()).delivered == 3
    await asyncio.sleep(1)


async def test_around_a_producer_that_runs_it_needs_no_block() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        await ProducerWrapper(producer).send("t", b"v")


class TestSendMany:
    """Record by record, through the wrapper's own send()."""

    async def test_each_record_has_its_outcome_and_a_bad_one_fails_alone(self) -> None:
        cluster = cluster_of()
        async with running(cluster, linger_ms=60_000) as producer:
            wrapper = ProducerWrapper(producer)
            records: list[Any] = [Record("t", b"1"), None, Record("t", 3), Record("t", b"4")]

            async def source() -> AsyncIterator[Any]:
                for record in records:
                    yield record

            started = now()
            for given in (records, source()):
                result = await wrapper.send_many(given)
                assert [position for position, _ in result.failures] == [1, 2]
                assert [type(error) for _, error in result.failures] == [SerializationError] * 2
            assert now() - started < 5
        assert values_of(cluster, "t") == [b"1", b"4"] * 2

    async def test_what_is_no_iterable_is_refused(self) -> None:
        async with running(cluster_of()) as producer:
            with pytest.raises(TypeError, match="iterable of Record"):
                await ProducerWrapper(producer).send_many(5)  # type: ignore[arg-type]

    async def test_after_its_time_what_waits_is_withdrawn_and_the_rest_in_doubt(self) -> None:
        cluster = cluster_of()
        async with running(
            cluster, delivery_timeout_ms=30_000, request_timeout_ms=5_000
        ) as producer:
            await producer.warm_up(["t"])
            await producer.send("t", b"0")
            cluster.brokers[1].stop()
            records = [Record("t", b"1"), Record("later", b"2")]
            result = await ProducerWrapper(producer).send_many(records, timeout=1)
            fates = [(type(error), error.persisted) for _, error in result.failures]
            assert fates == [(DeliveryTimeoutError, "maybe"), (DeliveryTimeoutError, "no")]
            cluster.brokers[1].start()
            cluster.add_topic("later", 1)
            await producer.flush()
        assert values_of(cluster, "t") == [b"0", b"1"]
        assert values_of(cluster, "later") == []

    async def test_a_timeout_of_the_source_is_the_source_s(self) -> None:
        async def source() -> AsyncIterator[Any]:
            yield Record("t", b"1")
            raise TimeoutError("mine")

        async with running(cluster_of()) as producer:
            with pytest.raises(TimeoutError, match="mine"):
                await ProducerWrapper(producer).send_many(source())

    async def test_cancelling_withdraws_what_waits(self) -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            sending = asyncio.create_task(
                ProducerWrapper(producer).send_many([Record("t", b"1"), Record("later", b"2")])
            )
            await asyncio.sleep(1)
            sending.cancel()
            await asyncio.wait([sending])
            assert sending.cancelled()
            cluster.add_topic("later", 1)
            await asyncio.sleep(10)
        assert values_of(cluster, "t") == [b"1"]
        assert values_of(cluster, "later") == []
