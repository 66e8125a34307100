"""One alarm for all batches: each is expired in its time, none before, none twice."""

from __future__ import annotations

import asyncio

from aioproducer.core.batch import Batch
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.runtime.delivery_clock import DeliveryClock
from aioproducer.runtime.stall import StallWatch
from tests.core.makers import make_batch, make_queue
from tests.runtime.world import now

TIMEOUT = 100.0


class Expiries:
    """What a clock expired, and when."""

    def __init__(self) -> None:
        self.queue = make_queue()
        self.seen: list[tuple[float, Batch]] = []
        self.clock = DeliveryClock(StallWatch("test"), TIMEOUT, self._expire)
        self.fail_on: Batch | None = None

    def _expire(self, queue: PartitionQueue, batch: Batch) -> None:
        assert queue is self.queue
        self.seen.append((round(now(), 1), batch))
        if batch is self.fail_on:
            raise RuntimeError("a bug")

    def start(self, created: float) -> Batch:
        batch = make_batch(created=created)
        self.clock.start(self.queue, batch)
        return batch


async def test_each_batch_expires_when_its_oldest_record_is_too_old() -> None:
    expiries = Expiries()
    begin = now()
    first = expiries.start(begin)
    await asyncio.sleep(30)
    second = expiries.start(now())
    third = expiries.start(now())
    await asyncio.sleep(200)
    assert expiries.seen == [
        (round(begin + 100, 1), first), (round(begin + 130, 1), second),
        (round(begin + 130, 1), third),
    ]  # fmt: skip


async def test_a_batch_with_an_older_record_is_due_before_those_made_earlier() -> None:
    """Its record waited for a place: the clock counts from send()."""
    expiries = Expiries()
    begin = now()
    young = expiries.start(begin)
    old = expiries.start(begin - 60)
    await asyncio.sleep(41)
    assert expiries.seen == [(round(begin + 40, 1), old)]
    await asyncio.sleep(100)
    assert expiries.seen[1:] == [(round(begin + 100, 1), young)]


async def test_a_batch_that_takes_in_an_older_record_is_due_earlier() -> None:
    expiries = Expiries()
    begin = now()
    batch, other = expiries.start(begin), expiries.start(begin)
    batch.created = begin - 60
    expiries.clock.start(expiries.queue, batch)
    await asyncio.sleep(200)
    assert expiries.seen == [(round(begin + 40, 1), batch), (round(begin + 100, 1), other)]


async def test_what_was_stopped_is_never_expired() -> None:
    expiries = Expiries()
    begin = now()
    kept, young, old = expiries.start(begin), expiries.start(begin), expiries.start(begin - 1)
    expiries.clock.stop(young)
    expiries.clock.stop(old)
    expiries.clock.stop(old)
    await asyncio.sleep(200)
    assert [batch for _, batch in expiries.seen] == [kept]


async def test_it_goes_on_after_it_had_nothing_to_do() -> None:
    expiries = Expiries()
    expiries.clock.stop(expiries.start(now()))
    await asyncio.sleep(500)
    begin = now()
    batch = expiries.start(begin)
    await asyncio.sleep(101)
    assert expiries.seen == [(round(begin + 100, 1), batch)]


async def test_an_error_while_expiring_one_leaves_the_others_their_time() -> None:
    expiries = Expiries()
    loop = asyncio.get_running_loop()
    reported: list[BaseException | None] = []
    loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
    expiries.fail_on = expiries.start(now())
    await asyncio.sleep(1)
    other = expiries.start(now())
    await asyncio.sleep(200)
    assert [batch for _, batch in expiries.seen] == [expiries.fail_on, other]
    assert [str(error) for error in reported] == ["a bug"]


async def test_closing_ends_it() -> None:
    expiries = Expiries()
    expiries.start(now())
    expiries.clock.close()
    expiries.clock.close()
    await asyncio.sleep(200)
    assert expiries.seen == []
