"""DeadLetters: a producer whose records, when they finally fail, are kept somewhere."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from aioproducer import (
    AsyncProducer,
    CircuitOpenError,
    CloseReport,
    DeadLetterError,
    Delivery,
    FlushTimeoutError,
    Header,
    MetricKind,
    ProducerClosedError,
    ProducerError,
    Record,
)
from aioproducer.patterns.dead_letter_cases import Case, check, sender_like
from aioproducer.patterns.dead_letter_topics import DEFAULT, DeadLetterTopics
from aioproducer.patterns.letter_delivery import AnyDelivery, LetterDelivery
from aioproducer.patterns.letters import DeadLetter, letter_of, to_record
from aioproducer.patterns.salvage import Given, fixed, salvage
from aioproducer.patterns.spool_writer import SpoolWriter
from aioproducer.patterns.wrapper import ProducerWrapper

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")

_PER_TURN = 100
_GRACE = 5.0
"""Seconds that letters have for the disk, when the time for closing is over."""

_SAY_AGAIN_AFTER = 30.0
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
        self._sender = sender
        self._own_sender: AsyncProducer[bytes, bytes] | None = None
        self._writer = None if spool is None else SpoolWriter(spool)
        self._on_lost = on_lost
        self._keep = keep
        self._timeout = timeout
        self._cases: dict[Case, None] = {}
        self._failures: deque[Case] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing: asyncio.Task[CloseReport] | None = None
        self._is_forced = False
        self._forced: asyncio.Task[CloseReport] | None = None
        # How long the step of the end that is under way may take.
        self._clock: asyncio.Timeout | None = None
        self._has_ended = False
        self._taken: set[str] = set()
        # Of each batch under way the records sent through here: one of them is watched for all.
        self._batches: dict[object, list[tuple[LetterDelivery, tuple[Any, ...]]]] = {}
        self._context = contextvars.Context()
        self._said: dict[str, tuple[float, int]] = {}
        self.sent = 0
        """Letters that a dead-letter topic acknowledged."""
        self.spooled = 0
        """Letters in the spool file."""
        self.lost = 0
        """Letters that are kept nowhere, those given to ``on_lost`` included."""
        self._register_metrics(metrics)

    @property
    def pending(self) -> int:
        """Records that failed and are not kept yet."""
        return len(self._cases)

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
            self._failed(Case(outer, Given(*given), error))
        elif sent.cancelled():
            outer.cancel()
        elif not outer.done():
            outer.set_result(sent.result())

    # From a failure to where its letter is kept

    def _failed(self, case: Case) -> None:
        if not self._is_to_keep(case.error):
            case.outer.settle(case.error.replica(), is_handled=False)
            return
        self._cases[case] = None
        if self._has_ended:
            case.errors.append(ProducerClosedError("its dead letters are closed"))
            self._lose(case)
            return
        self._idle.clear()
        self._failures.append(case)
        if self._pump is None or self._pump.done():
            name = f"{self.client_id}:dead-letters"
            self._pump = asyncio.get_running_loop().create_task(self._run(), name=name)

    def _is_to_keep(self, error: ProducerError) -> bool:
        try:
            return bool(self._keep(error))
        except Exception:
            logger.exception("[%s] keep() of dead letters raised", self.client_id)
            return True

    async def _run(self) -> None:
        """Send what failed, some at each turn of the loop; ends when there is no more."""
        while self._failures:
            for _ in range(min(_PER_TURN, len(self._failures))):
                await self._write(self._failures.popleft())
            if self._own_sender is not None:
                self._own_sender.expedite()
            await asyncio.sleep(0)

    async def _write(self, case: Case) -> None:
        try:
            case.letter = await self._letter(case)
            # What may go nowhere near the cluster: it was refused because that is away.
            is_away = isinstance(case.error, CircuitOpenError) and self._sender is None
            if self._topics is None or (is_away and self._writer is not None):
                self._spool(case)
                return
            record = to_record(case.letter, self._topics.of(case.letter.record.topic))
            delivery = (await self._started()).send(
                record.topic, record.value, key=record.key, timestamp_ms=record.timestamp_ms,
                headers=record.headers, timeout=self._timeout,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - the user's functions may raise anything
            case.errors.append(error)
            self._spool(case)
            return
        delivery.add_done_callback(partial(self._posted, case), context=self._context)

    async def _letter(self, case: Case, *, asks: bool = True) -> DeadLetter:
        topic, given = case.outer.topic, case.given
        parts = await salvage(self.innermost, topic, given, case.error, asks=asks)
        timestamp_ms = given.timestamp_ms
        record = Record(
            topic, parts.value, parts.key, given.partition,
            int(given.sent_at * 1000) if timestamp_ms is None else timestamp_ms, parts.headers,
        )  # fmt: skip
        return letter_of(
            record, case.outer.partition, case.error, int(time.time() * 1000),
            key_form=parts.key_form, value_form=parts.value_form,
        )  # fmt: skip

    async def _started(self) -> AsyncProducer[bytes, bytes] | ProducerWrapper[bytes, bytes]:
        if self._sender is not None:
            return self._sender
        if self._own_sender is None:
            self._own_sender = sender_like(self.producer)
            await self._own_sender.start()
        return self._own_sender

    def _posted(self, case: Case, delivery: Any) -> None:
        error = delivery.failure
        if error is None and not delivery.cancelled():
            self.sent += case in self._cases
            metadata = delivery.result()
            where = f"{metadata.topic}-{metadata.partition} at offset {metadata.offset}"
            self._say(logging.INFO, "dead_letters.sent", f"went to {metadata.topic}", case)
            self._kept(case, metadata, where)
            return
        if error is not None and not delivery.cancelled():
            delivery.exception()
        case.errors.append(error or ProducerError("the dead letter was cancelled"))
        self._spool(case)

    def _spool(self, case: Case) -> None:
        if case not in self._cases:
            return
        if self._writer is None or case.letter is None:
            self._lose(case)
            return
        if case.is_spooling:
            return
        case.is_spooling = True
        try:
            written = self._writer.write(case.letter)
        except Exception as error:  # noqa: BLE001 - no thread to be had, at the end of a process
            case.errors.append(error)
            self._lose(case)
            return
        written.add_done_callback(partial(self._spooled, case), context=self._context)

    def _spooled(self, case: Case, written: asyncio.Future[None]) -> None:
        assert self._writer is not None
        error = None if written.cancelled() else written.exception()
        if error is not None or written.cancelled():
            case.errors.append(error or OSError("the spool file was closed"))
            self._lose(case)
            return
        self.spooled += case in self._cases
        self._say(logging.WARNING, "dead_letters.spooled", f"went to {self._writer.path}", case)
        self._kept(case, self._writer.path, self._writer.path)

    def _kept(self, case: Case, kept: Any, where: str) -> None:
        error = case.error.replica()
        error.add_note(f"kept as a dead letter: {where}")
        for each in case.errors[1:]:
            error.add_note(f"after this failed: {each}")
        case.outer.kept = kept
        self._end(case, error, is_handled=True)

    def _lose(self, case: Case) -> None:
        if case not in self._cases:
            return
        first = case.error
        lost = DeadLetterError(
            "the record failed and could not be kept: "
            + "; then: ".join(f"{type(each).__name__}: {each}" for each in case.errors),
            errors=tuple(case.errors),
            retriable=first.retriable,
            persisted=first.persisted,
            topic=first.topic,
            partition=first.partition,
            attempts=first.attempts,
        )
        lost.__cause__ = first
        self.lost += 1
        self._say(logging.ERROR, "dead_letters.lost", f"could not be kept: {case.errors[-1]}", case)
        is_handled = False
        if self._on_lost is not None and case.letter is not None:
            try:
                self._on_lost(case.letter, lost)
                is_handled = True
            except Exception as error:
                lost.errors += (error,)
                logger.exception("[%s] on_lost() of dead letters raised", self.client_id)
        self._end(case, lost, is_handled=is_handled)

    def _end(self, case: Case, error: ProducerError, *, is_handled: bool) -> None:
        if self._cases.pop(case, 0) is None:
            case.outer.settle(error, is_handled=is_handled)
        if not self._cases:
            self._idle.set()

    # The end

    async def flush(self, timeout: float | None = None) -> None:
        """Flush the producer, then wait until every dead letter is kept or lost.

        Raises :exc:`FlushTimeoutError` after ``timeout`` seconds (default: the delivery timeout
        plus a second, and the letters' own). Cancelling abandons the wait only.
        """
        limit = self._default_limit() if timeout is None else timeout
        deadline = asyncio.get_running_loop().time() + limit
        await self.producer.flush(timeout)
        if not await self._until_idle(deadline):
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
        self._is_forced = True
        if self._forced is None and not self._is_borrowed:
            self._forced = asyncio.get_running_loop().create_task(
                self.producer.close(0), name=f"{self.client_id}:dead-letters:force"
            )
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time())

    async def _close(self, timeout: float | None) -> CloseReport:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._default_limit() if timeout is None else timeout)
        try:
            report = await self._close_producer(timeout)
        finally:
            if self._is_forced:
                deadline = loop.time()
            if self._forced is not None:
                await asyncio.wait([self._forced])
            await self._finish(deadline)
        return report

    async def _close_producer(self, timeout: float | None) -> CloseReport:
        if not self._is_borrowed:
            return await self.producer.close(timeout)
        try:
            async with asyncio.timeout(None) as self._clock:
                await self.producer.flush(timeout)
        except (ProducerError, TimeoutError) as error:
            logger.warning("[%s] dead letters end before the producer: %s", self.client_id, error)
        finally:
            self._clock = None
        return CloseReport()

    async def _finish(self, deadline: float) -> None:
        """End what is on its way: to its topic by ``deadline``, else to the disk."""
        loop = asyncio.get_running_loop()
        # Letters on their way to their topic are not waited for any more once it is forced.
        is_idle = await self._until_idle(deadline, is_forcible=True)
        if self._own_sender is not None:
            # What it has not delivered fails now, and goes to the spool, or is there already.
            await self._own_sender.close(0)
        if not is_idle and self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        for case in list(self._cases):
            try:
                case.letter = case.letter or await self._letter(case, asks=False)
            except Exception as error:  # noqa: BLE001 - it must not hold the end
                case.errors.append(error)
            self._spool(case)
        self._has_ended = True
        await self._until_idle(loop.time() + _GRACE)
        for case in list(self._cases):
            case.errors.append(TimeoutError(f"not written within {_GRACE:g} s"))
            self._lose(case)
        if self._writer is not None:
            self._writer.close()

    async def _until_idle(self, deadline: float, *, is_forcible: bool = False) -> bool:
        # The callbacks of the last deliveries run in the next turns, one for each wrapper.
        for _ in range(3):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout_at(deadline) as clock:
                self._clock = clock if is_forcible else self._clock
                await self._idle.wait()
        except TimeoutError:
            return False
        finally:
            self._clock = None if is_forcible else self._clock
        return True

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

    # What it tells

    def _say(self, level: int, event: str, words: str, case: Case) -> None:
        """Log one line, unless such a one was logged a short while ago."""
        now = time.monotonic()
        said_at, unsaid = self._said.get(event, (float("-inf"), 0))
        if now - said_at < _SAY_AGAIN_AFTER:
            self._said[event] = (said_at, unsaid + 1)
            return
        self._said[event] = (now, 0)
        more = f" ({unsaid} more since this was last said)" if unsaid else ""
        error = case.error
        fields = {"topic": case.outer.topic, "error_type": type(error).__name__, "unsaid": unsaid}
        logger.log(
            level, "[%s] a dead letter of %s %s; it failed with %s: %s%s",
            self.client_id, case.outer.topic, words, type(error).__name__, error, more,
            extra={"event": event, "client_id": self.client_id, "fields": fields},
        )  # fmt: skip

    def _register_metrics(self, word: str) -> None:
        def total(name: str, read: Callable[[], float], words: str) -> None:
            self.register_metric(
                f"{word}-{name}", read, kind=MetricKind.TOTAL, unit="records", description=words
            )

        total("total", lambda: self.sent, "Records kept in a dead-letter topic.")
        total("spooled-total", lambda: self.spooled, "Records kept in the spool file.")
        total("lost-total", lambda: self.lost, "Records that failed and could not be kept.")
        self.register_metric(
            f"{word}-pending", lambda: self.pending, unit="records",
            description="Records that failed and are not kept yet.",
        )  # fmt: skip
