"""Metrics as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from opentelemetry import metrics as api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from aioproducer.observe.catalogue import METRICS, Kind
from aioproducer.observe.exporters import otel_metrics, source
from aioproducer.observe.exporters.opentelemetry import instrument
from aioproducer.observe.exporters.otel_names import otel_name
from aioproducer.observe.snapshot import MetricsSnapshot, NodeMetrics, TopicMetrics
from tests.fake_broker import FakeCluster
from tests.runtime.world import running
from tests.virtual_clock import VirtualClockLoop


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    """Return name -> data points."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


class Producer:
    client_id = "api"

    def __init__(self) -> None:
        self.taken = 0

    def metrics(self) -> MetricsSnapshot:
        self.taken += 1
        return MetricsSnapshot(
            client_id="api",
            record_send_total=7,
            request_latency_avg=12.5,
            ack_time_p99=250.0,
            topics={"orders": TopicMetrics(record_ack_total=5, record_error_total=2)},
            nodes={1: NodeMetrics(request_total=4), -1: NodeMetrics(request_total=9)},
        )


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy is no loop that does not answer."""
    monkeypatch.setattr(source, "_PATIENCE_S", 120.0)


async def test_every_metric_is_observed_in_base_units(monkeypatch: pytest.MonkeyPatch) -> None:
    # A collection takes no longer, however busy the machine.
    monkeypatch.setattr(otel_metrics, "_SNAPSHOT_SECONDS", 300)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    producer = Producer()
    with instrument(producer, provider):
        producer.taken = 0
        found = await asyncio.to_thread(points, reader)
    own = {"messaging.client.id": "api"}
    [sent] = found["kafka.producer.record_send"]
    assert (sent.value, dict(sent.attributes)) == (7, own)
    assert found["kafka.producer.request_latency_avg"][0].value == pytest.approx(0.0125)
    assert found["aioproducer.ack_time_p99"][0].value == pytest.approx(0.25)
    [node] = found["kafka.producer.node.request"]
    assert (node.value, dict(node.attributes)) == (4, {**own, "kafka.node.id": 1})
    good, bad = sorted(
        found["messaging.client.sent.messages"], key=lambda point: len(point.attributes)
    )
    assert (good.value, bad.value) == (5, 2)
    assert bad.attributes["error.type"] == "_OTHER"
    assert producer.taken == 1, "one snapshot for all instruments"
    names = {spelt[0] for metric in METRICS if (spelt := otel_name(metric)) is not None}
    assert names | {"messaging.client.sent.messages"} == set(found)
    provider.shutdown()


async def test_after_close_nothing_is_observed() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    with instrument(Producer(), provider):
        pass
    assert not any(points(reader).values())
    provider.shutdown()


def sent_by_client(reader: InMemoryMetricReader) -> dict[str, float]:
    return {
        point.attributes["messaging.client.id"]: point.value
        for point in points(reader).get("kafka.producer.record_send", [])
    }


class Named(Producer):
    def __init__(self, client_id: str) -> None:
        super().__init__()
        self.client_id = client_id


async def test_every_producer_is_observed_as_long_as_it_wants() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    a, b, c = (Named(name) for name in "abc")
    with instrument(a, provider):
        with instrument(b, provider):
            assert sent_by_client(reader) == {"a": 7, "b": 7}
        assert sent_by_client(reader) == {"a": 7}
    assert sent_by_client(reader) == {}
    with instrument(c, provider):
        assert sent_by_client(reader) == {"c": 7}
    provider.shutdown()


async def test_a_producer_that_is_observed_twice_is_counted_once() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    producer = Named("a")
    with instrument(producer, provider), instrument(producer, provider):
        assert sent_by_client(reader) == {"a": 7}
    assert sent_by_client(reader) == {}
    provider.shutdown()


async def test_a_collected_producer_is_forgotten() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    producer = Named("a")
    kept = instrument(producer, provider)
    del producer
    gc.collect()
    assert sent_by_client(reader) == {}
    assert not kept._instruments._observed
    provider.shutdown()


async def test_a_provider_that_comes_later_gets_all_that_were_there_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy, reader = api._internal._ProxyMeterProvider(), InMemoryMetricReader()
    monkeypatch.setattr(otel_metrics, "_early", [])
    monkeypatch.setattr(otel_metrics, "get_meter_provider", lambda: proxy)
    monkeypatch.setattr(otel_metrics, "get_meter", lambda *names: proxy.get_meter(*names[:2]))
    early, another, late = (Named(name) for name in ("early", "another", "late"))
    provider = MeterProvider([reader])
    with instrument(early), instrument(another):
        proxy.on_set_meter_provider(provider)
        monkeypatch.setattr(otel_metrics, "get_meter_provider", lambda: provider)
        with instrument(late):
            assert set(sent_by_client(reader)) == {"early", "another", "late"}
    provider.shutdown()


def test_metrics_of_the_applications_own_are_observed() -> None:
    def broken() -> float:
        raise ZeroDivisionError

    async def main() -> None:
        cluster, reader = FakeCluster(), InMemoryMetricReader()
        provider = MeterProvider([reader])
        async with running(cluster, client_id="api") as producer:
            producer.register_metric(
                "dead-letter-total", lambda: 5, kind=Kind.TOTAL, unit="records"
            )
            producer.register_metric("lag", lambda: 1500, unit="ms")
            producer.register_metric("broken", broken)
            with instrument(producer, provider):
                found = points(reader)
                [dead] = found["aioproducer.app_dead_letter"]
                assert (dead.value, dict(dead.attributes)) == (5, {"messaging.client.id": "api"})
                assert found["aioproducer.app_lag"][0].value == pytest.approx(1.5)
                assert not found.get("aioproducer.app_broken")
        provider.shutdown()

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


def test_one_that_is_registered_later_shows_from_the_second_collection_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otel_metrics, "_SNAPSHOT_SECONDS", 0)

    async def main() -> None:
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader])
        async with running(FakeCluster()) as producer:
            with instrument(producer, provider):
                producer.register_metric("depth", lambda: 3)
                points(reader)
                for thread in threading.enumerate():
                    if thread.name == "aioproducer-instruments":
                        thread.join()
                assert points(reader)["aioproducer.app_depth"][0].value == 3
                producer.unregister_metric("depth")
                assert not points(reader).get("aioproducer.app_depth")
        provider.shutdown()

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


async def test_a_collection_that_waits_for_the_loop_does_not_hold_up_a_new_producer() -> None:
    """The SDK's lock is held meanwhile, and the loop must not wait for that lock."""

    class WithOwn(Named):
        def metrics(self) -> MetricsSnapshot:
            own = otel_metrics.Registered("own", Kind.GAUGE, "records", "")
            return MetricsSnapshot(client_id=self.client_id, registered={own: 1})

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    first, second = Named("first"), WithOwn("second")
    with instrument(first, provider):
        collecting = asyncio.ensure_future(asyncio.to_thread(sent_by_client, reader))
        await asyncio.sleep(0)
        with instrument(second, provider):
            assert (await collecting)["first"] == 7
            for thread in threading.enumerate():
                if thread.name == "aioproducer-instruments":
                    thread.join()
            assert points(reader)["aioproducer.app_own"][0].value == 1
    provider.shutdown()
