"""The outbox: takes at once, holds no more than it may, and says what became of each record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer import DeliveryTimeoutError, ProducerClosedError, RecordTooLargeError
from aioproducer.integrations import Outbox, OutboxFullError
from tests.fake_broker import Conduct, FakeCluster
from tests.integrations.services import Failed, service_on, start_all, stop_all, values_of
from tests.runtime.world import now


async def test_put_returns_at_once_and_join_when_all_is_there(cluster: FakeCluster) -> None:
    async with service_on(cluster) as service:
        outbox, began = service.outbox, now()
        for n in range(10):
            outbox.put("orders", b"%d" % n, key=b"k")
        assert (now(), len(outbox)) == (began, 10)
        await outbox.join()
        assert (len(outbox), outbox.put_total, outbox.delivered_total) == (0, 10, 10)
        assert values_of(cluster) == [b"%d" % n for n in range(10)]
        await outbox.join(0)


async def test_no_more_than_the_limit_is_held(cluster: FakeCluster) -> None:
    async with service_on(cluster, outbox_records=2) as service:
        service.outbox.put("orders", b"1")
        service.outbox.put("orders", b"2")
        with pytest.raises(OutboxFullError) as raised:
            service.outbox.put("orders", b"3")
        assert (raised.value.retriable, raised.value.persisted) == (True, "no")
        await service.outbox.join()
        service.outbox.put("orders", b"4")
    assert values_of(cluster) == [b"1", b"2", b"4"]


async def test_an_outage_longer_than_the_producers_patience_loses_nothing_and_keeps_the_order(
    cluster: FakeCluster,
) -> None:
    failed = Failed()
    async with service_on(cluster, on_failure=failed) as service:
        await service.producer.send_and_wait("orders", b"before")
        stop_all(cluster)
        values = []
        for n in range(100):
            values.append(b"%d" % n)
            service.outbox.put("orders", values[-1])
            await asyncio.sleep(0.2)
        assert len(service.outbox) == 100
        start_all(cluster)
        await service.outbox.join(60)
    assert values_of(cluster) == [b"before", *values]
    assert failed.told == []


async def test_after_its_time_a_record_is_given_up_and_the_hook_is_told(
    cluster: FakeCluster,
) -> None:
    stop_all(cluster)
    failed, began = Failed(), now()
    async with service_on(cluster, on_failure=failed, give_up_after=30) as service:
        service.outbox.put("orders", b"lost")
        await service.outbox.join(120)
        assert 30 <= now() - began < 50
    ((value, error),) = failed.told
    assert value == b"lost"
    assert (error.retriable, error.persisted) == (True, "no")


async def test_what_no_repetition_mends_is_told_at_once(cluster: FakeCluster) -> None:
    failed = Failed()
    async with service_on(cluster, on_failure=failed) as service:
        service.outbox.put("orders", b"x" * 2_000_000)
        await service.outbox.join(1)
    assert isinstance(failed.told[0][1], RecordTooLargeError)


@pytest.mark.parametrize(("duplicates", "copies"), [(False, 1), (True, 2)])
async def test_what_may_be_in_the_log_is_sent_again_only_where_duplicates_are_allowed(
    cluster: FakeCluster, duplicates: bool, copies: int
) -> None:
    """The broker writes the record and never answers; then the producer's own time is over."""
    cluster.brokers[1].script.append(Conduct(stall=True))
    failed = Failed()
    options = {"enable_idempotence": False, "retries": 0}
    async with service_on(cluster, options, on_failure=failed, duplicates=duplicates) as service:
        service.outbox.put("orders", b"once or twice")
        await service.outbox.join(120)
    assert values_of(cluster) == [b"once or twice"] * copies
    assert [error.persisted for _, error in failed.told] == ([] if duplicates else ["maybe"])


async def test_misuse_raises_and_leaves_nothing_in_the_outbox(cluster: FakeCluster) -> None:
    async with service_on(cluster) as service:
        with pytest.raises(TypeError):
            service.outbox.put("orders", "text")  # type: ignore[arg-type]
        assert len(service.outbox) == 0


async def test_misuse_behind_a_line_is_told_to_the_hook(cluster: FakeCluster) -> None:
    stop_all(cluster)
    failed = Failed()
    async with service_on(cluster, on_failure=failed) as service:
        service.outbox.put("orders", b"first")
        async with asyncio.timeout(60):
            while not service.outbox._again:
                await asyncio.sleep(0.01)
        service.outbox.put("orders", "text")  # type: ignore[arg-type]
        start_all(cluster)
        await service.outbox.join(60)
    assert failed.values == ["text"]
    assert isinstance(failed.told[0][1].__cause__, TypeError)
    assert values_of(cluster) == [b"first"]


async def test_a_closed_outbox_takes_nothing(cluster: FakeCluster) -> None:
    async with service_on(cluster) as service:
        service.outbox.close()
        with pytest.raises(ProducerClosedError):
            service.outbox.put("orders", b"late")


async def test_join_gives_up_after_its_time(cluster: FakeCluster) -> None:
    stop_all(cluster)
    async with service_on(cluster, drain_timeout=1) as service:
        service.outbox.put("orders", b"waits")
        with pytest.raises(TimeoutError):
            await service.outbox.join(0.5)
        assert len(service.outbox) == 1


async def test_a_failing_record_does_not_hide_in_the_log(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    stop_all(cluster)
    async with service_on(cluster, give_up_after=0) as service:
        service.outbox.put("orders", b"lost")
        await service.outbox.join(60)
    assert "a record for orders failed with nobody waiting (persisted: no)" in caplog.text


@pytest.mark.parametrize("settings", [{"max_records": 0}, {"give_up_after": -1.0}])
async def test_limits_that_are_none_are_refused(
    cluster: FakeCluster, settings: dict[str, Any]
) -> None:
    async with service_on(cluster) as service:
        with pytest.raises(ValueError, match="max_records"):
            Outbox(service.producer, Failed(), **settings)


async def test_a_delivery_timeout_alone_fails_no_record(cluster: FakeCluster) -> None:
    """Nothing was on the wire: the record is surely not in the log, and goes again."""
    await asyncio.sleep(0)
    failed = Failed()
    async with service_on(cluster, on_failure=failed) as service:
        await service.producer.send_and_wait("orders", b"known")
        stop_all(cluster)
        with pytest.raises(DeliveryTimeoutError):
            await service.producer.send("orders", b"for comparison")
        service.outbox.put("orders", b"patient")
        await asyncio.sleep(10)
        start_all(cluster)
        await service.outbox.join(60)
    assert values_of(cluster) == [b"known", b"patient"]
