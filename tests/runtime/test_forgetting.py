"""Topics long unused cost nothing, and come back with their sequences."""

from __future__ import annotations

import asyncio

from tests.fake_broker import FakeCluster
from tests.runtime.world import engine_of, running, values_of


async def test_an_idle_topic_is_forgotten_and_comes_back_in_sequence() -> None:
    """Were its sequences forgotten too, the broker would refuse or drop what comes next."""
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    cluster.add_topic("busy")
    options = {"metadata_max_idle_ms": 5_000, "metadata_max_age_ms": 2_000}
    async with running(cluster, **options) as producer:
        await producer.send("orders", b"first")
        for _ in range(20):
            await producer.send("busy", b"v")
            await asyncio.sleep(1)
        engine = engine_of(producer)
        assert set(engine.cluster.view.topics) == {"busy"}
        assert set(engine.intake._topics) == {"busy"}
        assert (await producer.send("orders", b"second")).offset == 1
    assert values_of(cluster, "orders") == [b"first", b"second"]


async def test_its_figures_are_counted_with_all_that_are_forgotten() -> None:
    """Producers that meet ever new topics must not keep a meter of each."""
    cluster = FakeCluster(latency=lambda: 0.01)
    names = [f"tenant-{number}" for number in range(20)]
    for name in names:
        cluster.add_topic(name)
    options = {"metadata_max_idle_ms": 5_000, "metadata_max_age_ms": 2_000}
    async with running(cluster, **options) as producer:
        for name in names:
            await producer.send(name, b"v", headers=[("h", b"")])
        await asyncio.sleep(20)
        assert producer.metrics().topics == {}
        await producer.send(names[0], b"v")
        assert set(producer.metrics().topics) == {names[0]}
        assert producer.metrics().record_send_total == 21
        report = await producer.close()
    assert {name: counts.delivered for name, counts in report.topics.items()} == {names[0]: 1}
    assert (report.forgotten.delivered, report.delivered, report.failed) == (20, 21, 0)


async def test_a_topic_with_records_under_way_is_kept() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    topic = cluster.add_topic("orders")
    cluster.add_topic("busy")
    options = {"metadata_max_idle_ms": 5_000, "metadata_max_age_ms": 2_000}
    async with running(cluster, **options) as producer:
        await producer.warm_up(["orders"])
        topic.partitions[0].leader = -1
        topic.partitions[0].epoch += 1
        delivery = producer.send("orders", b"waits for a leader")
        for _ in range(10):
            await producer.send("busy", b"v")
            await asyncio.sleep(1)
        assert not delivery.done()
        topic.partitions[0].leader = 1
        topic.partitions[0].epoch += 1
        assert (await delivery).offset == 0
