"""OutboxRelay: events that a service's database committed, sent in the background, in order, once.

The service writes an event into a table of its database, in the transaction that it is about. The
relay reads the table and sends what is not marked as sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from aioproducer import (
    AsyncProducer,
    ConfigurationError,
    Header,
    ProducerFencedError,
    TopicPartition,
)

logger = logging.getLogger("aioproducer")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """A row of the table. ``number`` grows in the order in which the rows were committed."""

    number: int
    topic: str
    value: bytes | None = None
    key: bytes | None = None
    headers: Sequence[Header] = ()


class OutboxStore(Protocol):
    """The table, as the relay uses it; what it raises is logged, and the relay begins anew."""

    async def unsent(self, limit: int) -> Sequence[OutboxEvent]:
        """Return the first events that are not marked, by their numbers."""

    async def mark_sent(self, number: int) -> None:
        """Mark all events up to ``number``; it may be called again for the same."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where the number of the last event in Kafka is kept, beside the events themselves.

    It is kept as consumers keep their offsets: for ``group``, at ``place``. ``read`` returns it,
    0 if there is none: a consumer's ``committed()``.
    """

    group: str
    place: TopicPartition
    read: Callable[[], Awaitable[int]]


class OutboxRelay:
    """Relays a table, one relay at a time: a newer one fences an older. ``async with`` runs it.

    Events leave in transactions, so that those who read committed see each once and in order. A
    crash between the commit in Kafka and the mark in the database leaves events unmarked that are
    in Kafka: with a ``bookmark`` the next relay knows, without one it sends them again.

    Args:
        make: makes the producer, with a ``transactional_id`` that is the same for every relay of
            this table.
        store: the table.
        bookmark: where the last number is kept.
        most: events in one transaction at most.
        interval: seconds after which the table is looked at again, unless ``wake()`` is called.
    """

    def __init__(
        self,
        make: Callable[[], AsyncProducer[bytes, bytes]],
        store: OutboxStore,
        *,
        bookmark: Bookmark | None = None,
        most: int = 100,
        interval: float = 1.0,
    ) -> None:
        if most < 1 or interval <= 0:
            raise ValueError(f"most={most}, interval={interval}: 1 or more, and more than 0")
        self.sent_total = 0
        self._make = make
        self._store = store
        self._bookmark = bookmark
        self._most = most
        self._interval = interval
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Have the relay look at once; call it after the database has committed."""
        self._woken.set()

    async def relay_all(self) -> int:
        """Relay until nothing is unsent, and return how many events that were.

        Raises the :exc:`ProducerError` that ends it, :exc:`ProducerFencedError` when another relay
        took over, and what the store raises; all of it may be called again. Cancelling aborts the
        open transaction.
        """
        before = self.sent_total
        async with self._producer() as producer:
            while await self._relay_some(producer):
                pass
        return self.sent_total - before

    async def run(self) -> None:
        """Relay for ever; after a failure with a new producer.

        Raises :exc:`ProducerFencedError` when another relay took over, and
        :exc:`ConfigurationError` if the producer cannot be made. Ends by being cancelled, which
        aborts the open transaction.
        """
        pause = _FIRST_PAUSE
        while True:
            before = self.sent_total
            try:
                async with self._producer() as producer:
                    while True:
                        self._woken.clear()
                        while await self._relay_some(producer):
                            pass
                        await self._until_woken()
            except (ProducerFencedError, ConfigurationError):
                raise
            except Exception as error:  # noqa: BLE001 - of the store, whatever it is
                logger.warning("the outbox relay begins anew: %s: %s", type(error).__name__, error)
            pause = _FIRST_PAUSE if self.sent_total > before else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    @property
    def is_running(self) -> bool:
        """Whether the task of ``async with`` runs; false after another relay took over."""
        return self._task is not None and not self._task.done()

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AsyncProducer[bytes, bytes]]:
        unstarted = self._make()
        if unstarted.config.transactional_id is None:
            raise ConfigurationError("a relay needs a producer with a transactional.id")
        async with unstarted as producer:
            # Started, it has ended the last transaction of an older relay, one way or the other.
            if self._bookmark is not None:
                await self._store.mark_sent(await self._bookmark.read())
            yield producer

    async def _relay_some(self, producer: AsyncProducer[bytes, bytes]) -> bool:
        events = await self._store.unsent(self._most)
        if not events:
            return False
        last = events[-1].number
        async with producer.transaction() as transaction:
            for event in events:
                transaction.send(
                    event.topic, event.value, key=event.key, headers=tuple(event.headers)
                )
            if self._bookmark is not None:
                await transaction.send_offsets({self._bookmark.place: last}, self._bookmark.group)
        self.sent_total += len(events)
        await self._store.mark_sent(last)
        return True

    async def _until_woken(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                await self._woken.wait()

    async def __aenter__(self) -> Self:
        """Begin to relay, in a task."""
        self._task = asyncio.get_running_loop().create_task(self.run(), name="outbox-relay")
        self._task.add_done_callback(_say_why)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the relay; what is not in Kafka stays in the table."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the outbox relay has ended: %s: %s", type(error).__name__, error)
