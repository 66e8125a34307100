"""Each finding is provoked on a simulated cluster, and none shows while all is well."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aioproducer import AsyncProducer, Diagnosis, MetricsSnapshot, Severity, Thresholds
from aioproducer.delivery import Delivery
from aioproducer.observe.findings import CHECKS, NAMES, Facts, Finding, find
from tests.fake_broker import Conduct, FakeBroker, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import outcomes, running, virtual_loop
from tests.virtual_clock import VirtualClockLoop

Scene = Callable[[FakeCluster, AsyncProducer[Any, Any]], Awaitable[None]]


def cluster_of(partitions: int = 4) -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_topic("orders", partitions)
    return cluster


def diagnose(
    scene: Scene, limits: dict[str, float] | None = None, **options: Any
) -> tuple[Diagnosis, Diagnosis]:
    """Play ``scene`` and return the diagnosis by default, and the one with ``limits``."""

    async def main() -> tuple[Diagnosis, Diagnosis]:
        cluster = cluster_of()
        async with running(cluster, **options) as producer:
            await producer.warm_up(["orders"])
            await scene(cluster, producer)
            found = producer.diagnose(), producer.diagnose(limits)
            await producer.close(0)
        return found

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main())


def the(name: str, diagnosis: Diagnosis) -> Finding:
    (found,) = [each for each in diagnosis if each.name == name]
    return found


def quiet(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        delivery.add_done_callback(lambda done: done.cancelled() or done.exception())


async def send_some(producer: AsyncProducer[Any, Any], count: int = 200) -> None:
    await outcomes([producer.send("orders", b"v" * 100, key=b"%d" % n) for n in range(count)])


# One scene for each finding


async def errors(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    await send_some(producer, 20)
    for partition in cluster.topics["orders"].partitions:
        partition.script.append(Verb(87))
    await send_some(producer, 10)


async def memory_pressure(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    cluster.brokers[1].chooser = None  # type: ignore[attr-defined]
    cluster.chooser = lambda broker, request: Conduct(delay=5.0)
    quiet([producer.send("orders", b"." * 10_000) for _ in range(90)])
    await asyncio.sleep(0.1)


async def request_timeouts(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    cluster.brokers[1].script.append(Conduct(stall=True))
    await send_some(producer)


async def request_latency(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    cluster.chooser = lambda broker, request: Conduct(delay=0.15)
    await send_some(producer)


async def throttling(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    cluster.brokers[1].script.append(Conduct(throttle_ms=2000))
    await send_some(producer)


async def loop_stalls(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    for _ in range(3):
        sent = [producer.send("orders", b"v") for _ in range(3)]
        await asyncio.sleep(0.0005)
        virtual_loop().block(2)
        await outcomes(sent)
        await asyncio.sleep(1)


async def growing_waiting_room(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    cluster.chooser = lambda broker, request: Conduct(delay=1.0)
    quiet([producer.send("orders", b"." * 5000) for _ in range(170)])
    await asyncio.sleep(0.5)


async def stuck_in_waiting_room(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    quiet([producer.send("nowhere", b"v")])
    await asyncio.sleep(3)


async def high_queue_time(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    await send_some(producer)


async def low_throughput(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    await send_some(producer)
    assert producer.diagnose({"baseline_records_per_second": 1e6}).names == ()  # too soon to say
    await asyncio.sleep(60)


async def hot_partition(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    await outcomes([producer.send("orders", b"v", key=b"always") for _ in range(200)])


async def poor_batching(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    for _ in range(3000):
        await producer.send("orders", b"v")


async def poor_compression(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
    await outcomes([producer.send("orders", os.urandom(500)) for _ in range(50)])


SCENES: list[tuple[Scene, dict[str, Any], dict[str, float], str]] = [
    # The scene, the settings, limits under which it is no finding, words of a cause.
    (errors, {}, {"error_rate": 0.5}, "see the errors of the deliveries"),
    (memory_pressure, {"buffer_memory": 1_000_000}, {"memory_used": 1.0}, "nothing holds"),
    (request_timeouts, {"request_timeout_ms": 1000}, {"timeout_rate": 1.0}, "a broker hangs"),
    (
        request_latency, {}, {"request_latency_ms": 500, "request_latency_critical_ms": 500},
        "the slowest in-sync replica",
    ),
    (throttling, {}, {"throttle_share": 1.0}, "quota"),
    (loop_stalls, {}, {"loop_stalls_per_minute": 100}, "blocking calls"),
    (
        growing_waiting_room, {"buffer_memory": 500_000}, {"waiting_growth_per_second": 1e6},
        "sent faster than they are acknowledged",
    ),
    (stuck_in_waiting_room, {}, {"waiting_oldest_ms": 10_000}, "topics that are not there"),
    (high_queue_time, {"linger_ms": 300}, {"queue_time_ms": 1000}, "linger.ms is 300"),
    (low_throughput, {}, {"throughput_share": 0}, "less is sent than usual"),
    (hot_partition, {}, {"hot_partition_from": 10_000}, "every record has the same key"),
    (poor_batching, {}, {"records_per_request": 1}, "linger.ms is 0"),
    (poor_compression, {"compression_type": "gzip"}, {"compression_ratio": 1}, "compressed or"),
]  # fmt: skip


def test_there_is_a_scene_for_each_finding() -> None:
    assert {scene.__name__ for scene, _, _, _ in SCENES} == set(NAMES)


@pytest.mark.parametrize(
    ("scene", "options", "limits", "cause"), SCENES, ids=lambda each: getattr(each, "__name__", "")
)
def test_each_finding_is_provoked(
    scene: Scene, options: dict[str, Any], limits: dict[str, float], cause: str
) -> None:
    """And no more than it: with a limit that the user moved it is none."""
    name = scene.__name__
    baseline = {"baseline_records_per_second": 1e6} if name == "low_throughput" else {}
    options = {"linger_ms": 5, "delivery_timeout_ms": 120_000, **options}
    if name == "poor_batching":
        options["linger_ms"] = 0
    strict, lenient = diagnose(scene, {**baseline, **limits}, **options)
    if baseline:
        assert name not in strict.names
        strict, _ = diagnose(scene, None, **options)
        facts = facts_of(strict.snapshot, Thresholds(**baseline))
        strict = Diagnosis(find(facts), strict.snapshot)
    found = the(name, strict)
    assert name not in lenient.names
    assert cause in "\n".join(found.causes)
    assert found.settings
    assert found.symptom in str(strict)
    assert found.threshold > 0 or name == "errors"


def facts_of(snapshot: MetricsSnapshot, limits: Thresholds) -> Facts:
    return Facts(snapshot, limits, 5, 16384, "none", 5, 60.0)


def test_nothing_is_found_while_all_is_well() -> None:
    """Two minutes of a hundred records in each tenth of a second, over four partitions."""

    async def calm(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
        for _ in range(1200):
            for number in range(100):
                producer.send("orders", b'{"order": %d}' % number * 5, key=b"%d" % number)
            await asyncio.sleep(0.1)
        await producer.flush()

    usual = {"baseline_records_per_second": 1000.0}
    strict, with_baseline = diagnose(calm, usual, linger_ms=5, compression_type="gzip")
    assert list(strict) == list(with_baseline) == []
    assert strict.worst is None
    assert str(strict) == "nothing is wrong by the figures of the last minute"


def test_turns_of_records_without_a_key_make_no_hot_partition() -> None:
    """At a low rate a minute holds a few turns of batch.size, here a part of one."""

    def play(key: bytes | None) -> tuple[dict[int, int], Diagnosis]:
        async def scene(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
            for _ in range(500):
                producer.send("orders", b"." * 20, key=key)
                await asyncio.sleep(0.02)

        found = diagnose(scene, linger_ms=5)[0]
        return dict(found.snapshot.topics["orders"].partition_records), found

    records, found = play(None)
    assert len(records) == 1
    assert "hot_partition" not in found.names
    assert "hot_partition" in play(b"always")[1].names


def test_enough_records_without_a_key_show_a_hot_partition() -> None:
    async def hot(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
        producer.send("orders", b"v")
        await outcomes([producer.send("orders", b"." * 2000, partition=0) for _ in range(800)])

    judged, not_judged = diagnose(hot, {"hot_partition_turns": 1000}, linger_ms=5)
    assert "hot_partition" in judged.names
    assert "hot_partition" not in not_judged.names


def test_before_anything_was_sent_nothing_is_found() -> None:
    assert find(facts_of(MetricsSnapshot(), Thresholds())) == []
    assert len(AsyncProducer("localhost:9092").diagnose()) == 0


def test_a_producer_that_sends_little_batches_well_enough() -> None:
    async def little(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
        for _ in range(10):
            await producer.send("orders", b"v")
            await asyncio.sleep(1)

    strict, _ = diagnose(little)
    assert strict.names == ()


def test_latency_is_a_warning_first() -> None:
    async def slower(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
        def delay(broker: FakeBroker, request: object) -> Conduct:
            return Conduct(delay=0.07)

        cluster.chooser = delay
        await send_some(producer)

    strict, _ = diagnose(slower)
    found = the("request_latency", strict)
    assert (found.severity, found.threshold) == (Severity.WARNING, 50)
    assert found.where == "slowest is broker 1"


def test_memory_that_is_nearly_gone_is_critical() -> None:
    free = 5 * 2**20
    metrics = MetricsSnapshot(buffer_total_bytes=32 * 2**20, buffer_available_bytes=free)
    (found,) = find(facts_of(metrics, Thresholds()))
    assert (found.name, found.severity, found.figure) == (
        "memory_pressure",
        Severity.CRITICAL,
        free,
    )


def test_a_small_memory_is_judged_by_its_part_in_use_alone() -> None:
    metrics = MetricsSnapshot(buffer_total_bytes=2**20, buffer_available_bytes=2**19)
    assert find(facts_of(metrics, Thresholds())) == []


def test_the_worst_comes_first() -> None:
    async def much(cluster: FakeCluster, producer: AsyncProducer[Any, Any]) -> None:
        await hot_partition(cluster, producer)
        await errors(cluster, producer)

    strict, _ = diagnose(much)
    assert strict[0].severity is strict.worst is Severity.CRITICAL
    assert strict.names[:1] == ("errors",)
    assert "hot_partition" in strict.names
    assert strict[0].where == "topic orders"
    assert repr(strict).startswith("<Diagnosis errors")
    assert len(strict[:1]) == 1


def test_every_check_is_called() -> None:
    assert len(CHECKS) == len(NAMES) - 1  # the waiting room grows, or is stuck
