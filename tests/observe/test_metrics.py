"""A snapshot of what was counted."""

from __future__ import annotations

import asyncio

from aioproducer import AsyncProducer, MetricsSnapshot
from aioproducer.observe.metrics import take_snapshot
from tests.fake_broker import FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import outcomes, running
from tests.virtual_clock import VirtualClockLoop


def test_before_the_start_everything_is_zero() -> None:
    assert take_snapshot(None) == MetricsSnapshot()
    assert AsyncProducer("localhost:9092").metrics() == MetricsSnapshot()


def test_records_retries_and_memory_are_counted() -> None:
    async def main() -> None:
        cluster = FakeCluster()
        topic = cluster.add_topic("orders")
        async with running(cluster, retry_backoff_ms=1, compression_type="gzip") as producer:
            await producer.send("orders", b"." * 1000)
            topic.partitions[0].script.extend([Verb(19), Verb(), Verb(87)])
            await producer.send("orders", b"again")
            await outcomes([producer.send("orders", b"refused")])
            metrics = producer.metrics()
            assert metrics.record_send_total == 2
            assert metrics.record_retry_total == 1
            assert metrics.record_error_total == 1
            assert metrics.batch_total == 2
            assert metrics.compression_rate_avg < 0.5
            assert metrics.buffer_available_bytes == metrics.buffer_total_bytes == 32 * 2**20
            waiting = producer.send("never", b"v")
            assert producer.metrics().waiting_records == 1
            waiting.cancel()
            assert metrics.as_java()["record-send-total"] == 2

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())
