"""Requests of a transaction whose answers never come, or come late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aioproducer import AsyncProducer, TransactionStateError, TransactionTimeoutError
from aioproducer.testing.proxy import Cut, Drop, FaultProxy, Frame
from tests.conftest import TopicFactory
from tests.integration.committed import is_at
from tests.integration.transactions.helpers import new_producer, visible

END_TXN = 26
FIND_COORDINATOR = 10
INIT_PRODUCER_ID = 22
TXN_OFFSET_COMMIT = 28
_REQUEST_MS = 3000
"""Far longer than the waits that are given up meanwhile."""


class Thief:
    """Swallows the first answers to one kind of request, or cuts the connection instead."""

    def __init__(self, api: int, times: int, *, cuts: bool = False) -> None:
        self.api, self.left, self.cuts = api, times, cuts

    def __call__(self, frame: Frame) -> None:
        if frame.api == self.api and self.left:
            self.left -= 1
            raise Cut if self.cuts else Drop


@asynccontextmanager
async def behind_proxy(
    bootstrap: str, **options: object
) -> AsyncIterator[tuple[FaultProxy, AsyncProducer[bytes, bytes]]]:
    async with (
        FaultProxy(bootstrap) as proxy,
        new_producer(
            proxy.bootstrap_servers, request_timeout_ms=_REQUEST_MS, **options
        ) as producer,
    ):
        yield proxy, producer


@pytest.mark.parametrize("ending", ["commit", "abort"])
async def test_an_end_that_is_never_answered_may_have_taken_effect(
    bootstrap: str, topic: TopicFactory, ending: str
) -> None:
    """It says so, goes on by itself, and the same call waits for the same step."""
    name = topic()
    async with behind_proxy(bootstrap) as (proxy, producer):
        producer.begin_transaction()
        await producer.send(name, b"first")
        proxy.on_answer = Thief(END_TXN, 1)
        commits = ending == "commit"
        step = producer.commit_transaction if commits else producer.abort_transaction
        other = producer.abort_transaction if commits else producer.commit_transaction
        with pytest.raises(TransactionTimeoutError) as caught:
            await step(timeout=0.3)
        # Whatever became of an abort, nothing of it is visible.
        assert caught.value.persisted == ("maybe" if commits else "no")
        with pytest.raises(TransactionStateError):
            await other()
        with pytest.raises(TransactionStateError):
            producer.begin_transaction()
        await step()
        async with producer.transaction() as tx:
            tx.send(name, b"second")
        assert await visible(bootstrap, name) == [*([b"first"] if commits else []), b"second"]


async def test_leaving_the_block_of_an_unanswered_commit_raises_maybe(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The next transaction() waits for the step that goes on in the background."""
    name = topic()
    async with behind_proxy(bootstrap) as (proxy, producer):
        with pytest.raises(TransactionTimeoutError) as caught:
            async with producer.transaction(timeout=0.3) as tx:
                await tx.send(name, b"first")
                proxy.on_answer = Thief(END_TXN, 1)
        assert caught.value.persisted == "maybe"
        assert "commit" in str(caught.value)
        async with producer.transaction() as tx:
            tx.send(name, b"second")
        assert await visible(bootstrap, name) == [b"first", b"second"]


@pytest.mark.parametrize("where", ["request", "answer"])
async def test_a_connection_lost_during_the_commit_only_delays_it(
    bootstrap: str, topic: TopicFactory, where: str
) -> None:
    """Whether the coordinator had the request or not, the repeated one commits once."""
    name = topic()
    async with behind_proxy(bootstrap) as (proxy, producer):
        for number in range(3):
            producer.begin_transaction()
            await producer.send(name, b"%d" % number)
            setattr(proxy, f"on_{where}", Thief(END_TXN, 2, cuts=True))
            await producer.commit_transaction()
        assert await visible(bootstrap, name) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("api", [FIND_COORDINATOR, INIT_PRODUCER_ID])
async def test_start_survives_lost_answers(bootstrap: str, topic: TopicFactory, api: int) -> None:
    name = topic()
    async with FaultProxy(bootstrap) as proxy:
        proxy.on_answer = Thief(api, 1, cuts=True)
        async with new_producer(proxy.bootstrap_servers) as producer, producer.transaction() as tx:
            tx.send(name, b"kept")
    assert await visible(bootstrap, name) == [b"kept"]


async def test_start_gives_up_after_max_block_and_leaves_nothing_behind(bootstrap: str) -> None:
    async with FaultProxy(bootstrap) as proxy:
        proxy.on_answer = Thief(INIT_PRODUCER_ID, 1_000)
        producer = new_producer(proxy.bootstrap_servers, max_block_ms=700)
        with pytest.raises(TransactionTimeoutError, match="init_transactions"):
            await producer.start()
        assert producer.state.value == "closed"


async def test_offsets_whose_answer_is_lost_are_committed_once(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with behind_proxy(bootstrap) as (proxy, producer):
        # Its coordinator may have to be made first, and is at hand from then on.
        async with producer.transaction() as tx:
            await tx.send_offsets({(name, 0): 6}, "group-" + name)
        proxy.on_answer = thief = Thief(TXN_OFFSET_COMMIT, 1)
        with pytest.raises(TransactionTimeoutError) as caught:
            async with producer.transaction(timeout=0.8) as tx:
                await tx.send_offsets({(name, 0): 7}, "group-" + name)
        assert "send_offsets" in str(caught.value)
        assert not thief.left
        # It goes on where the block gave up waiting for it.
        await producer.abort_transaction()
        producer.begin_transaction()
        await producer.send_offsets_to_transaction({(name, 0): 8}, "group-" + name)
        await producer.commit_transaction()
    await is_at(bootstrap, "group-" + name, name, 8)


async def test_an_answer_that_is_merely_late_is_waited_for(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with behind_proxy(bootstrap) as (proxy, producer):
        producer.begin_transaction()
        await producer.send(name, b"kept")
        proxy.answers.clear()
        committing = asyncio.create_task(producer.commit_transaction())
        await asyncio.sleep(0.5)
        assert not committing.done()
        proxy.answers.set()
        await committing
        assert await visible(bootstrap, name) == [b"kept"]
