"""A snapshot of what was counted, on brokers in memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioproducer import AsyncProducer, BufferExhaustedError, MetricKind, MetricsSnapshot
from aioproducer.observe.catalogue import NODE_METRICS, PRODUCER_METRICS, TOPIC_METRICS
from aioproducer.observe.metrics import take_snapshot
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import engine_of, now, outcomes, running
from tests.virtual_clock import VirtualClockLoop


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())


def cluster_of(partitions: int = 1) -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_topic("orders", partitions)
    return cluster


def test_before_the_start_everything_is_zero() -> None:
    producer = AsyncProducer("localhost:9092", client_id="me")
    assert take_snapshot(None) == MetricsSnapshot()
    assert producer.metrics() == MetricsSnapshot(client_id="me")


def test_records_retries_and_memory_are_counted() -> None:
    """Sent counts repetitions, as in Kafka; acknowledged does not."""

    async def main() -> None:
        cluster = cluster_of()
        topic = cluster.topics["orders"]
        async with running(cluster, retry_backoff_ms=1, compression_type="gzip") as producer:
            await producer.send("orders", b"." * 1000)
            topic.partitions[0].script.extend([Verb(19), Verb(), Verb(87)])
            await producer.send("orders", b"again")
            await outcomes([producer.send("orders", b"refused")])
            metrics = producer.metrics()
            assert (metrics.record_send_total, metrics.record_ack_total) == (4, 2)
            assert metrics.record_retry_total == 1
            assert metrics.record_error_total == 1
            assert metrics.batch_total == 2
            assert metrics.compression_rate_avg < 0.5
            assert metrics.buffer_available_bytes == metrics.buffer_total_bytes == 32 * 2**20
            orders = metrics.topics["orders"]
            assert (orders.record_send_total, orders.record_ack_total) == (4, 2)
            assert (orders.record_retry_total, orders.record_error_total) == (1, 1)
            assert orders.partition_records == {0: 4}
            waiting = producer.send("never", b"v")
            assert producer.metrics().waiting_records == 1
            assert producer.metrics().deliveries_outstanding == 1
            waiting.cancel()
            assert metrics.as_java()["record-send-total"] == 4

    run(main)


def test_rates_are_those_of_kafkas_windows() -> None:
    """Ten records each second for a minute; the windows forget them in time."""

    async def main() -> None:
        async with running(cluster_of(), linger_ms=5) as producer:
            await producer.warm_up(["orders"])
            for _ in range(60):
                for _ in range(10):
                    producer.send("orders", b"v" * 100)
                await asyncio.sleep(1)
            metrics = producer.metrics()
            assert metrics.record_send_rate == pytest.approx(10, rel=0.1)
            assert metrics.record_ack_rate == pytest.approx(10, rel=0.1)
            assert metrics.topics["orders"].record_send_rate == pytest.approx(10, rel=0.1)
            assert metrics.records_per_request_avg == 10
            assert metrics.batch_size_avg == metrics.batch_size_max > 1000
            assert metrics.batch_fill_avg == metrics.batch_size_avg / 16384
            assert 105 < metrics.record_size_avg < 115
            # They lingered for 5 ms, then travelled a millisecond there and one back.
            assert metrics.record_queue_time_avg == pytest.approx(5, abs=0.5)
            assert metrics.request_latency_avg == pytest.approx(2, abs=0.5)
            assert metrics.ack_time_avg == pytest.approx(7, abs=0.5)
            assert metrics.ack_time_p50 == pytest.approx(7, rel=0.2)
            assert metrics.ack_time_p99 <= metrics.ack_time_max
            assert metrics.batch_sealed_linger_total == 60
            await asyncio.sleep(100)
            metrics = producer.metrics()
            assert (metrics.record_send_rate, metrics.ack_time_max) == (0, 0)
            assert metrics.record_send_total == 600
            assert metrics.ack_times.count == 600
            assert 0.005 < metrics.ack_times.percentile(50) < 0.009

    run(main)


def test_why_batches_left_is_counted() -> None:
    async def main() -> None:
        async with running(cluster_of(), linger_ms=50, batch_size=1000) as producer:
            await producer.warm_up(["orders"])
            await producer.send("orders", b"lingers")
            await producer.send_and_wait("orders", b"hurries")
            producer.send("orders", b"flushed")
            await producer.flush()
            for _ in range(4):
                producer.send("orders", b"." * 400)
            await producer.flush()
            metrics = producer.metrics()
            assert metrics.batch_sealed_linger_total == 1
            assert metrics.batch_sealed_expedite_total == 1
            assert metrics.batch_sealed_size_total == 1
            assert metrics.batch_sealed_flush_total == 2
            assert metrics.flush_time_ns_total > 0

    run(main)


def test_brokers_and_connections_are_counted() -> None:
    async def main() -> None:
        cluster = FakeCluster(nodes=2)
        cluster.add_topic("orders", 2)
        async with running(cluster) as producer:
            await outcomes([producer.send("orders", b"v", partition=n) for n in (0, 1)])
            await asyncio.sleep(1)
            metrics = producer.metrics()
            assert metrics.connection_count == 2
            assert metrics.connection_creation_total > 2  # the bootstrap's are counted, too
            assert metrics.connection_close_total == metrics.connection_creation_total - 2
            for node_id in (1, 2):
                node = metrics.nodes[node_id]
                assert node.connected == 1
                assert node.request_total == node.response_total > 0
                assert node.outgoing_byte_total > node.request_size_max > 0
                assert node.incoming_byte_total > 0
                assert node.request_latency_avg == pytest.approx(2, abs=0.1)
            of_brokers = [node.request_total for node in metrics.nodes.values()]
            assert metrics.request_total >= sum(of_brokers)
            assert metrics.metadata_age > 0
            assert metrics.metadata_topics == 1

    run(main)


def test_a_request_that_is_not_answered_counts_as_timed_out() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster, request_timeout_ms=1000) as producer:
            await producer.send("orders", b"v")
            cluster.brokers[1].script.append(Conduct(stall=True))
            await producer.send("orders", b"v")
            metrics = producer.metrics()
            assert metrics.request_timeout_total == 1
            assert metrics.nodes[1].request_timeout_total == 1
            assert metrics.request_lost_total == 1

    run(main)


def test_a_throttling_broker_is_seen() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster) as producer:
            cluster.brokers[1].script.append(Conduct(throttle_ms=400))
            await producer.send("orders", b"v")
            metrics = producer.metrics()
            assert metrics.produce_throttle_time_max == 400
            assert metrics.throttle_time_total_ms == 400
            assert metrics.nodes[1].throttled == 1

    run(main)


def test_time_in_the_waiting_room_is_counted_by_what_was_waited_for() -> None:
    """Many at once count once: it is a part of the time."""

    async def main() -> None:
        cluster = cluster_of()
        cluster.brokers[1].script.append(Conduct(delay=3.0))
        async with running(cluster, buffer_memory=2000, batch_size=1000) as producer:
            deliveries = [producer.send("orders", b"." * 700) for _ in range(2)]
            begun = now()
            await asyncio.sleep(0.1)
            deliveries += [producer.send("orders", b"." * 700) for _ in range(2)]
            await outcomes(deliveries)
            took = now() - begun
            metrics = producer.metrics()
            assert 0 < metrics.metadata_wait_time_ns_total < 0.1e9
            assert 2.8e9 < metrics.bufferpool_wait_time_ns_total <= took * 1e9
            assert 0 < metrics.bufferpool_wait_ratio <= 1
            assert metrics.waiting_ended_total == 4
            assert metrics.waiting_time_max == pytest.approx(2900, rel=0.1)

    run(main)


def test_waiting_that_is_not_over_is_counted_too() -> None:
    async def main() -> None:
        cluster = cluster_of()
        async with running(cluster, buffer_memory=2000) as producer:
            waiting = producer.send("nowhere", b"v")
            await producer.warm_up(["orders"])
            cluster.chooser = lambda broker, request: Conduct(delay=10.0)
            sent = [producer.send("orders", b"." * 700) for _ in range(3)]
            await asyncio.sleep(5)
            for _ in range(3):
                metrics = producer.metrics()
                assert metrics.bufferpool_wait_time_ns_total == pytest.approx(5e9, rel=0.01)
                assert metrics.metadata_wait_time_ns_total == pytest.approx(5e9, rel=0.01)
            waiting.cancel()
            await asyncio.wait(sent)

    run(main)


def test_want_of_memory_is_counted() -> None:
    async def main() -> None:
        cluster = cluster_of()
        cluster.brokers[1].script.append(Conduct(delay=5.0))
        async with running(cluster, buffer_memory=1000, max_block_ms=1000) as producer:
            await producer.warm_up(["orders"])
            deliveries = [producer.send("orders", b"." * 700) for _ in range(2)]
            with pytest.raises(BufferExhaustedError):
                producer.try_send("orders", b"." * 700)
            assert producer.metrics().buffer_exhausted_total == 1
            await asyncio.wait(deliveries)
            assert producer.metrics().buffer_exhausted_total == 2
            deliveries[1].exception()

    run(main)


def test_every_figure_is_a_number() -> None:
    async def main() -> None:
        async with running(cluster_of()) as producer:
            await producer.send("orders", b"v")
            metrics = producer.metrics()
            readings = list(metrics.readings())
            assert metrics.count == len(readings)
            assert len(readings) == (
                len(PRODUCER_METRICS) + len(TOPIC_METRICS) + len(NODE_METRICS) * len(metrics.nodes)
            )
            for reading in readings:
                assert math.isfinite(reading.value), reading

    run(main)


class TestWatching:
    def test_a_snapshot_comes_at_each_interval_until_the_end(self) -> None:
        async def main() -> None:
            seen: list[tuple[float, int]] = []

            async def watch() -> None:
                async for snapshot in producer.watch_metrics(10):
                    seen.append((now(), snapshot.record_ack_total))  # noqa: PERF401

            async with running(cluster_of()) as producer:
                begun = now()
                watching = asyncio.ensure_future(watch())
                await asyncio.sleep(15)
                await producer.send("orders", b"v")
                await asyncio.sleep(10)
            await watching
            assert [round(at - begun) for at, _ in seen[:3]] == [0, 10, 20]
            assert [count for _, count in seen] == [0, 0, 1, 1]
            assert not producer._watchers

        run(main)

    @pytest.mark.parametrize("interval", [0, -1, math.inf, math.nan])
    def test_an_interval_is_a_positive_number(self, interval: float) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                with pytest.raises(ValueError, match="positive number"):
                    await anext(producer.watch_metrics(interval))

        run(main)

    def test_cancelling_ends_the_watch_alone(self) -> None:
        async def main() -> None:
            async def watch() -> None:
                async for _ in producer.watch_metrics(1):
                    pass

            async with running(cluster_of()) as producer:
                watching = asyncio.ensure_future(watch())
                await asyncio.sleep(3.5)
                watching.cancel()
                await asyncio.wait([watching])
                assert watching.cancelled()
                assert not producer._watchers
                await producer.send("orders", b"v")

        run(main)

    def test_one_who_stops_to_watch_leaves_nothing_behind(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                watch = producer.watch_metrics(1)
                await anext(watch)
                await watch.aclose()  # type: ignore[attr-defined]
                assert not producer._watchers

        run(main)


class TestRegistering:
    def test_an_own_metric_is_in_every_snapshot(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                producer.register_metric(
                    "dead-letter-total", lambda: 7, kind=MetricKind.TOTAL, unit="records"
                )
                readings = producer.metrics().readings()
                (reading,) = [r for r in readings if r.metric.name == "dead-letter-total"]
                assert (reading.value, reading.metric.kind) == (7, MetricKind.TOTAL)
                producer.unregister_metric("dead-letter-total")
                assert not producer.metrics().registered

        run(main)

    def test_one_that_raises_spoils_no_other(self) -> None:
        async def main() -> None:
            async with running(cluster_of()) as producer:
                producer.register_metric("broken", lambda: 1 / 0)
                assert math.isnan(next(iter(producer.metrics().registered.values())))
                assert producer.metrics().buffer_total_bytes > 0

        run(main)

    @pytest.mark.parametrize("name", ["Dead", "dead_letters", "", "record-send-rate", "x-"])
    def test_a_bad_or_taken_name_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="metric"):
            AsyncProducer("localhost:9092").register_metric(name, lambda: 0)

    def test_only_totals_and_gauges_can_be_told(self) -> None:
        producer = AsyncProducer("localhost:9092")
        with pytest.raises(ValueError, match="TOTAL or a GAUGE"):
            producer.register_metric("mine", lambda: 0, kind=MetricKind.RATE)

    def test_an_unknown_name_cannot_be_taken_out(self) -> None:
        with pytest.raises(ValueError, match="no metric mine"):
            AsyncProducer("localhost:9092").unregister_metric("mine")


def test_a_snapshot_is_to_be_had_after_the_end() -> None:
    async def main() -> None:
        async with running(cluster_of()) as producer:
            await producer.send("orders", b"v")
        assert producer.metrics().record_ack_total == 1
        assert take_snapshot(engine_of(producer)).connection_count == 0

    run(main)
