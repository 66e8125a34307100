"""All records that are not settled: counted, hurried, withdrawn and failed at once."""

from __future__ import annotations

import asyncio
from typing import Any

from aioproducer.errors import AuthenticationError, ProducerError
from tests.fake_broker import Conduct, FakeCluster
from tests.runtime.world import engine_of, outcomes, running

PATIENT: dict[str, Any] = {"linger_ms": 60_000, "delivery_timeout_ms": 600_000}


def cluster_of(nodes: int = 1, partitions: int = 1) -> FakeCluster:
    cluster = FakeCluster(nodes, latency=lambda: 0.01)
    cluster.add_topic("orders", partitions)
    return cluster


async def test_what_lingers_is_held_until_it_is_hurried_and_settled() -> None:
    async with running(cluster_of(), **PATIENT) as producer:
        await producer.warm_up(["orders"])
        records = engine_of(producer).records
        assert records.is_quiet()
        sent = [producer.send("orders", b"v") for _ in range(3)]
        assert not records.is_quiet()
        assert records.in_batches() == 3
        done = asyncio.Event()
        end = records.hurry(done.set)
        await done.wait()
        end()
        assert all(delivery.done() for delivery in sent)
        assert records.is_quiet()
        assert records.in_batches() == 0


async def test_a_record_in_the_waiting_room_is_held_and_in_no_batch() -> None:
    async with running(cluster_of()) as producer:
        waiting = producer.send("never", b"v")
        records = engine_of(producer).records
        assert not records.is_quiet()
        assert records.in_batches() == 0
        waiting.cancel()


async def test_failing_all_counts_by_topic_and_gives_each_an_error_of_its_own() -> None:
    cluster = cluster_of()
    cluster.add_topic("others")
    async with running(cluster, **PATIENT) as producer:
        await producer.warm_up(["orders", "others"])
        topics = ("orders", "orders", "others", "never")
        sent = [producer.send(topic, b"v") for topic in topics]
        counts = engine_of(producer).records.fail_all(ProducerError("over"))
        assert counts == {"orders": 2, "others": 1, "never": 1}
        errors = await outcomes(sent)
        assert [str(error)[:4] for error in errors] == ["over"] * 4
        assert len({id(error) for error in errors}) == 4


async def test_a_broker_that_refuses_us_fails_its_own_batches_only() -> None:
    async with running(cluster_of(2, 2), **PATIENT) as producer:
        await producer.warm_up(["orders"])
        sent = [producer.send("orders", b"v", partition=partition) for partition in (0, 1)]
        first = producer.known_partitions("orders")[0]
        assert first.leader is not None
        refusal = AuthenticationError("not let in")
        engine_of(producer).records.fail_all_of_broker(first.leader, refusal)
        (error,) = await outcomes(sent[:1])
        assert (type(error), error.persisted, error.attempts) == (AuthenticationError, "no", 0)
        producer.expedite()
        assert (await sent[1]).partition == 1


async def test_what_is_on_the_wire_is_not_withdrawn() -> None:
    cluster = cluster_of()
    async with running(cluster, **PATIENT) as producer:
        await producer.send_and_wait("orders", b"0")
        cluster.brokers[1].script.append(Conduct(delay=5))
        on_its_way = producer.send("orders", b"1")
        producer.expedite()
        await asyncio.sleep(0.001)
        queued = producer.send("orders", b"2")
        records = engine_of(producer).records
        records.withdraw(lambda: ProducerError("withdrawn"), keep_doubtful=False)
        (error,) = await outcomes([queued])
        assert "withdrawn" in str(error)
        assert (await on_its_way).offset == 1
        assert records.last_error() is None
