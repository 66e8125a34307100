"""DeadLetters: a producer whose records, when they finally fail, are kept somewhere."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from aioproducer import (
    AsyncProducer,
    CloseReport,
    DeadLetterError,
    Delivery,
    FlushTimeoutError,
    Header,
    ProducerError,
)
from aioproducer.patterns.dead_letter_cases import Case, check
from aioproducer.patterns.dead_letter_topics import DEFAULT, DeadLetterTopics
from aioproducer.patterns.letter_counts import LetterCounts
from aioproducer.patterns.letter_delivery import AnyDelivery, LetterDelivery
from aioproducer.patterns.letter_keeper import LetterKeeper
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.salvage import Given, fixed
from aioproducer.patterns.spool_writer import SpoolWriter
from aioproducer.patterns.wrapper import ProducerWrapper

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")

_MOST_TOPICS = 10_000
_BUFFERS = (bytearray, memoryview)


class DeadLetters(ProducerWrapper[K, V]):
    """A producer whose records become dead letters when they finally fail, and are not lost.

    Use it like the producer: ``async with DeadLetters(AsyncProducer(...)) as producer``. A record
    that fails is sent to a dead-letter topic, with its key, value and headers and with headers
    that say why. If that fails too it goes to a spool file, or to a callback. Only then its
    ``send()`` is done: with its own error if it was kept, with :exc:`DeadLetterError` if not.

    Args:
        producer: an :class:`AsyncProducer` without transactions, or a wrapper of one.
        topic: the dead-letter topic: a name, a pattern with ``{topic}``, or a function of the
            topic; ``None`` goes to the spool file at once.
        sender: the producer of the letters, which sends bytes, and whose start and end are the
            caller's; by default one of its own, with the settings of the first and no serializers.
        spool: the path of a spool file, which several processes may share.
        on_lost: called with a letter that is kept nowhere, and its :exc:`DeadLetterError`.
        keep: which errors make dead letters; all by default.
        timeout: seconds that a letter has to reach its topic.
        metrics: the first word of its metrics' names.

    Raises :exc:`ConfigurationError` for what makes no sense together, and :exc:`ValueError` if the
    producer has metrics of that name already.
    """

    def __init__(
        self,
        producer: AsyncProducer[K, V] | ProducerWrapper[K, V],
        *,
        topic: str | Callable[[str], str] | None = DEFAULT,
        sender: AsyncProducer[bytes, bytes] | ProducerWrapper[bytes, bytes] | None = None,
        spool: str | os.PathLike[str] | None = None,
        on_lost: Callable[[DeadLetter, DeadLetterError], object] | None = None,
        keep: Callable[[ProducerError], bool] = lambda _: True,
        timeout: float = 30.0,
        metrics: str = "dead-letter",
    ) -> None:
        check(producer, topic, sender, spool, on_lost, timeout, refused=DeadLetters)
        super().__init__(producer)
        self._topics = None if topic is None else DeadLetterTopics(topic)
        self._timeout = timeout
        self._counts = LetterCounts(self.client_id)
        self._keeper = LetterKeeper(
            self.innermost, self._counts,
            topics=self._topics, sender=sender,
            writer=None if spool is None else SpoolWriter(spool),
            on_lost=on_lost, keep=keep, timeout=timeout,
        )  # fmt: skip
        self._closing: asyncio.Task[CloseReport] | None = None
        self._forced: asyncio.Task[CloseReport] | None = None
        # How long a producer that goes on living is flushed at the end.
        self._clock: asyncio.Timeout | None = None
        self._taken: set[str] = set()
        # Of each batch under way the records sent through here: one of them is watched for all.
        self._batches: dict[object, list[tuple[LetterDelivery, tuple[Any, ...]]]] = {}
        self._context = contextvars.Context()
        self._counts.register(self, metrics, lambda: self.pending)

    @property
    def sent(self) -> int:
        """Letters that a dead-letter topic acknowledged."""
        return self._counts.sent

    @property
    def spooled(self) -> int:
        """Letters in the spool file."""
        return self._counts.spooled

    @property
    def lost(self) -> int:
        """Letters that are kept nowhere, those given to ``on_lost`` included."""
        return self._counts.lost

    @property
    def pending(self) -> int:
        """Records that failed and are not kept yet."""
        return self._keeper.pending

    def __repr__(self) -> str:
        return (
            f"<DeadLetters of {self.producer!r}: {self.sent} sent, {self.spooled} spooled,"
            f" {self.lost} lost>"
        )

    # Sending

    def send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> LetterDelivery:
        """Queue one record, as :meth:`AsyncProducer.send` does.

        Raises :exc:`ValueError` for a dead-letter topic as well. Of a record that may still become
        a dead letter, key and value are held until it is done: do not change them meanwhile.
        """
        if topic not in self._taken:
            self._take(topic)
        headers = fixed(headers)
        sent = self.producer.send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
            headers=headers, timeout=timeout,
        )  # fmt: skip
        given = (value, key, partition, timestamp_ms, headers, time.time())
        return self._follow(sent, given, timeout)

    def try_send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> LetterDelivery:
        """Queue one record or refuse at once; what is refused is the caller's, and no letter."""
        if topic not in self._taken:
            self._take(topic)
        headers = fixed(headers)
        sent = self.producer.try_send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms, headers=headers
        )
        return self._follow(sent, (value, key, partition, timestamp_ms, headers, time.time()))

    def _take(self, topic: str) -> None:
        """Remember a topic that may be sent to; raises :exc:`ValueError` for others."""
        if self._topics is not None:
            self._topics.refuse(topic)
        if len(self._taken) >= _MOST_TOPICS:
            self._taken.clear()
        self._taken.add(topic)

    def _follow(
        self, sent: AnyDelivery, given: tuple[Any, ...], timeout: float | None = None
    ) -> LetterDelivery:
        if isinstance(given[0], _BUFFERS) or isinstance(given[1], _BUFFERS):
            given = Given(*given).copied()
        outer = LetterDelivery(sent)
        # One with a time of its own may fail before its batch.
        batch = sent.batch if timeout is None and isinstance(sent, Delivery) else None
        if batch is None:
            self._follow_alone(outer, given)
            return outer
        mates = self._batches.get(batch)
        if mates is None:
            mates = self._batches[batch] = []
            assert isinstance(sent, Delivery)
            sent.twin().add_done_callback(
                partial(self._batch_settled, batch), context=self._context
            )
        mates.append((outer, given))
        return outer

    def _follow_alone(self, outer: LetterDelivery, given: tuple[Any, ...]) -> None:
        outer._sent.add_done_callback(partial(self._settled, outer, given), context=self._context)

    def _batch_settled(self, batch: object, twin: object) -> None:
        for outer, given in self._batches.pop(batch):
            if outer._sent.done():
                self._settled(outer, given, outer._sent)
            else:
                # The batch was divided, and this one's part is not done.
                self._follow_alone(outer, given)

    def _settled(self, outer: LetterDelivery, given: tuple[Any, ...], sent: Any) -> None:
        error: ProducerError | None = sent.failure
        if error is not None:
            # From here on it is ours to report.
            if not sent.cancelled():
                sent.exception()
            outer.failure = error
            self._keeper.take(Case(outer, Given(*given), error))
        elif sent.cancelled():
            outer.cancel()
        elif not outer.done():
            outer.set_result(sent.result())

    # The end

    async def flush(self, timeout: float | None = None) -> None:
        """Flush the producer, then wait until every dead letter is kept or lost.

        Raises :exc:`FlushTimeoutError` after ``timeout`` seconds (default: the delivery timeout
        plus a second, and the letters' own). Cancelling abandons the wait only.
        """
        limit = self._default_limit() if timeout is None else timeout
        deadline = asyncio.get_running_loop().time() + limit
        await self.producer.flush(timeout)
        if not await self._keeper.until_idle(deadline):
            raise FlushTimeoutError(
                f"{self.pending} dead letters were still on their way after {limit:g} s"
            )

    async def close(self, timeout: float | None = None) -> CloseReport:
        """Close the producer, then keep what failed by that, all within ``timeout`` seconds.

        The default is the delivery timeout plus a second and the letters' own; what has not
        reached its topic by then goes to the spool file, for up to five seconds more. Calling it
        again waits for the same end; with 0 it forces. Cancelling abandons the wait: it goes on.
        """
        if self._closing is not None and timeout == 0:
            self._force()
        return await asyncio.shield(self._begin_close(timeout))

    def _begin_close(self, timeout: float | None) -> asyncio.Task[CloseReport]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(
                self._close(timeout), name=f"{self.client_id}:dead-letters:close"
            )
        return self._closing

    def _force(self) -> None:
        self._keeper.hurry()
        if self._forced is None and not self._is_borrowed:
            self._forced = asyncio.get_running_loop().create_task(
                self.producer.close(0), name=f"{self.client_id}:dead-letters:force"
            )
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time())

    async def _close(self, timeout: float | None) -> CloseReport:
        limit = self._default_limit() if timeout is None else timeout
        deadline = asyncio.get_running_loop().time() + limit
        try:
            report = await self._close_producer(timeout)
        finally:
            if self._forced is not None:
                await asyncio.wait([self._forced])
            await self._keeper.finish(deadline)
        return report

    async def _close_producer(self, timeout: float | None) -> CloseReport:
        if not self._is_borrowed:
            return await self.producer.close(timeout)
        try:
            async with asyncio.timeout(0 if self._keeper.is_hurried else None) as self._clock:
                await self.producer.flush(timeout)
        except (ProducerError, TimeoutError) as error:
            logger.warning("[%s] dead letters end before the producer: %s", self.client_id, error)
        finally:
            self._clock = None
        return CloseReport()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close as :meth:`close` does, and leave no sooner than that is over.

        Cancelling is put off until then; the second cancellation forces, and if the block itself
        was left by one, that was the first.
        """
        closing = self._begin_close(None)
        put_off: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError as cancelled:
                if put_off is not None or isinstance(exc, asyncio.CancelledError):
                    self._force()
                put_off = cancelled
        if put_off is not None:
            raise put_off
        closing.result()

    def _default_limit(self) -> float:
        return float(self.config.delivery_timeout_ms) / 1000 + 1 + self._timeout
