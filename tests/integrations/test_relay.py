"""The relay of a table: in order, once, whatever fails and whoever takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from aioproducer import AsyncProducer, ConfigurationError, ProducerFencedError, TopicPartition
from aioproducer.integrations import Bookmark, OutboxEvent, OutboxRelay
from tests.fake_broker import FakeCluster
from tests.integrations.services import start_all, stop_all
from tests.read_committed import read_committed
from tests.runtime.world import now

PLACE = TopicPartition("orders", 0)


class Table:
    """A table in memory, which may be cut off."""

    def __init__(self, count: int = 0) -> None:
        self.rows = [event(n) for n in range(1, count + 1)]
        self.sent_up_to = 0
        self.fails = 0
        self.marks = True

    async def unsent(self, limit: int) -> Sequence[OutboxEvent]:
        await asyncio.sleep(0.01)
        if self.fails:
            self.fails -= 1
            raise OSError("the database is away")
        return [row for row in self.rows if row.number > self.sent_up_to][:limit]

    async def mark_sent(self, number: int) -> None:
        await asyncio.sleep(0.01)
        if not self.marks:
            raise OSError("the database is away")
        self.sent_up_to = max(self.sent_up_to, number)


def event(number: int) -> OutboxEvent:
    return OutboxEvent(number, "orders", b"%d" % number, b"k", [("event-id", b"e%d" % number)])


def producer_on(cluster: FakeCluster, name: str = "relay") -> AsyncProducer[bytes, bytes]:
    return AsyncProducer(
        cluster.bootstrap,
        transactional_id=name,
        max_block_ms=2_000,
        request_timeout_ms=1_000,
        delivery_timeout_ms=2_000,
    )


def relay_on(cluster: FakeCluster, table: Table, *, kept: bool = True, **more: int) -> OutboxRelay:
    async def read() -> int:
        return cluster.transactions.group("relay").committed.get(("orders", 0), 0)

    bookmark = Bookmark("relay", PLACE, read) if kept else None
    return OutboxRelay(lambda: producer_on(cluster), table, bookmark=bookmark, **more)


def seen(cluster: FakeCluster) -> list[int]:
    return [int(v or b"0") for v in read_committed(cluster.topics["orders"].partitions[0]).values]


@pytest.fixture(autouse=True)
async def _end_of_brokers(cluster: FakeCluster) -> object:
    yield
    cluster.transactions.stop()
    await asyncio.sleep(1)


async def test_everything_is_sent_in_order_and_marked(cluster: FakeCluster) -> None:
    table = Table(25)
    relay = relay_on(cluster, table, most=10)
    assert await relay.relay_all() == 25
    assert seen(cluster) == list(range(1, 26))
    assert table.sent_up_to == 25
    assert await relay.relay_all() == 0


async def test_what_is_committed_while_it_runs_is_sent_when_it_is_woken(
    cluster: FakeCluster,
) -> None:
    table = Table()
    async with relay_on(cluster, table, interval=3600) as relay:
        await asyncio.sleep(10)
        table.rows.append(event(1))
        began = now()
        relay.wake()
        async with asyncio.timeout(60):
            while table.sent_up_to < 1:
                await asyncio.sleep(0.01)
        assert now() - began < 5
        table.rows.append(event(2))
        await asyncio.sleep(3700)
        assert table.sent_up_to == 2
        assert relay.is_running
    assert not relay.is_running
    assert seen(cluster) == [1, 2]


async def test_without_a_bookmark_a_crash_before_the_mark_sends_twice(
    cluster: FakeCluster,
) -> None:
    table = Table(3)
    table.marks = False
    with pytest.raises(OSError, match="away"):
        await relay_on(cluster, table, kept=False).relay_all()
    assert (seen(cluster), table.sent_up_to) == ([1, 2, 3], 0)
    table.marks = True
    await relay_on(cluster, table, kept=False).relay_all()
    assert seen(cluster) == [1, 2, 3] * 2


async def test_a_crash_between_commit_and_mark_is_found_by_the_bookmark(
    cluster: FakeCluster,
) -> None:
    table = Table(3)
    relay = relay_on(cluster, table)
    mark = table.mark_sent

    async def crash(number: int) -> None:
        if number:
            raise OSError("killed")

    table.mark_sent = crash  # type: ignore[method-assign]
    with pytest.raises(OSError, match="killed"):
        await relay.relay_all()
    table.mark_sent = mark  # type: ignore[method-assign]
    assert (seen(cluster), table.sent_up_to) == ([1, 2, 3], 0)
    table.rows.append(event(4))
    assert await relay_on(cluster, table).relay_all() == 1
    assert seen(cluster) == [1, 2, 3, 4]
    assert table.sent_up_to == 4


async def test_an_outage_of_either_side_is_waited_for(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table(5)
    table.fails = 3
    stop_all(cluster)
    async with relay_on(cluster, table) as relay:
        await asyncio.sleep(20)
        assert relay.is_running
        start_all(cluster)
        async with asyncio.timeout(600):
            while table.sent_up_to < 5:
                await asyncio.sleep(0.1)
    assert seen(cluster) == [1, 2, 3, 4, 5]
    assert "the database is away" in caplog.text
    assert "the outbox relay begins anew" in caplog.text


async def test_a_newer_relay_takes_over_and_the_older_one_ends(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table(3)
    older = relay_on(cluster, table)
    task = asyncio.ensure_future(older.run())
    await asyncio.sleep(1)
    newer = relay_on(cluster, table)
    await newer.relay_all()
    table.rows.append(event(4))
    older.wake()
    with pytest.raises(ProducerFencedError):
        await task
    await newer.relay_all()
    assert seen(cluster) == [1, 2, 3, 4]


async def test_the_end_of_a_relay_in_a_block_is_said(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    relay = OutboxRelay(lambda: AsyncProducer("a:1"), Table())
    async with relay:
        await asyncio.sleep(1)
        assert not relay.is_running
    assert "the outbox relay has ended: ConfigurationError" in caplog.text


async def test_a_producer_without_transactions_is_refused() -> None:
    relay = OutboxRelay(lambda: AsyncProducer("a:1"), Table())
    with pytest.raises(ConfigurationError, match=r"transactional\.id"):
        await relay.relay_all()


@pytest.mark.parametrize("settings", [{"most": 0}, {"interval": 0}])
async def test_limits_that_are_none_are_refused(
    cluster: FakeCluster, settings: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="most="):
        OutboxRelay(lambda: producer_on(cluster), Table(), **settings)
