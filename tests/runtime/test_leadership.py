"""Leaders, addresses and whole clusters that are not where they were."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import pytest

from aioproducer import MetadataTimeoutError
from aioproducer.wire.versions import ApiKey
from tests.fake_broker import KAFKA_2_1, KAFKA_4, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import engine_of, now, running, values_of, virtual_loop

NOT_LEADER = 6


def cluster_of(nodes: int = 1, partitions: int = 1, **options: Any) -> FakeCluster:
    cluster = FakeCluster(nodes, latency=lambda: 0.01, **options)
    cluster.add_topic("orders", partitions)
    return cluster


async def test_answers_that_name_the_old_leader_again_come_further_apart() -> None:
    """The leader says it is none, and every metadata answer names it again (KIP-580)."""
    cluster = cluster_of()
    options: dict[str, Any] = {"retry_backoff_ms": 100, "retry_backoff_max_ms": 1600}
    async with running(cluster, **options) as producer:
        await producer.send("orders", b"v")
        script = cluster.topics["orders"].partitions[0].script
        script.extend([Verb(NOT_LEADER)] * 12)
        before = now()
        await producer.send("orders", b"w")
        requests = cluster.brokers[1].requests
        asked = [at for at, r in requests if r.api is ApiKey.METADATA and at > before]
        waits = [later - earlier for earlier, later in itertools.pairwise(asked)]
        assert len(asked) <= 14
        assert max(waits[:3]) < 1
        assert min(waits[-3:]) > 1
    assert values_of(cluster, "orders") == [b"v", b"w"]


async def test_a_broker_that_leads_no_more_is_not_called_again_and_again() -> None:
    cluster = cluster_of(2)
    async with running(cluster, metadata_max_age_ms=1000) as producer:
        await producer.send("orders", b"0")
        partition = cluster.topics["orders"].partitions[0]
        old = partition.leader
        cluster.brokers[old].stop()
        delivery = producer.send("orders", b"1")
        await asyncio.sleep(3)
        partition.leader, partition.epoch = 3 - old, partition.epoch + 1
        await delivery
        manager = engine_of(producer).cluster.manager(old)
        assert manager is not None
        await asyncio.sleep(2)
        failures = manager.failures
        await asyncio.sleep(60)
        assert manager.failures == failures
        assert manager.stalled_since is None
        assert values_of(cluster, "orders") == [b"0", b"1"]


async def test_without_ids_a_topic_that_was_away_may_have_fewer_partitions() -> None:
    cluster = cluster_of(1, 3, versions=KAFKA_2_1)
    async with running(cluster, metadata_max_age_ms=1000) as producer:
        await asyncio.gather(*[producer.send("orders", b"0", partition=p) for p in range(3)])
        del cluster.topics["orders"]
        await asyncio.sleep(5)
        cluster.add_topic("orders", 2)
        await asyncio.sleep(5)
        assert len(await producer.partitions_for("orders")) == 2
        sent = [producer.send("orders", b"1", key=b"%d" % number) for number in range(9)]
        assert {metadata.partition for metadata in await asyncio.gather(*sent)} == {0, 1}


async def test_a_broker_with_a_new_address_gets_what_was_on_its_way_to_the_old_one() -> None:
    """A pod that was rescheduled: the same id at another host, and the old host is silent."""
    cluster = cluster_of(2, 2)
    options: dict[str, Any] = {"request_timeout_ms": 1000, "batch_size": 1}
    async with running(cluster, metadata_max_age_ms=500, **options) as producer:
        await producer.warm_up(["orders"])
        await producer.send("orders", b"first", partition=0)
        moved = cluster.brokers[1]
        moved.when_down = "hang"
        moved.up = False  # what arrives is lost, and no connection ends
        sent = [producer.send("orders", b"%d" % n, partition=0) for n in range(5)]
        await asyncio.sleep(0.5)
        moved.host = "elsewhere"
        moved.up = True
        await asyncio.gather(*sent)
    assert values_of(cluster, "orders") == [b"first", b"0", b"1", b"2", b"3", b"4"]


async def test_brokers_that_are_silent_for_too_long_are_left_for_the_bootstrap_list() -> None:
    """They vanish without a word and are at addresses that only the name tells (KIP-1102)."""
    cluster = cluster_of(2, 2)
    cluster.hosts["boot"] = [(2, ("broker-1", 9092)), (2, ("broker-2", 9092))]
    connect = cluster.connect

    async def connect_or_hang(address: tuple[Any, ...]) -> Any:
        if address[0] == "silent":
            await asyncio.sleep(10**6)
        return await connect(address)

    cluster.connect = connect_or_hang  # type: ignore[method-assign]
    options: dict[str, Any] = {
        "metadata_recovery_rebootstrap_trigger_ms": 5000,
        "request_timeout_ms": 1000,
        "socket_connection_setup_timeout_ms": 1000,
        "socket_connection_setup_timeout_max_ms": 1000,
        "reconnect_backoff_max_ms": 500,
        "bootstrap": ["boot:9092"],
    }
    async with running(cluster, **options) as producer:
        await producer.send("orders", b"v", partition=0)
        for broker in cluster.brokers.values():
            broker.hang_up()
            cluster.hosts[broker.host] = [(2, ("silent", broker.node_id))]
            broker.host = f"new-{broker.node_id}"
        cluster.hosts["boot"] = [(2, ("new-1", 9092)), (2, ("new-2", 9092))]
        started = now()
        assert (await producer.send("orders", b"w", partition=0)).offset == 1
        assert now() - started < 15
    assert values_of(cluster, "orders") == [b"v", b"w"]


class TestAnotherCluster:
    """One cluster is replaced by another behind the same name and the same addresses."""

    def _pair(self, versions: Any) -> tuple[FakeCluster, FakeCluster]:
        old, new = (cluster_of(2, 2, versions=versions) for _ in range(2))
        new.cluster_id = "another"
        # The old cluster has seen many elections and handed out many ids; the new one none.
        for partition in old.topics["orders"].partitions:
            partition.epoch = 40
        topic = new.topics["orders"]
        del new.by_id[topic.topic_id]
        topic.topic_id = b"another topic id"
        new.by_id[topic.topic_id] = topic
        # Leaders are not where they were.
        for partition in topic.partitions:
            partition.leader = 3 - partition.leader
        new.next_producer_id = 5000
        return old, new

    @staticmethod
    def _replace(old: FakeCluster, new: FakeCluster) -> None:
        for broker in old.brokers.values():
            broker.stop()
        virtual_loop().network = new

    @pytest.mark.parametrize("versions", [KAFKA_4, KAFKA_2_1])
    async def test_it_is_found_and_its_epochs_and_ids_count(
        self, versions: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Old brokers tell no topic ids: the cluster's id is all there is to go by."""
        caplog.set_level(logging.WARNING, logger="aioproducer")
        old, new = self._pair(versions)
        async with running(old, metadata_max_age_ms=1000, batch_size=1) as producer:
            await producer.warm_up(["orders"])
            for partition in (0, 1):
                for number in range(3):
                    await producer.send("orders", b"old %d" % number, partition=partition)
            self._replace(old, new)
            await asyncio.sleep(3)
            sent = [
                producer.send("orders", b"new %d" % number, partition=partition)
                for number in range(5)
                for partition in (0, 1)
            ]
            found = await asyncio.gather(*sent)
            assert [metadata.offset for metadata in found] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
            identity = engine_of(producer).keeper.identity
            assert identity is not None and identity.producer_id > 5000
            await asyncio.sleep(1)
            # Brokers of the old cluster's generation are gone as well.
            assert not old.open_sessions
        for partition in (0, 1):
            assert values_of(new, "orders", partition) == [b"new %d" % n for n in range(5)]
        text = [r.getMessage() for r in caplog.records if "has been replaced" in r.getMessage()]
        assert len(text) == 1
        assert "cluster fake has been replaced by another" in text[0]
        await asyncio.sleep(1)
        assert not new.open_sessions

    async def test_what_was_on_its_way_to_the_old_one_reaches_the_new_one_in_order(self) -> None:
        old, new = self._pair(KAFKA_4)
        async with running(old, metadata_max_age_ms=1000, batch_size=1) as producer:
            await producer.warm_up(["orders"])
            await producer.send("orders", b"old", partition=0)
            sent = [producer.send("orders", b"%d" % n, partition=0) for n in range(5)]
            await asyncio.sleep(0.005)
            self._replace(old, new)
            later = [producer.send("orders", b"%d" % n, partition=0) for n in range(5, 8)]
            await asyncio.gather(*sent, *later)
        assert values_of(new, "orders") == [b"%d" % n for n in range(8)]

    async def test_a_topic_that_the_new_one_does_not_have_is_waited_for(self) -> None:
        old, new = self._pair(KAFKA_4)
        old.add_topic("clicks")
        options = {"delivery_timeout_ms": 60_000, "max_block_ms": 5000}
        async with running(old, metadata_max_age_ms=1000, **options) as producer:
            await producer.send("clicks", b"old")
            self._replace(old, new)
            delivery = producer.send("clicks", b"new")
            await asyncio.sleep(5)
            new.add_topic("clicks")
            await delivery
            with pytest.raises(MetadataTimeoutError):
                await producer.send("never", b"v")
        assert values_of(new, "clicks") == [b"new"]
