"""Outbox: records that leave in the background, bounded, with a word on each that cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aioproducer import Header, ProducerClosedError, ProducerError, Record
from aioproducer.integrations.background import AnyProducer
from aioproducer.patterns import LetterDelivery

K = TypeVar("K")
V = TypeVar("V")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0


class OutboxFullError(ProducerError):
    """As many records are in the outbox as it may hold: Kafka takes them slower than they come."""

    retriable = True
    what_next = "Answer 503 and let the client come again, or allow the outbox more records."

    def __init__(self, message: str = "", *, topic: str | None = None) -> None:
        super().__init__(message, topic=topic)
        self.retry_after = 1.0


@dataclass(slots=True, eq=False)
class _Entry(Generic[K, V]):
    number: int
    record: Record[K, V]
    since: float


class Outbox(Generic[K, V]):
    """Takes records at once and sees to it that each is delivered, or its failure told.

    For handlers that answer before Kafka has the record (202). It holds ``max_records`` at most,
    in memory: what must survive the process belongs into the database of the service, see
    docs/web.md. A record that failed without being in the log is sent again for up to
    ``give_up_after`` seconds, one that may be in it (``persisted="maybe"``) only with
    ``duplicates``. Then ``on_failure`` is told, once per record.

    A record that ``DeadLetters`` in front of the producer have kept is not sent again.

    While any record waits to be sent again, later ones queue behind it. A record already on its
    way when an earlier one of its partition fails may overtake that; the producer's own
    retries, for up to ``delivery.timeout.ms``, never reorder.
    """

    def __init__(
        self,
        producer: AnyProducer[K, V],
        on_failure: Callable[[Record[K, V], ProducerError], None],
        *,
        max_records: int = 10_000,
        give_up_after: float = 300.0,
        duplicates: bool = False,
    ) -> None:
        if max_records < 1 or give_up_after < 0:
            raise ValueError(
                f"max_records={max_records}, give_up_after={give_up_after}: the one has to be"
                " 1 or more, the other 0 or more"
            )
        self.max_records = max_records
        self.put_total = 0
        self.delivered_total = 0
        self._producer = producer
        self._on_failure = on_failure
        self._give_up_after = give_up_after
        self._duplicates = duplicates
        self._open: dict[int, _Entry[K, V]] = {}
        self._again: list[_Entry[K, V]] = []
        self._pause = _FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._waiters: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        """Return how many records are neither delivered nor given up."""
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether ``put()`` would refuse a record for want of room."""
        return len(self._open) >= self.max_records

    def put(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> None:
        """Take a record; never blocks. Arguments, and the errors of misuse, as of ``send()``.

        Raises :exc:`OutboxFullError` when there is no room, and :exc:`ProducerClosedError` once
        the service ends.
        """
        if self._closing:
            raise ProducerClosedError("the outbox is closed: the service ends")
        if self.is_full:
            raise OutboxFullError(f"the outbox holds {len(self._open)} records", topic=topic)
        record = Record(topic, value, key, partition, timestamp_ms, tuple(headers))
        now = asyncio.get_running_loop().time()
        entry = _Entry(self.put_total, record, now)
        if self._again:
            self._open[entry.number] = entry
            self._again.append(entry)
        else:
            self._send(entry)
            self._open[entry.number] = entry
        self.put_total += 1

    async def join(self, timeout: float | None = None) -> None:
        """Return when the outbox is empty, for once; :exc:`TimeoutError` after ``timeout`` seconds.

        Cancelling abandons the wait only.
        """
        if not self._open:
            return
        empty = asyncio.get_running_loop().create_future()
        self._waiters.add(empty)
        try:
            async with asyncio.timeout(timeout):
                await empty
        finally:
            self._waiters.discard(empty)

    def close(self) -> None:
        """Take no more, and send what waits once more; what fails now is given up.

        The producer's ``close()`` then settles all that is open, within its timeout.
        """
        self._closing = True
        self._send_again()

    def _send(self, entry: _Entry[K, V]) -> None:
        record = entry.record
        delivery = self._producer.send(
            record.topic,
            record.value,
            key=record.key,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
            headers=record.headers,
        )
        delivery.add_done_callback(lambda done: self._settled(entry, done))

    def _settled(self, entry: _Entry[K, V], delivery: asyncio.Future[Any]) -> None:
        error = _error_of(delivery)
        if error is None:
            self.delivered_total += 1
            self._pause = _FIRST_PAUSE
            self._let_go(entry)
        elif not _is_kept(delivery) and self._may_go_again(entry, error):
            self._again.append(entry)
            self._arm()
        else:
            self._give_up(entry, error)

    def _may_go_again(self, entry: _Entry[K, V], error: ProducerError) -> bool:
        if self._closing or not error.retriable:
            return False
        if error.persisted != "no" and not self._duplicates:
            return False
        return asyncio.get_running_loop().time() - entry.since < self._give_up_after

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._send_again)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _send_again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        again, self._again = self._again, []
        for entry in sorted(again, key=lambda each: each.number):
            try:
                self._send(entry)
            except (ProducerError, TypeError, ValueError) as raised:
                self._give_up(entry, _as_producer_error(raised))

    def _give_up(self, entry: _Entry[K, V], error: ProducerError) -> None:
        self._let_go(entry)
        self._on_failure(entry.record, error)

    def _let_go(self, entry: _Entry[K, V]) -> None:
        del self._open[entry.number]
        if not self._open:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)


def _is_kept(delivery: asyncio.Future[Any]) -> bool:
    # A dead letter: sent again it would be in two places.
    return isinstance(delivery, LetterDelivery) and delivery.kept is not None


def _error_of(delivery: asyncio.Future[Any]) -> ProducerError | None:
    if delivery.cancelled():
        return ProducerClosedError("the delivery was cancelled", persisted="maybe")
    error = delivery.exception()
    return None if error is None else _as_producer_error(error)


def _as_producer_error(error: BaseException) -> ProducerError:
    if isinstance(error, ProducerError):
        return error
    wrapped = ProducerError(f"the record was not taken: {error!r}")
    wrapped.__cause__ = error
    return wrapped
