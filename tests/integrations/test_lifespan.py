"""A service's producer: it starts without a cluster, recovers, and its end has a bound."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aioproducer import (
    AsyncProducer,
    CircuitOpenError,
    ConfigurationError,
    NotStartedError,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
)
from aioproducer.integrations import ProducerLifespan, answer_for
from aioproducer.patterns import CircuitBreaker, CircuitRules, DeadLetters
from aioproducer.testing import FakeProducer
from tests.fake_broker import FakeCluster
from tests.integrations.services import (
    Failed,
    producer_on,
    service_on,
    start_all,
    stop_all,
    values_of,
)
from tests.runtime.world import now


async def test_a_service_starts_without_a_cluster_says_so_and_recovers(
    cluster: FakeCluster,
) -> None:
    stop_all(cluster)
    began = now()
    async with service_on(cluster) as service:
        assert now() == began
        await asyncio.sleep(1)
        health = service.health()
        assert (health.live, health.ready) == (True, False)
        assert "no broker has answered yet" in health.reasons
        start_all(cluster)
        async with asyncio.timeout(60):
            while not service.health().ready:
                await asyncio.sleep(0.1)
        assert service.health().reasons == ()
        await service.producer.send_and_wait("orders", b"one")
    assert values_of(cluster) == [b"one"]


async def test_the_end_delivers_what_is_open(cluster: FakeCluster) -> None:
    async with service_on(cluster, {"linger_ms": 60_000, "delivery_timeout_ms": 90_000}) as service:
        service.producer.send("orders", b"direct")
        service.outbox.put("orders", b"outbox")
    assert sorted(map(str, values_of(cluster))) == ["b'direct'", "b'outbox'"]
    assert service.last_report is not None
    assert service.last_report.abandoned == 0


async def test_the_end_takes_no_longer_than_the_drain_and_tells_of_the_rest(
    cluster: FakeCluster,
) -> None:
    failed = Failed()
    slow = {"delivery_timeout_ms": 600_000, "max_block_ms": 600_000}
    async with service_on(cluster, slow, drain_timeout=10, on_failure=failed) as service:
        await service.producer.send_and_wait("orders", b"delivered")
        stop_all(cluster)
        service.outbox.put("orders", b"left behind")
        began = now()
    # A second of it is for the brokers' own timers, after the end.
    assert now() - began <= 11.1
    assert failed.values == [b"left behind"]
    assert isinstance(failed.told[0][1], ProducerClosedError)
    assert values_of(cluster) == [b"delivered"]


async def test_a_failure_hook_may_take_its_time_within_the_drain(cluster: FakeCluster) -> None:
    spooled = []

    async def spool(record: object, error: object) -> None:
        await asyncio.sleep(0.5)
        spooled.append(record)

    async with service_on(cluster, drain_timeout=10, on_failure=spool) as service:
        service.outbox.put("orders", b"x" * 2_000_000)
        await asyncio.sleep(0)
    assert len(spooled) == 1


async def test_a_hook_that_hangs_does_not_hold_up_the_end(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(record: object, error: object) -> None:
        await asyncio.get_running_loop().create_future()

    async with service_on(cluster, drain_timeout=10, on_failure=hang) as service:
        service.outbox.put("orders", b"x" * 2_000_000)
        await asyncio.sleep(0.1)
        began = now()
    assert now() - began <= 12.1
    assert "1 tasks ran out of time" in caplog.text


async def test_cancelling_the_end_fails_at_once_what_is_open(cluster: FakeCluster) -> None:
    failed = Failed()
    slow = {"delivery_timeout_ms": 600_000, "max_block_ms": 600_000}
    service = ProducerLifespan(
        lambda: producer_on(cluster, **slow), drain_timeout=300, on_failure=failed
    )
    await service.__aenter__()
    stop_all(cluster)
    service.outbox.put("orders", b"open")
    began = now()
    end = asyncio.ensure_future(service.__aexit__(None, None, None))
    await asyncio.sleep(1)
    end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await end
    assert now() - began < 3
    assert failed.values == [b"open"]


async def test_a_service_may_be_started_anew_but_not_twice(cluster: FakeCluster) -> None:
    service = ProducerLifespan(lambda: producer_on(cluster))
    for _ in range(2):
        async with service:
            with pytest.raises(ProducerStateError, match="started already"):
                await service.__aenter__()
            await service.producer.send_and_wait("orders", b"one")
        with pytest.raises(NotStartedError):
            service.producer  # noqa: B018
    assert values_of(cluster) == [b"one", b"one"]
    assert (service.health().live, service.health().ready) == (True, False)


async def test_a_transactional_producer_is_refused(cluster: FakeCluster) -> None:
    service = ProducerLifespan(lambda: AsyncProducer("a:1", transactional_id="tx"))
    with pytest.raises(ConfigurationError, match="TransactionalProducerPool"):
        await service.__aenter__()


async def test_wrong_settings_of_the_producer_stop_the_start(cluster: FakeCluster) -> None:
    service = ProducerLifespan(lambda: AsyncProducer("a:1", config={"no.such.key": 1}))
    with pytest.raises(ConfigurationError, match=r"no\.such\.key"):
        await service.__aenter__()


@pytest.mark.parametrize("settings", [{"patience": 0}, {"drain_timeout": -1}])
async def test_times_that_are_none_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="seconds"):
        ProducerLifespan(lambda: AsyncProducer("a:1"), **settings)  # type: ignore[arg-type]


async def test_a_full_outbox_makes_the_service_unready(cluster: FakeCluster) -> None:
    async with service_on(cluster, outbox_records=1) as service:
        await service.producer.send_and_wait("orders", b"one")
        service.outbox.put("orders", b"two")
        health = service.health()
        assert not health.ready
        assert health.reasons == ("the outbox is full: 1 records",)
        assert health.as_dict()["outbox_records"] == health.as_dict()["outbox_limit"] == 1
        await service.outbox.join()
        assert service.health().ready


async def test_a_circuit_breaker_stands_in_front_of_requests_and_the_outbox(
    cluster: FakeCluster,
) -> None:
    rules = CircuitRules(failures_in_row=2, recovery=30)
    service = ProducerLifespan(lambda: CircuitBreaker(producer_on(cluster), rules))
    async with service:
        assert isinstance(service.front, CircuitBreaker)
        assert service.front.innermost is service.producer
        await service.producer.send_and_wait("orders", b"before")
        stop_all(cluster)
        service.outbox.put("orders", b"patient")
        for _ in range(2):
            with pytest.raises(ProducerError):
                async with service.request_events() as events:
                    await events.deliver("orders", b"fails")
        began = now()
        with pytest.raises(CircuitOpenError) as raised:
            async with service.request_events() as events:
                events.add("orders", b"is not even tried")
        assert now() == began
        assert int(answer_for(raised.value).headers["Retry-After"]) > 2
        start_all(cluster)
        await service.outbox.join(300)
    await asyncio.sleep(1)
    assert values_of(cluster) == [b"before", b"patient"]


async def test_what_dead_letters_in_front_have_kept_is_not_sent_again(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    failed, spool = Failed(), tmp_path / "letters"
    service = ProducerLifespan(
        lambda: DeadLetters(producer_on(cluster), topic=None, spool=spool), on_failure=failed
    )
    async with service:
        await service.producer.send_and_wait("orders", b"before")
        stop_all(cluster)
        service.outbox.put("orders", b"kept")
        await service.outbox.join(60)
        start_all(cluster)
        await asyncio.sleep(60)
    await asyncio.sleep(1)
    assert values_of(cluster) == [b"before"]
    assert failed.values == [b"kept"]
    assert b"kept" in spool.read_bytes()


async def test_a_fake_producer_takes_the_place_of_one_in_a_users_tests() -> None:
    fake = FakeProducer()
    service = ProducerLifespan(lambda: fake)
    async with service:
        async with service.request_events() as events:
            await events.deliver("orders", b"delivered")
            events.add("orders", b"added")
        service.outbox.put("orders", b"put")
        assert service.health().ready
    assert [record.value for record in fake.history] == [b"delivered", b"added", b"put"]
