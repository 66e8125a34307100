"""Metadata: asked when needed, when old, and until the cluster answers."""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
from typing import Any

import pytest

from aioproducer import DeliveryTimeoutError, MetadataTimeoutError
from aioproducer.errors import ClusterConnectionError, TopicAuthorizationFailedError
from aioproducer.wire.versions import ApiKey
from tests import broker_wire as wire
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, now, running


def cluster_of(nodes: int = 1, partitions: int = 1) -> FakeCluster:
    cluster = FakeCluster(nodes, latency=lambda: 0.01)
    cluster.add_topic("orders", partitions)
    return cluster


def asked(cluster: FakeCluster) -> list[tuple[float, Any]]:
    """Return when which topics were asked about, in order."""
    requests = [
        (at, tuple(request.body.topics or ()))
        for broker in cluster.brokers.values()
        for at, request in broker.requests
        if request.api is ApiKey.METADATA
    ]
    return sorted(requests)


async def test_a_new_topic_is_asked_for_alone_and_at_once() -> None:
    cluster = cluster_of()
    cluster.add_topic("others")
    async with running(cluster) as producer:
        await producer.send("orders", b"v")
        before = len(asked(cluster))
        started = now()
        await producer.send("others", b"v")
        assert now() - started < 0.1
        assert [topics for _, topics in asked(cluster)[before:]] == [("others",)]


async def test_all_topics_are_refreshed_when_the_metadata_is_old() -> None:
    cluster = cluster_of()
    cluster.add_topic("others")
    async with running(cluster, metadata_max_age_ms=10_000) as producer:
        await producer.warm_up(["orders", "others"])
        await asyncio.sleep(25)
        assert asked(cluster)[-1][1] == ("orders", "others")
        times = [at for at, topics in asked(cluster) if len(topics) == 2]
        assert [round(b - a) for a, b in itertools.pairwise(times)][-1] == 10


async def test_topics_that_nobody_uses_are_forgotten() -> None:
    cluster = cluster_of()
    cluster.add_topic("others")
    options: dict[str, Any] = {"metadata_max_age_ms": 10_000, "metadata_max_idle_ms": 60_000}
    async with running(cluster, **options) as producer:
        await producer.warm_up(["orders", "others"])
        for _ in range(10):
            await producer.send("orders", b"v")
            await asyncio.sleep(10)
        assert asked(cluster)[-1][1] == ("orders",)
        assert "others" not in engine_of(producer).cluster.view.topics
        await producer.send("others", b"v")


async def test_a_topic_in_use_is_not_forgotten() -> None:
    cluster = cluster_of()
    options: dict[str, Any] = {"metadata_max_age_ms": 5000, "metadata_max_idle_ms": 10_000}
    async with running(cluster, **options) as producer:
        for _ in range(10):
            await producer.send("orders", b"v")
            await asyncio.sleep(4)
        assert "orders" in engine_of(producer).cluster.view.topics


async def test_questions_without_a_new_answer_come_further_and_further_apart() -> None:
    cluster = cluster_of()
    options: dict[str, Any] = {
        "retry_backoff_ms": 100,
        "retry_backoff_max_ms": 2000,
        "max_block_ms": 30_000,
    }
    async with running(cluster, **options) as producer:
        delivery = producer.send("never", b"v")
        await asyncio.sleep(20)
        times = [at for at, _ in asked(cluster)]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert waits[-1] > 1.5
        assert len(times) < 25
        delivery.cancel()


async def test_no_broker_at_all_is_one_warning_that_names_each_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = cluster_of(2)
    for broker in cluster.brokers.values():
        broker.stop()
    with caplog.at_level(logging.WARNING, logger="aioproducer"):
        async with running(cluster, max_block_ms=5000) as producer:
            with pytest.raises(MetadataTimeoutError) as caught:
                await producer.send("orders", b"v")
            cause = caught.value.__cause__
            assert isinstance(cause, ClusterConnectionError)
            assert set(cause.addresses) == {"broker-1:9092", "broker-2:9092"}
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    for word in (producer.client_id, "broker-1:9092", "broker-2:9092", "refused"):
        assert word in warnings[0]


async def test_closing_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    cluster = cluster_of(2, 2)
    with caplog.at_level(logging.WARNING, logger="aioproducer"):
        async with running(cluster) as producer:
            await producer.send("orders", b"v")
            producer.send("never", b"v").cancel()
    assert not caplog.records


async def test_it_recovers_when_the_brokers_come_back() -> None:
    cluster = cluster_of(2, 2)
    async with running(cluster) as producer:
        await producer.send("orders", b"v", partition=0)
        for broker in cluster.brokers.values():
            broker.stop()
        delivery = producer.send("orders", b"w", partition=0)
        await asyncio.sleep(20)
        for broker in cluster.brokers.values():
            broker.start()
        await delivery
    assert cluster.topics["orders"].partitions[0].values == [b"v", b"w"]


async def test_a_whole_new_cluster_behind_the_same_name_is_found() -> None:
    """All addresses learnt have gone; the bootstrap list leads to new ones (KIP-899)."""
    cluster = cluster_of(2, 2)
    bootstrap = ["boot:9092"]
    old = [("broker-1", 9092), ("broker-2", 9092)]
    cluster.hosts["boot"] = [(2, address) for address in old]
    options: dict[str, Any] = {"reconnect_backoff_max_ms": 1000, "bootstrap": bootstrap}
    async with running(cluster, **options) as producer:
        await producer.send("orders", b"v", partition=0)
        for broker in cluster.brokers.values():
            broker.hang_up()
            broker.host = f"new-{broker.node_id}"
        cluster.hosts["boot"] = [(2, ("new-1", 9092)), (2, ("new-2", 9092))]
        assert (await producer.send("orders", b"w", partition=0)).offset == 1


async def test_with_the_strategy_none_the_bootstrap_list_is_for_the_beginning_alone() -> None:
    cluster = cluster_of(2, 2)
    cluster.hosts["boot"] = [(2, ("broker-1", 9092)), (2, ("broker-2", 9092))]
    options: dict[str, Any] = {
        "metadata_recovery_strategy": "none",
        "metadata_max_age_ms": 1000,
        "reconnect_backoff_max_ms": 1000,
        "bootstrap": ["boot:9092"],
        "delivery_timeout_ms": 40_000,
    }
    async with running(cluster, **options) as producer:
        await producer.send("orders", b"v", partition=0)
        cluster.metadata_error = 129
        connections = cluster.brokers[1].connections
        await asyncio.sleep(5)
        assert cluster.brokers[1].connections == connections
        cluster.metadata_error = 0
        for broker in cluster.brokers.values():
            broker.hang_up()
            broker.host = f"new-{broker.node_id}"
        cluster.hosts["boot"] = [(2, ("new-1", 9092)), (2, ("new-2", 9092))]
        with pytest.raises(DeliveryTimeoutError):
            await producer.send("orders", b"w", partition=0)


async def test_the_cluster_may_ask_for_a_new_bootstrap() -> None:
    cluster = cluster_of()
    async with running(cluster, metadata_max_age_ms=1000) as producer:
        await producer.send("orders", b"v")
        cluster.metadata_error = 129
        await asyncio.sleep(3)
        cluster.metadata_error = 0
        await producer.send("orders", b"w")
    assert cluster.topics["orders"].partitions[0].values == [b"v", b"w"]


async def test_brokers_that_answer_without_telling_anything_are_left_as_well() -> None:
    """They can be reached all the time, but know of no broker (KIP-1102)."""
    cluster = cluster_of()
    options = {"metadata_max_age_ms": 1000, "metadata_recovery_rebootstrap_trigger_ms": 5000}
    async with running(cluster, **options) as producer:
        await producer.send("orders", b"v")
        connections = cluster.brokers[1].connections
        tell = cluster.metadata

        def tell_nothing(request: Any, throttle_ms: int) -> bytes:
            return wire.metadata_response(request.version, [], [], cluster_id=cluster.cluster_id)

        cluster.metadata = tell_nothing  # type: ignore[method-assign]
        await asyncio.sleep(4)
        assert cluster.brokers[1].connections == connections
        await asyncio.sleep(6)
        assert cluster.brokers[1].connections > connections
        cluster.metadata = tell  # type: ignore[method-assign]
        await producer.send("orders", b"w")


async def test_a_topic_that_may_not_be_used_is_not_asked_about_again_and_again() -> None:
    cluster = cluster_of()
    cluster.topics["orders"].error_code = 29
    async with running(cluster) as producer:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send("orders", b"v")
        before = len(asked(cluster))
        await asyncio.sleep(60)
        assert len(asked(cluster)) == before
        # Who sends to it may have been permitted to meanwhile.
        cluster.topics["orders"].error_code = 0
        await producer.send("orders", b"v")


async def test_who_waits_for_a_partition_of_such_a_topic_learns_of_it_at_once() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        await producer.send("orders", b"v")
        waiting = producer.send("orders", b"w", partition=7)
        await asyncio.sleep(1)
        cluster.topics["orders"].error_code = 29
        started = now()
        with pytest.raises(TopicAuthorizationFailedError):
            await waiting
        assert now() - started < 5


async def test_metadata_answers_that_are_garbage_are_asked_for_again() -> None:
    cluster = cluster_of()
    garbage = b"\0\0\0\x0a" + b"\xff" * 10
    cluster.brokers[1].scripts[ApiKey.METADATA] = collections.deque([Conduct(answer=garbage)] * 3)
    async with running(cluster) as producer:
        await producer.send("orders", b"v")


async def test_warm_up_fetches_metadata_and_connects_to_the_leaders() -> None:
    cluster = cluster_of(3, 3)
    async with running(cluster) as producer:
        await producer.warm_up(["orders"])
        assert all(broker.sessions for broker in cluster.brokers.values())
        requests = [len(broker.requests) for broker in cluster.brokers.values()]
        await asyncio.gather(*[producer.try_send("orders", b"v", partition=p) for p in range(3)])
        after = [len(broker.requests) for broker in cluster.brokers.values()]
        # Nothing but the records, and the producer id if that was still to come.
        assert sum(after) - sum(requests) <= 4


async def test_warm_up_of_a_topic_that_is_not_there_says_so() -> None:
    async with running(cluster_of(), max_block_ms=1000) as producer:
        with pytest.raises(MetadataTimeoutError, match="never"):
            await producer.warm_up(["orders", "never"])


async def test_partitions_for_tells_leaders_and_replicas() -> None:
    cluster = cluster_of(2, 3)
    cluster.topics["orders"].partitions[2].leader = -1
    async with running(cluster) as producer:
        infos = await producer.partitions_for("orders")
        assert [info.leader for info in infos] == [1, 2, None]
        assert [info.partition for info in infos] == [0, 1, 2]
        assert infos[0].replicas == (1, 2)


async def test_partitions_for_has_a_limit_and_can_be_cancelled() -> None:
    async with running(cluster_of(), max_block_ms=60_000) as producer:
        with pytest.raises(MetadataTimeoutError, match="after 1 s"):
            await producer.partitions_for("never", timeout=1)
        waiting = asyncio.create_task(producer.partitions_for("never"))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len(await producer.partitions_for("orders")) == 1
