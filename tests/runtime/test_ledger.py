"""What is unsettled, who waits for it, and what was counted."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from aioproducer.core.batch import Batch
from aioproducer.core.memory_budget import MemoryBudget
from aioproducer.core.meters import Meters
from aioproducer.delivery import Fate
from aioproducer.errors import ClusterConnectionError, ProducerError
from aioproducer.records import Record
from aioproducer.runtime.events import EventLog
from aioproducer.runtime.failure_feed import FailureFeed
from aioproducer.runtime.ledger import Flush, Ledger
from tests.core.makers import make_batch


class Book:
    def __init__(self) -> None:
        self.budget = MemoryBudget(10_000)
        self.released = 0
        events = EventLog(logging.getLogger("aioproducer"), "me", lambda: 0.0)
        self.ledger = Ledger(self.budget, FailureFeed(), Meters(2, 30, 0.0), events, self._released)

    def _released(self) -> None:
        self.released += 1

    def open(self, count: int = 2) -> Batch:
        batch = make_batch(values=[b"v"] * count)
        batch.fate.loop = asyncio.get_running_loop()
        batch.payload = batch.body
        assert self.budget.take(batch.charged)
        self.ledger.opened(batch.fate)
        return batch

    def flush(self) -> Flush:
        flush = Flush(self.ledger.unsettled, asyncio.get_running_loop())
        self.ledger.flushes.append(flush)
        return flush


async def test_a_delivered_batch_is_settled_counted_and_paid_back() -> None:
    book = Book()
    batch = book.open()
    book.ledger.delivered(batch, 40, -1, 1.0)
    assert batch.fate.base_offset == 40
    assert batch.fate.count == 2
    assert (book.ledger.records_delivered, book.ledger.batches_delivered) == (2, 1)
    assert (book.budget.held, book.released) == (0, 1)
    assert not book.ledger.unsettled


async def test_a_failed_batch_knows_where_it_was_and_how_often_it_was_tried() -> None:
    book = Book()
    batch = book.open()
    batch.attempts = 3
    error = ClusterConnectionError("gone")
    book.ledger.failed(batch, error)
    batch.fate.quiet = True
    assert (error.topic, error.partition, error.attempts) == ("orders", 0, 3)
    assert error.persisted == "no"
    assert (book.ledger.records_failed, book.budget.held) == (2, 0)


async def test_what_may_be_written_says_so() -> None:
    book = Book()
    batch = book.open()
    batch.maybe_written = True
    error = ClusterConnectionError("gone")
    book.ledger.failed(batch, error)
    batch.fate.quiet = True
    assert error.persisted == "maybe"


async def test_on_the_wire_its_memory_stays_taken_until_the_answer() -> None:
    book = Book()
    batch = book.open()
    book.ledger.failed(batch, ClusterConnectionError("late"), keep_memory=True)
    batch.fate.quiet = True
    assert book.budget.held > 0
    batch.expired = True
    book.ledger.delivered(batch, 40, -1, 1.0)
    assert book.budget.held == 0
    assert (book.ledger.records_delivered, book.ledger.records_failed) == (0, 2)


async def test_memory_is_paid_back_once() -> None:
    book = Book()
    batch = book.open()
    book.ledger.release(batch)
    book.ledger.release(batch)
    assert (book.budget.held, book.released) == (0, 1)


async def test_a_flush_ends_with_the_last_of_its_batches() -> None:
    book = Book()
    first, second = book.open(), book.open()
    flush = book.flush()
    later = book.open()
    book.ledger.delivered(first, 0, -1, 1.0)
    assert not flush.done.done()
    book.ledger.failed(second, ProducerError("no"))
    second.fate.quiet = True
    assert flush.done.done()
    assert later.fate in book.ledger.unsettled


async def test_a_flush_of_nothing_is_done() -> None:
    assert Book().flush().done.done()


async def test_a_flush_follows_a_record_into_its_batch() -> None:
    book = Book()
    waiting = object()
    flush = Flush([waiting], asyncio.get_running_loop())
    book.ledger.flushes.append(flush)
    batch = book.open()
    book.ledger.moved(waiting, (batch.fate,))
    assert flush.remaining == {batch.fate}
    book.ledger.delivered(batch, 0, -1, 1.0)
    assert flush.done.done()


async def test_and_a_batch_into_its_parts() -> None:
    book = Book()
    batch = book.open(count=2)
    flush = book.flush()
    parts = [make_batch(values=[b"v"]) for _ in range(2)]
    for part in parts:
        part.payload = part.body
        part.charged = batch.charged // 2
    rest = batch.charged - sum(part.charged for part in parts)
    parts[0].charged += rest
    fates: list[tuple[int, Fate, int]] = [(n, part.fate, 0) for n, part in enumerate(parts)]
    book.ledger.divided(batch, parts, fates)
    assert not flush.done.done()
    for part in parts:
        book.ledger.delivered(part, 0, -1, 1.0)
    assert flush.done.done()
    assert (book.budget.held, book.ledger.records_delivered) == (0, 2)


async def test_refused_records_have_failed_deliveries() -> None:
    book = Book()
    delivery = book.ledger.refuse(Record("orders", b"v", partition=4), ProducerError("no"))
    error = delivery.exception()
    assert error is not None
    assert (error.topic, error.partition) == ("orders", 4)
    assert book.ledger.records_failed == 1


async def test_the_report_tells_the_abandoned_apart() -> None:
    book = Book()
    book.ledger.delivered(book.open(), 0, -1, 1.0)
    for _ in range(2):
        batch = book.open()
        book.ledger.failed(batch, ProducerError("no"))
        batch.fate.quiet = True
    report = book.ledger.report(Counter({"orders": 2}))
    assert (report.delivered, report.failed, report.abandoned) == (2, 2, 2)
    assert report.topics["orders"].delivered == 2


class StoppedClock:
    """Notes what it was told to stop."""

    def __init__(self) -> None:
        self.stopped: list[Batch] = []

    def stop(self, batch: Batch) -> None:
        self.stopped.append(batch)


async def test_settling_stops_the_clock() -> None:
    book = Book()
    delivered, failed = book.open(), book.open()
    failed.fate.quiet = True
    clock = StoppedClock()
    delivered.clock = failed.clock = clock
    book.ledger.delivered(delivered, 0, -1, 1.0)
    book.ledger.failed(failed, ProducerError("no"))
    assert clock.stopped == [delivered, failed]
    assert delivered.clock is failed.clock is None
