"""What a request sends: there before the answer, dropped with the request, never lost by a cut."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer import DeliveryTimeoutError, MetadataTimeoutError, RecordTooLargeError
from aioproducer.wire.versions import ApiKey
from tests.fake_broker import Conduct, FakeCluster
from tests.integrations.services import Failed, service_on, start_all, stop_all, values_of
from tests.runtime.world import now


async def test_deliver_returns_when_kafka_has_the_record_without_lingering(
    cluster: FakeCluster,
) -> None:
    options = {"linger_ms": 60_000, "delivery_timeout_ms": 90_000}
    async with service_on(cluster, options) as service, service.request_events() as events:
        began = now()
        metadata = await events.deliver("orders", b"one", key=b"k", headers=[("h", b"v")])
        assert now() - began < 1
        assert (metadata.topic, metadata.offset) == ("orders", 0)
        assert values_of(cluster) == [b"one"]


@pytest.mark.parametrize("count", [1, 3])
async def test_what_was_added_is_there_when_the_block_is_left(
    cluster: FakeCluster, count: int
) -> None:
    options = {"linger_ms": 60_000, "delivery_timeout_ms": 90_000}
    values = [b"%d" % n for n in range(count)]
    async with service_on(cluster, options) as service:
        async with service.request_events() as events:
            for value in values:
                events.add("orders", value)
            await asyncio.sleep(1)
            assert values_of(cluster) == []
        assert values_of(cluster) == values


async def test_a_request_that_fails_sends_nothing_of_what_was_added(cluster: FakeCluster) -> None:
    async with service_on(cluster) as service:
        with pytest.raises(ZeroDivisionError):
            async with service.request_events() as events:
                await events.deliver("orders", b"delivered")
                events.add("orders", b"dropped")
                raise ZeroDivisionError
        await service.producer.flush()
    assert values_of(cluster) == [b"delivered"]


async def test_leaving_raises_the_first_failure_and_counts_the_others(cluster: FakeCluster) -> None:
    async with service_on(cluster) as service:
        with pytest.raises(RecordTooLargeError) as raised:
            async with service.request_events() as events:
                events.add("orders", b"x" * 2_000_000)
                events.add("orders", b"fits")
                events.add("orders", b"x" * 3_000_000)
        assert raised.value.__notes__ == ["1 more records of this request failed"]
    assert values_of(cluster) == [b"fits"]


async def test_deliver_raises_within_the_patience(cluster: FakeCluster) -> None:
    stop_all(cluster)
    slow = {"max_block_ms": 600_000, "delivery_timeout_ms": 600_000}
    async with service_on(cluster, slow, patience=3, drain_timeout=1) as service:
        began = now()
        with pytest.raises(DeliveryTimeoutError) as raised:
            async with service.request_events() as events:
                await events.deliver("orders", b"never")
        assert now() - began == pytest.approx(3, abs=0.1)
        assert raised.value.persisted == "no"


async def test_a_client_that_hangs_up_takes_no_waiting_record_back(cluster: FakeCluster) -> None:
    """A plain ``send_and_wait()`` that is cancelled would withdraw it."""
    stop_all(cluster)
    slow = {"max_block_ms": 600_000, "delivery_timeout_ms": 600_000}
    failed = Failed()
    async with service_on(cluster, slow, patience=60, on_failure=failed) as service:

        async def handler() -> None:
            async with service.request_events() as events:
                await events.deliver("orders", b"hung up")

        request = asyncio.ensure_future(handler())
        await asyncio.sleep(1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        start_all(cluster)
        await asyncio.sleep(30)
        assert values_of(cluster) == [b"hung up"]
    assert failed.told == []


async def test_one_that_hangs_up_while_added_records_leave_loses_none(cluster: FakeCluster) -> None:
    cluster.chooser = lambda _, request: (
        Conduct(delay=0.5) if request.api is ApiKey.PRODUCE else None
    )
    async with service_on(cluster) as service:

        async def handler() -> None:
            async with service.request_events() as events:
                events.add("orders", b"one")
                events.add("orders", b"two")

        request = asyncio.ensure_future(handler())
        await asyncio.sleep(0.1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert values_of(cluster) == [b"one", b"two"]


@pytest.mark.parametrize("count", [1, 2])
async def test_the_hook_is_told_of_failures_after_the_client_hung_up(
    cluster: FakeCluster, count: int
) -> None:
    stop_all(cluster)
    failed = Failed()
    values = [b"%d" % n for n in range(count)]
    async with service_on(cluster, on_failure=failed) as service:

        async def handler() -> None:
            async with service.request_events() as events:
                for value in values:
                    events.add("orders", value)

        request = asyncio.ensure_future(handler())
        await asyncio.sleep(1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert failed.told == []
        await asyncio.sleep(10)
        assert failed.values == values
        assert all(isinstance(error, MetadataTimeoutError) for _, error in failed.told)
        assert service.health().background_failures == count


async def test_misuse_is_raised_at_once(cluster: FakeCluster) -> None:
    async with service_on(cluster) as service, service.request_events() as events:
        with pytest.raises(TypeError):
            await events.deliver("orders", "text")  # type: ignore[arg-type]
