"""LetterKeeper: a failed record's way to its topic, else to the disk, else to whoever is told."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from aioproducer import (
    AsyncProducer,
    CircuitOpenError,
    DeadLetterError,
    ProducerClosedError,
    ProducerError,
    Record,
)
from aioproducer.patterns.dead_letter_cases import Case, sender_like
from aioproducer.patterns.dead_letter_topics import DeadLetterTopics
from aioproducer.patterns.letter_counts import LetterCounts
from aioproducer.patterns.letters import DeadLetter, letter_of, to_record
from aioproducer.patterns.salvage import salvage
from aioproducer.patterns.spool_writer import SpoolWriter
from aioproducer.patterns.wrapper import ProducerWrapper

logger = logging.getLogger("aioproducer")

_PER_TURN = 100
_GRACE = 5.0
"""Seconds that letters have for the disk, when the time for closing is over."""

Sender = AsyncProducer[bytes, bytes] | ProducerWrapper[bytes, bytes]


class LetterKeeper:
    """Keeps what failed, in the order it did; the Case's future is done when that is over.

    ``producer`` is the one whose records fail; the other arguments are those of
    :class:`DeadLetters`.
    """

    def __init__(
        self,
        producer: AsyncProducer[Any, Any],
        counts: LetterCounts,
        *,
        topics: DeadLetterTopics | None,
        sender: Sender | None,
        writer: SpoolWriter | None,
        on_lost: Callable[[DeadLetter, DeadLetterError], object] | None,
        keep: Callable[[ProducerError], bool],
        timeout: float,
    ) -> None:
        self.is_hurried = False
        self._producer = producer
        self._client_id = producer.client_id
        self._counts = counts
        self._topics = topics
        self._sender = sender
        self._own_sender: AsyncProducer[bytes, bytes] | None = None
        self._writer = writer
        self._on_lost = on_lost
        self._keep = keep
        self._timeout = timeout
        self._cases: dict[Case, None] = {}
        self._failures: deque[Case] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        # How long letters on their way to their topic are waited for at the end.
        self._clock: asyncio.Timeout | None = None
        self._has_ended = False
        self._context = contextvars.Context()

    @property
    def pending(self) -> int:
        """Records that failed and are not kept yet."""
        return len(self._cases)

    def take(self, case: Case) -> None:
        """Have a failed record's letter kept, unless the user wants none of it."""
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
            name = f"{self._client_id}:dead-letters"
            self._pump = asyncio.get_running_loop().create_task(self._run(), name=name)

    def _is_to_keep(self, error: ProducerError) -> bool:
        try:
            return bool(self._keep(error))
        except Exception:
            logger.exception("[%s] keep() of dead letters raised", self._client_id)
            return True

    # To its topic

    async def _run(self) -> None:
        """Send what failed, some at each turn of the loop; ends when there is no more."""
        while self._failures:
            for _ in range(min(_PER_TURN, len(self._failures))):
                await self._send(self._failures.popleft())
            if self._own_sender is not None:
                self._own_sender.expedite()
            await asyncio.sleep(0)

    async def _send(self, case: Case) -> None:
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
        parts = await salvage(self._producer, topic, given, case.error, asks=asks)
        timestamp_ms = given.timestamp_ms
        record = Record(
            topic, parts.value, parts.key, given.partition,
            int(given.sent_at * 1000) if timestamp_ms is None else timestamp_ms, parts.headers,
        )  # fmt: skip
        return letter_of(
            record, case.outer.partition, case.error, int(time.time() * 1000),
            key_form=parts.key_form, value_form=parts.value_form,
        )  # fmt: skip

    async def _started(self) -> Sender:
        if self._sender is not None:
            return self._sender
        if self._own_sender is None:
            self._own_sender = sender_like(self._producer)
            await self._own_sender.start()
        return self._own_sender

    def _posted(self, case: Case, delivery: Any) -> None:
        error = delivery.failure
        if error is None and not delivery.cancelled():
            metadata = delivery.result()
            is_late = case not in self._cases
            self._counts.letter_sent(case, metadata.topic, is_late=is_late)
            where = f"{metadata.topic}-{metadata.partition} at offset {metadata.offset}"
            self._kept(case, metadata, where)
            return
        if error is not None and not delivery.cancelled():
            delivery.exception()
        case.errors.append(error or ProducerError("the dead letter was cancelled"))
        self._spool(case)

    # To the disk

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
        path = self._writer.path
        self._counts.letter_spooled(case, path, is_late=case not in self._cases)
        self._kept(case, path, path)

    # Its end

    def _kept(self, case: Case, kept: Any, where: str) -> None:
        case.outer.kept = kept
        self._settle(case, case.error_if_kept(where), is_handled=True)

    def _lose(self, case: Case) -> None:
        if case not in self._cases:
            return
        lost = case.error_if_lost()
        self._counts.letter_lost(case)
        is_handled = False
        if self._on_lost is not None and case.letter is not None:
            try:
                self._on_lost(case.letter, lost)
                is_handled = True
            except Exception as error:
                lost.errors += (error,)
                logger.exception("[%s] on_lost() of dead letters raised", self._client_id)
        self._settle(case, lost, is_handled=is_handled)

    def _settle(self, case: Case, error: ProducerError, *, is_handled: bool) -> None:
        if self._cases.pop(case, 0) is None:
            case.outer.settle(error, is_handled=is_handled)
        if not self._cases:
            self._idle.set()

    # The end of all

    async def until_idle(self, deadline: float, *, is_forcible: bool = False) -> bool:
        """Wait until nothing is pending, but only until ``deadline``; return whether it is so."""
        # The callbacks of the last deliveries run in the next turns, one for each wrapper.
        for _ in range(3):
            await asyncio.sleep(0)
        if is_forcible and self.is_hurried:
            deadline = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(deadline) as clock:
                self._clock = clock if is_forcible else self._clock
                await self._idle.wait()
        except TimeoutError:
            return False
        finally:
            self._clock = None if is_forcible else self._clock
        return True

    def hurry(self) -> None:
        """Have the end wait no more for letters on their way to their topic: they are spooled."""
        self.is_hurried = True
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time())

    async def finish(self, deadline: float) -> None:
        """End what is on its way: to its topic by ``deadline``, else to the disk."""
        loop = asyncio.get_running_loop()
        is_idle = await self.until_idle(deadline, is_forcible=True)
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
        await self.until_idle(loop.time() + _GRACE)
        for case in list(self._cases):
            case.errors.append(TimeoutError(f"not written within {_GRACE:g} s"))
            self._lose(case)
        if self._writer is not None:
            self._writer.close()
