"""Failures for those who do not await each Delivery, and results that came too late."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from aioproducer import (
    DeliveryTimeoutError,
    FailedRecord,
    LateResult,
    MetadataTimeoutError,
    SerializationError,
)
from aioproducer.errors import InvalidRecordError, TopicAuthorizationFailedError
from aioproducer.runtime import failure_feed
from tests.fake_broker import FakeCluster
from tests.fake_log import FakePartition, Verb
from tests.runtime.world import running

TOPIC_AUTHORIZATION_FAILED = 29
INVALID_RECORD = 87


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    return cluster


def partition_of(cluster: FakeCluster) -> FakePartition:
    return cluster.topics["orders"].partitions[0]


async def read_all(reader: Any) -> list[FailedRecord]:
    return [failure async for failure in reader]


def reported() -> list[dict[str, Any]]:
    """Return a list to which the loop's exception handler appends from now on."""
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    return reports


class TestFailures:
    async def test_every_record_of_a_failed_batch_is_told_as_it_was_sent(
        self, cluster: FakeCluster
    ) -> None:
        async with running(cluster) as producer:
            reader = producer.failures()
            await producer.warm_up(["orders"])
            partition_of(cluster).script.append(Verb(TOPIC_AUTHORIZATION_FAILED))
            for number in range(2):
                producer.send(
                    "orders",
                    b"%d" % number,
                    key=b"k",
                    timestamp_ms=1000 + number,
                    headers=[("h", None)],
                )
        failures = await read_all(reader)
        assert [(f.record.value, f.record.timestamp_ms) for f in failures] == [
            (b"0", 1000),
            (b"1", 1001),
        ]
        first = failures[0]
        assert (first.record.topic, first.record.partition, first.record.key) == ("orders", 0, b"k")
        assert list(first.record.headers) == [("h", None)]
        assert isinstance(first.error, TopicAuthorizationFailedError)
        assert first.error is not failures[1].error

    async def test_what_never_had_a_batch_is_told_too(self, cluster: FakeCluster) -> None:
        async with running(cluster, max_block_ms=500, allow_auto_create_topics=False) as producer:
            reader = producer.failures()
            producer.send("missing", b"waits in vain")
            await asyncio.sleep(1)
        [failure] = await read_all(reader)
        assert failure.record.value == b"waits in vain"
        assert isinstance(failure.error, MetadataTimeoutError)

    async def test_a_record_that_cannot_be_serialized_is_told_as_it_was_given(
        self, cluster: FakeCluster
    ) -> None:
        async with running(cluster, value_serializer=str.encode) as producer:
            reader = producer.failures()
            producer.send("orders", 5)
        [failure] = await read_all(reader)
        assert failure.record.value == 5
        assert isinstance(failure.error, SerializationError)

    async def test_of_a_batch_with_one_bad_record_only_that_one_is_told(
        self, cluster: FakeCluster
    ) -> None:
        async with running(cluster) as producer:
            reader = producer.failures()
            await producer.warm_up(["orders"])
            verb = Verb(INVALID_RECORD, record_errors=[(1, "no key")])
            partition_of(cluster).script.append(verb)
            for number in range(3):
                producer.send("orders", b"%d" % number)
        [failure] = await read_all(reader)
        assert failure.record.value == b"1"
        assert isinstance(failure.error, InvalidRecordError)
        assert partition_of(cluster).values == [b"0", b"2"]

    async def test_while_somebody_reads_the_loop_is_not_told(self, cluster: FakeCluster) -> None:
        reports = reported()
        async with running(cluster) as producer:
            reader = producer.failures()
            partition_of(cluster).script.append(Verb(TOPIC_AUTHORIZATION_FAILED))
            producer.send("orders", b"v")
            await asyncio.sleep(1)
        assert len(await read_all(reader)) == 1
        gc.collect()
        assert reports == []

    async def test_once_the_reader_is_gone_the_loop_is_told_again(
        self, cluster: FakeCluster
    ) -> None:
        reports = reported()
        async with running(cluster) as producer:
            reader = producer.failures()
            del reader
            gc.collect()
            partition_of(cluster).script.append(Verb(TOPIC_AUTHORIZATION_FAILED))
            producer.send("orders", b"v")
            await asyncio.sleep(1)
            gc.collect()
        assert [report["message"][:11] for report in reports] == ["1 record(s)"]

    async def test_a_slow_reader_loses_the_oldest_and_learns_how_many(
        self, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failure_feed, "READER_LIMIT", 3)
        async with running(cluster) as producer:
            reader = producer.failures()
            await producer.warm_up(["orders"])
            partition_of(cluster).script.append(Verb(TOPIC_AUTHORIZATION_FAILED))
            for number in range(5):
                producer.send("orders", b"%d" % number)
        assert [f.record.value for f in await read_all(reader)] == [b"2", b"3", b"4"]
        assert reader.dropped == 2

    async def test_cancelling_the_wait_loses_no_failure(self, cluster: FakeCluster) -> None:
        async with running(cluster) as producer:
            reader = producer.failures()
            waiting = asyncio.ensure_future(anext(reader))
            await asyncio.sleep(0.1)
            waiting.cancel()
            partition_of(cluster).script.append(Verb(TOPIC_AUTHORIZATION_FAILED))
            producer.send("orders", b"v")
        assert [f.record.value for f in await read_all(reader)] == [b"v"]


class TestLateResults:
    async def test_what_cannot_be_called_is_refused_when_it_is_given(
        self, cluster: FakeCluster
    ) -> None:
        async with running(cluster) as producer:
            with pytest.raises(TypeError, match="hook must be a function or None, not int"):
                producer.on_late_result(5)  # type: ignore[arg-type]

    async def test_a_cancelled_delivery_has_its_metadata_told(self, cluster: FakeCluster) -> None:
        late: list[LateResult] = []
        async with running(cluster) as producer:
            producer.on_late_result(late.append)
            await producer.warm_up(["orders"])
            producer.send("orders", b"kept")
            producer.send("orders", b"given up").cancel()
            await asyncio.sleep(1)
        [result] = late
        assert (result.topic, result.partition, result.error) == ("orders", 0, None)
        assert result.metadata is not None
        assert result.metadata.offset == 1

    async def test_a_withdrawn_record_has_no_late_result(self, cluster: FakeCluster) -> None:
        late: list[LateResult] = []
        async with running(cluster) as producer:
            producer.on_late_result(late.append)
            producer.send("orders", b"not even known").cancel()
            await asyncio.sleep(1)
        assert late == []
        assert partition_of(cluster).values == []

    async def test_after_its_own_deadline_a_record_is_told_when_it_arrives(self) -> None:
        cluster = FakeCluster(latency=lambda: 1.0)
        cluster.add_topic("orders")
        late: list[LateResult] = []
        async with running(cluster) as producer:
            producer.on_late_result(late.append)
            await producer.warm_up(["orders"])
            delivery = producer.send("orders", b"slow", timeout=0.2)
            with pytest.raises(DeliveryTimeoutError) as caught:
                await delivery
            assert caught.value.persisted == "maybe"
            await asyncio.sleep(5)
        [result] = late
        assert result.metadata is not None
        assert result.metadata.offset == 0

    async def test_a_late_failure_is_told_with_its_error(self, cluster: FakeCluster) -> None:
        reports = reported()
        late: list[LateResult] = []
        async with running(cluster) as producer:
            producer.on_late_result(late.append)
            await producer.warm_up(["orders"])
            partition_of(cluster).script.append(Verb(TOPIC_AUTHORIZATION_FAILED))
            producer.send("orders", b"given up").cancel()
            await asyncio.sleep(1)
        [result] = late
        assert result.metadata is None
        assert isinstance(result.error, TopicAuthorizationFailedError)
        gc.collect()
        assert reports == []


class TestDeadlineOfOneRecord:
    async def test_a_record_withdrawn_by_its_deadline_is_told_and_counted(
        self, cluster: FakeCluster
    ) -> None:
        reports = reported()
        async with running(cluster, allow_auto_create_topics=False) as producer:
            reader = producer.failures()
            delivery = producer.send("missing", b"v", timeout=0.5)
            await asyncio.sleep(1)
            error = delivery.exception()
            assert isinstance(error, DeliveryTimeoutError)
            assert error.persisted == "no"
            assert producer.metrics().record_error_total == 1
            assert producer.metrics().waiting_records == 0
        assert [f.record.value for f in await read_all(reader)] == [b"v"]
        del delivery
        gc.collect()
        assert reports == []


async def test_two_readers_of_one_iterator_both_wake(cluster: FakeCluster) -> None:
    async with running(cluster) as producer:
        reader = producer.failures()
        first, second = (asyncio.ensure_future(anext(reader)) for _ in range(2))
        await asyncio.sleep(0.1)
        partition_of(cluster).script += [Verb(TOPIC_AUTHORIZATION_FAILED)] * 2
        producer.send("orders", b"one")
        await asyncio.sleep(1)
        producer.send("orders", b"two")
        values = {(await first).record.value, (await second).record.value}
    assert values == {b"one", b"two"}
