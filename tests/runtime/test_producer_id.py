"""The producer id: asked for until it is had, renewed when sequences are in doubt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer.core.producer_identity import MAX_EPOCH
from aioproducer.errors import InvalidRecordError, ProducerError
from aioproducer.wire.versions import ApiKey
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import engine_of, now, outcomes, running


def cluster_of() -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders", 2)
    return cluster


def asked(cluster: FakeCluster) -> int:
    requests = cluster.brokers[1].requests
    return sum(request.api is ApiKey.INIT_PRODUCER_ID for _, request in requests)


async def test_it_is_asked_for_once() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        for number in range(5):
            await producer.send("orders", b"%d" % number)
        identity = engine_of(producer).keeper.identity
        assert identity is not None
        assert (identity.producer_id, identity.epoch) == (1001, 0)
    assert asked(cluster) == 1


async def test_without_idempotence_it_is_not_asked_for() -> None:
    cluster = cluster_of()
    async with running(cluster, enable_idempotence=False) as producer:
        await producer.send("orders", b"v")
        await producer.flush()
        assert engine_of(producer).keeper.sequences("orders", 0) is None
    assert asked(cluster) == 0
    assert [s.batch.producer_id for p in cluster.topics["orders"].partitions for s in p.stored] == [
        -1
    ]


@pytest.mark.parametrize("code", [14, 15, 16, 51])
async def test_transient_errors_are_asked_through(code: int) -> None:
    cluster = cluster_of()
    cluster.init_script.extend([code] * 5)
    async with running(cluster) as producer:
        await producer.send("orders", b"v")
    assert asked(cluster) == 6


@pytest.mark.parametrize(
    "conduct",
    [
        Conduct(hang_up="before"),
        Conduct(hang_up="amid"),
        Conduct(answer=b"\0\0\0\x03abc"),
        Conduct(stall=True),
    ],
    ids=["hung up", "cut", "garbage", "no answer"],
)
async def test_trouble_on_the_way_is_asked_through(conduct: Conduct) -> None:
    import collections

    cluster = cluster_of()
    cluster.brokers[1].scripts[ApiKey.INIT_PRODUCER_ID] = collections.deque([conduct])
    async with running(cluster, request_timeout_ms=1000) as producer:
        await producer.send("orders", b"v")


async def test_records_expire_by_their_own_clock_while_it_cannot_be_had() -> None:
    cluster = cluster_of()
    cluster.init_script.extend([14] * 1000)
    options: dict[str, Any] = {"delivery_timeout_ms": 3000, "request_timeout_ms": 1000}
    async with running(cluster, **options) as producer:
        started = now()
        (error,) = await outcomes([producer.send("orders", b"v")])
        assert now() - started == pytest.approx(3.0, abs=0.01)
        assert isinstance(error, ProducerError)
        assert error.persisted == "no"
        cluster.init_script.clear()


async def test_two_partitions_in_doubt_share_the_next_epoch() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        await producer.send("orders", b"v", partition=0)
        keeper = engine_of(producer).keeper
        old = keeper.identity
        first = keeper.renewed(old)
        assert first is not None
        assert old is not None
        assert first.epoch == old.epoch + 1
        assert keeper.renewed(old) == first
        assert keeper.renewed(first) != first


async def test_after_the_last_epoch_a_new_id_is_asked_for() -> None:
    cluster = cluster_of()
    async with running(cluster) as producer:
        await producer.send("orders", b"v", partition=0)
        keeper = engine_of(producer).keeper
        assert keeper.identity is not None
        keeper.identity = keeper.identity._replace(epoch=MAX_EPOCH)
        assert keeper.renewed(keeper.identity) is None
        await asyncio.sleep(1)
        assert keeper.identity is not None
        assert (keeper.identity.producer_id, keeper.identity.epoch) == (1002, 0)


async def test_one_partition_that_uses_up_the_last_epoch_harms_no_other() -> None:
    """Two partitions of one broker, of which the first needs an epoch and there is none left."""
    cluster = cluster_of()
    async with running(cluster, linger_ms=5) as producer:
        await asyncio.gather(*[producer.send("orders", b"0", partition=p) for p in (0, 1)])
        keeper = engine_of(producer).keeper
        assert keeper.identity is not None
        keeper.identity = keeper.identity._replace(epoch=MAX_EPOCH)
        for partition in (0, 1):
            sequences = keeper.sequences("orders", partition)
            assert sequences is not None
            sequences.restart(keeper.identity)
        cluster.topics["orders"].partitions[0].script.append(Verb(87))
        with pytest.raises(InvalidRecordError):
            await producer.send("orders", b"1", partition=0)
        both = [producer.send("orders", b"2", partition=p) for p in (0, 1)]
        done, _ = await asyncio.wait(both, timeout=300)
        assert len(done) == 2
        assert [delivery.result().offset for delivery in both] == [1, 1]
    stored = [partition.stored[-1].batch for partition in cluster.topics["orders"].partitions]
    assert [batch.producer_id for batch in stored] == [1002, 1001]


async def test_sequences_outlive_the_topic_s_idleness() -> None:
    """The broker remembers them, too."""
    cluster = cluster_of()
    options: dict[str, Any] = {"metadata_max_age_ms": 1000, "metadata_max_idle_ms": 5000}
    async with running(cluster, **options) as producer:
        await producer.send("orders", b"0", partition=0)
        await asyncio.sleep(20)
        assert "orders" not in engine_of(producer).cluster.view.topics
        await producer.send("orders", b"1", partition=0)
    stored = cluster.topics["orders"].partitions[0].stored
    assert [s.batch.base_sequence for s in stored] == [0, 1]
