"""One refused record does not hold up its partition, whatever becomes of those behind it."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer.errors import InvalidRecordError
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.runtime.world import now, outcomes, running

INVALID_RECORD = 87


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_lost_answer_behind_a_refused_record_costs_no_time(lost: str) -> None:
    """What follows a gap cannot have been appended: it is stamped anew, not asked about."""
    cluster = FakeCluster(latency=lambda: 0.001, service_time=lambda: 0.05)
    partition = cluster.add_topic("orders").partitions[0]
    async with running(cluster, batch_size=1) as producer:
        await producer.send("orders", b"first")
        await asyncio.sleep(1)
        partition.script.append(Verb(INVALID_RECORD))
        cluster.brokers[1].script += [Conduct(), Conduct(hang_up=lost)]  # type: ignore[arg-type]
        started = now()
        refused, *followers = await outcomes(
            [producer.send("orders", value) for value in (b"bad", b"b", b"c")]
        )
        assert isinstance(refused, InvalidRecordError)
        assert [m.offset for m in followers] == [1, 2]
        assert now() - started < 5
    assert partition.values == [b"first", b"b", b"c"]


async def test_survivors_of_a_refused_batch_are_not_held_up_by_a_lost_answer() -> None:
    cluster = FakeCluster(latency=lambda: 0.001, service_time=lambda: 0.05)
    partition = cluster.add_topic("orders").partitions[0]
    async with running(cluster, linger_ms=5) as producer:
        await producer.send("orders", b"first")
        await asyncio.sleep(1)
        partition.script.append(Verb(INVALID_RECORD, record_errors=[(0, "bad")]))
        cluster.brokers[1].script += [Conduct(), Conduct(hang_up="before")]
        bad, good = producer.send("orders", b"bad"), producer.send("orders", b"good")
        await asyncio.sleep(0.01)
        behind = producer.send("orders", b"behind")
        started = now()
        refused, *others = await outcomes([bad, good, behind])
        assert isinstance(refused, InvalidRecordError)
        assert [m.offset for m in others] == [1, 2]
        assert now() - started < 5
    assert partition.values == [b"first", b"good", b"behind"]
