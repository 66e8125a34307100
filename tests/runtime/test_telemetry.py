"""When metrics are pushed, to whom and in what form; and when no longer."""

from __future__ import annotations

import asyncio
import gzip
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from aioproducer.core.telemetry import DEFAULT_INTERVAL_S, TelemetryState
from aioproducer.errors import (
    ClusterConnectionError,
    ProducerStateError,
    ProducerTimeoutError,
    broker_error,
)
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.runtime.telemetry import TelemetryReporter
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.get_telemetry_subscriptions import GetTelemetrySubscriptionsResponse
from aioproducer.wire.messages.push_telemetry import PushTelemetryRequest, PushTelemetryResponse
from aioproducer.wire.otlp import Point
from aioproducer.wire.primitives import Writer
from aioproducer.wire.versions import ApiKey, VersionRange
from tests.fake_broker import KAFKA_4, FakeCluster
from tests.runtime.world import now, running

INSTANCE = b"i" * 16
POINTS = [
    Point("org.apache.kafka.producer.record.send.total", 10, True),
    Point("org.apache.kafka.producer.request.latency.avg", 1.5, False),
    Point("org.apache.kafka.other", 1, False),
]


def wanted(**changed: Any) -> GetTelemetrySubscriptionsResponse:
    fields: dict[str, Any] = {
        "throttle_time_ms": 0, "error_code": 0, "client_instance_id": INSTANCE,
        "subscription_id": 7, "accepted_compression_types": (), "push_interval_ms": 60_000,
        "telemetry_max_bytes": 10_000, "delta_temporality": False,
        "requested_metrics": ("org.apache.kafka.producer",), **changed,
    }  # fmt: skip
    return GetTelemetrySubscriptionsResponse(**fields)


OK = PushTelemetryResponse(0, 0)


class Broker:
    """A connection manager with scripted answers; the last one of each kind is given again."""

    def __init__(self, subscriptions: list[Any], pushes: list[Any] | None = None) -> None:
        self.is_connected = True
        self.asked: list[tuple[float, Any]] = []
        self.answers = {"subscriptions": subscriptions, "pushes": pushes or [OK]}

    async def request(self, request: Any) -> Any:
        self.asked.append((now(), request))
        kind = "pushes" if isinstance(request, PushTelemetryRequest) else "subscriptions"
        answers = self.answers[kind]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def pushes(self) -> list[PushTelemetryRequest]:
        return [each for _, each in self.asked if isinstance(each, PushTelemetryRequest)]

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.asked]


class Brokers:
    def __init__(self, *brokers: Broker) -> None:
        self.brokers = list(brokers)

    async def any_ready(self) -> Broker:
        return next(broker for broker in self.brokers if broker.is_connected)


@asynccontextmanager
async def reporting(
    *brokers: Broker, collect: Callable[[], list[Point]] = lambda: POINTS, **more: Any
) -> AsyncIterator[TelemetryReporter]:
    crashes: list[object] = []
    supervisor = Supervisor("me", lambda *what: crashes.append(what))
    cluster: Any = Brokers(*brokers)
    reporter = TelemetryReporter("me", cluster, collect, random.Random(1), **more)
    reporter.cluster_known(supervisor)
    reporter.cluster_known(supervisor)
    try:
        yield reporter
    finally:
        await reporter.terminate(1.0)
        await supervisor.close()
    assert not crashes


def read(push: PushTelemetryRequest) -> dict[str, Any]:
    data = MetricsData.FromString(push.metrics)
    [scope] = data.resource_metrics[0].scope_metrics
    return {metric.name: metric for metric in scope.metrics}


async def test_metrics_are_pushed_at_each_interval() -> None:
    broker = Broker([wanted()])
    began = now()
    async with reporting(broker) as reporter:
        await asyncio.sleep(200)
        assert reporter.pushes == 3
        assert reporter.state is TelemetryState.PUSH_NEEDED
    ask, first, second, third, last = broker.times
    assert ask == began
    assert 30 <= first - ask <= 90, "many clients that start together do not push together"
    assert [second - first, third - second] == [60, 60]
    assert last == began + 200
    assert [push.terminating for push in broker.pushes] == [False, False, False, True]
    assert {push.client_instance_id for push in broker.pushes} == {INSTANCE}
    assert {push.subscription_id for push in broker.pushes} == {7}
    assert reporter.state is TelemetryState.TERMINATED


async def test_only_what_was_asked_for_goes() -> None:
    broker = Broker([wanted()])
    async with reporting(broker):
        await asyncio.sleep(100)
    metrics = read(broker.pushes[0])
    assert set(metrics) == {point.name for point in POINTS[:2]}
    assert metrics[POINTS[0].name].sum.data_points[0].as_int == 10
    assert metrics[POINTS[1].name].gauge.data_points[0].as_double == 1.5


async def test_a_transactional_producer_says_which_one_it_is() -> None:
    broker = Broker([wanted()])
    async with reporting(broker, transactional_id="payments-1"):
        await asyncio.sleep(100)
    data = MetricsData.FromString(broker.pushes[0].metrics)
    [attribute] = data.resource_metrics[0].resource.attributes
    assert (attribute.key, attribute.value.string_value) == ("transactional_id", "payments-1")


async def test_deltas_are_what_was_added_since_the_last_push_that_arrived() -> None:
    counts = iter([10, 12, 20, 25])
    name = POINTS[0].name
    late = PushTelemetryResponse(0, ErrorCode.THROTTLING_QUOTA_EXCEEDED)
    broker = Broker([wanted(delta_temporality=True)], [OK, late, OK])

    async with reporting(broker, collect=lambda: [Point(name, next(counts), True)]):
        await asyncio.sleep(220)
    sums = [read(push)[name].sum.data_points[0].as_int for push in broker.pushes]
    assert sums == [10, 2, 10, 5]


async def test_the_first_accepted_codec_that_is_there_is_used() -> None:
    broker = Broker([wanted(accepted_compression_types=(77, 1, 4))])
    async with reporting(broker):
        await asyncio.sleep(100)
    push = broker.pushes[0]
    assert push.compression_type == 1
    assert MetricsData.FromString(gzip.decompress(push.metrics)).resource_metrics


async def test_nothing_wanted_is_asked_again_later_and_not_pushed() -> None:
    broker = Broker([wanted(requested_metrics=())])
    async with reporting(broker) as reporter:
        await asyncio.sleep(125)
        assert reporter.state is TelemetryState.SUBSCRIPTION_NEEDED
    assert len(broker.asked) == 3
    assert not broker.pushes, "not at the end either"
    ids = [request.client_instance_id for _, request in broker.asked]
    assert ids == [bytes(16), INSTANCE, INSTANCE]


@pytest.mark.parametrize(
    "code", [ErrorCode.UNKNOWN_SUBSCRIPTION_ID, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE]
)
async def test_a_subscription_that_has_changed_is_asked_for_at_once(code: int) -> None:
    broker = Broker([wanted(), wanted(subscription_id=8)], [PushTelemetryResponse(0, code), OK])
    async with reporting(broker):
        await asyncio.sleep(200)
    kinds = [isinstance(each, PushTelemetryRequest) for _, each in broker.asked]
    assert kinds[:4] == [False, True, False, True]
    assert broker.times[1] == broker.times[2]
    assert [push.subscription_id for push in broker.pushes][:2] == [7, 8]


@pytest.mark.parametrize("code", [ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_RECORD, 9999])
@pytest.mark.parametrize("where", ["subscriptions", "pushes"])
async def test_other_codes_end_it(code: int, where: str) -> None:
    if where == "pushes":
        broker = Broker([wanted()], [PushTelemetryResponse(0, code)])
    else:
        broker = Broker([wanted(error_code=code)])
    async with reporting(broker) as reporter:
        await asyncio.sleep(1000)
        assert reporter.state is TelemetryState.TERMINATED
        asked = len(broker.asked)
    assert len(broker.asked) == asked == (2 if where == "pushes" else 1)


async def test_brokers_that_collect_nothing_are_asked_once() -> None:
    """They do not know the request at all; the connection manager says so."""
    broker = Broker([broker_error(35, "does not offer this API")])
    async with reporting(broker) as reporter:
        await asyncio.sleep(1000)
        with pytest.raises(ProducerStateError, match="collect no metrics"):
            await reporter.instance_id(1.0)
    assert len(broker.asked) == 1


async def test_a_broker_that_does_not_answer_is_asked_again_much_later() -> None:
    broker = Broker([ClusterConnectionError("gone"), wanted()])
    async with reporting(broker):
        await asyncio.sleep(DEFAULT_INTERVAL_S - 1)
        assert len(broker.asked) == 1
        await asyncio.sleep(2)
        assert len(broker.asked) == 2


async def test_a_push_that_was_not_answered_is_made_again_much_later() -> None:
    broker = Broker([wanted()], [ClusterConnectionError("gone"), OK])
    async with reporting(broker) as reporter:
        await asyncio.sleep(DEFAULT_INTERVAL_S + 50)
        assert reporter.pushes == 1


async def test_one_broker_is_kept_until_its_connection_is_gone() -> None:
    """It knows the subscription; another one has to look it up."""
    one, two = Broker([wanted()]), Broker([wanted()])
    async with reporting(one, two):
        await asyncio.sleep(60)
        assert len(one.pushes) == 1
        one.is_connected = False
        await asyncio.sleep(60)
        one.is_connected = True
        await asyncio.sleep(60)
    assert len(one.pushes) == 1
    assert len(two.pushes) >= 2


async def test_too_much_is_not_sent() -> None:
    broker = Broker([wanted(telemetry_max_bytes=20)])
    async with reporting(broker) as reporter:
        await asyncio.sleep(200)
        assert reporter.state is TelemetryState.PUSH_NEEDED
    assert not broker.pushes


async def test_metrics_that_cannot_be_read_end_it_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> list[Point]:
        raise RuntimeError("no figures")

    broker = Broker([wanted()])
    async with reporting(broker, collect=broken) as reporter:
        await asyncio.sleep(200)
        assert reporter.state is TelemetryState.TERMINATED
    assert "metrics cannot be read" in caplog.text
    assert not broker.pushes


async def test_the_last_push_is_given_up_in_time() -> None:
    class Silent(Broker):
        async def request(self, request: Any) -> Any:
            if isinstance(request, PushTelemetryRequest):
                await asyncio.sleep(1000)
            return await super().request(request)

    broker = Silent([wanted()])
    async with reporting(broker):
        await asyncio.sleep(1)
        began = now()
    assert now() - began == 1.0


class TestInstanceId:
    async def test_it_is_the_one_that_a_broker_gave(self) -> None:
        async with reporting(Broker([wanted(requested_metrics=())])) as reporter:
            assert await reporter.instance_id(1.0) == uuid.UUID(bytes=INSTANCE)

    async def test_waiting_for_it_has_a_bound(self) -> None:
        async with reporting(Broker([ClusterConnectionError("gone")])) as reporter:
            with pytest.raises(ProducerTimeoutError, match="within 2 s"):
                await reporter.instance_id(2.0)


def collecting_cluster() -> FakeCluster:
    """Return brokers with a receiver for metrics, which ask for all every minute."""
    versions = {api: VersionRange(0, 0) for api in TELEMETRY}
    cluster = FakeCluster(versions={**KAFKA_4, **versions})
    others = cluster.transactions.answer

    def answer(broker: Any, request: Any, throttle_ms: int) -> bytes:
        out = Writer()
        out.int32(0)
        out.int16(0)
        if request.api is ApiKey.GET_TELEMETRY_SUBSCRIPTIONS:
            out.uuid(INSTANCE)
            out.int32(7)
            out.array_length(0, True)
            out.int32(60_000)
            out.int32(1_000_000)
            out.boolean(True)
            out.array_length(1, True)
            out.string("*", True)
        elif request.api is not ApiKey.PUSH_TELEMETRY:
            return others(broker, request, throttle_ms)
        out.tagged_fields()
        return out.getvalue()

    cluster.transactions.answer = answer  # type: ignore[method-assign]
    cluster.add_topic("orders", 1)
    return cluster


TELEMETRY = (ApiKey.GET_TELEMETRY_SUBSCRIPTIONS, ApiKey.PUSH_TELEMETRY)


class TestProducer:
    async def test_it_asks_pushes_and_pushes_a_last_time_before_it_hangs_up(self) -> None:
        cluster = collecting_cluster()
        async with running(cluster) as producer:
            await producer.send("orders", b"v")
            assert await producer.client_instance_id() == uuid.UUID(bytes=INSTANCE)
            await asyncio.sleep(160)
            await producer.send("orders", b"w")
        asked = [request.api for _, request in cluster.brokers[1].requests]
        told = [api for api in asked if api in TELEMETRY]
        assert told == [TELEMETRY[0], TELEMETRY[1], TELEMETRY[1], TELEMETRY[1]]
        assert asked[-1] is ApiKey.PUSH_TELEMETRY

    async def test_closed_at_once_it_waits_for_no_push(self) -> None:
        cluster = collecting_cluster()
        async with running(cluster) as producer:
            await producer.client_instance_id()
            before = now()
            await producer.close(0)
            assert now() == before

    async def test_brokers_without_a_receiver_are_never_asked(self) -> None:
        cluster = FakeCluster()
        cluster.add_topic("orders", 1)
        async with running(cluster) as producer:
            await producer.send("orders", b"v")
            with pytest.raises(ProducerStateError, match="collect no metrics"):
                await producer.client_instance_id()
            await asyncio.sleep(1000)
            assert not [task for task in asyncio.all_tasks() if "telemetry" in task.get_name()]
        asked = {request.api.name for b in cluster.brokers.values() for _, request in b.requests}
        assert "GET_TELEMETRY_SUBSCRIPTIONS" not in asked

    async def test_switched_off_there_is_nothing(self) -> None:
        cluster = FakeCluster()
        cluster.add_topic("orders", 1)
        async with running(cluster, enable_metrics_push=False) as producer:
            await producer.send("orders", b"v")
            with pytest.raises(ProducerStateError, match=r"enable\.metrics\.push is off"):
                await producer.client_instance_id()

    async def test_a_cluster_that_is_away_gives_no_id_in_time(self) -> None:
        cluster = FakeCluster()
        for broker in cluster.brokers.values():
            broker.stop()
        async with running(cluster, max_block_ms=500) as producer:
            with pytest.raises(ProducerTimeoutError, match=r"within 0\.5 s"):
                await producer.client_instance_id()
            waiting = asyncio.create_task(producer.client_instance_id(timeout=100))
            await asyncio.sleep(1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
