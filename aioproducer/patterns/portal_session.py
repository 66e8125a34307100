"""PortalSession: the loop's side of a portal, from its first record to the end of its loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, TypeVar

from aioproducer import (
    AsyncProducer,
    CloseReport,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
    WrongLoopError,
)
from aioproducer.patterns.handover import Handover
from aioproducer.patterns.portal_deadlines import PortalDeadlines
from aioproducer.patterns.portal_jobs import Job, SendJob

K = TypeVar("K")
V = TypeVar("V")

# Records handed to the producer before the loop looks after others.
_SLICE = 64
# Ends that are no further apart are the same, in seconds.
_SAME = 0.01
# How long a fork waits for a loop that is held up, and the loop for the fork, in seconds.
_STAND_STILL = 10.0


class PortalSession(Generic[K, V]):
    """Hands to one producer, in its loop, what threads put.

    ``owned`` producers are started and closed here; the others are only served.
    """

    def __init__(
        self, producer: AsyncProducer[K, V], name: str, max_backlog: int, *, owned: bool
    ) -> None:
        self.producer = producer
        self.name = name
        self.owned = owned
        self.handover: Handover[Job] = Handover(
            max_backlog, max(producer.config.buffer_memory, 1), self._wake
        )
        self.deadlines = PortalDeadlines(self.call_soon)
        self.calls: set[asyncio.Task[Any]] = set()
        self.report: CloseReport | None = None
        self.ended = threading.Event()
        self.thread: threading.Thread | None = None
        self._jobs: set[Job] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._news: asyncio.Event | None = None
        self._limit: asyncio.Timeout | None = None
        self._end: float | None = None
        self._closing_until: float | None = None
        self._hastening: set[asyncio.Task[CloseReport]] = set()
        self._gone = False
        self._bound = threading.Event()

    # From threads

    def put(self, job: Job, timeout: float | None) -> None:
        """Hand ``job`` over, waiting up to ``timeout`` seconds for room; ``None`` needs none."""
        self._jobs.add(job)
        try:
            self.handover.put(job, job.size, timeout)
            if isinstance(job, SendJob) and job.deadline is not None:
                self.deadlines.watch(job)
        except BaseException:
            self._jobs.discard(job)
            # Ctrl-C may come when it is queued already, and the loop was not told.
            job.future.cancel()
            self._wake()
            raise

    def require_another_thread(self, what: str) -> None:
        """Raise :exc:`WrongLoopError` in the loop's own thread, which must not be held up."""
        loop = self._loop
        if loop is not None and self._thread == threading.get_ident() and loop.is_running():
            raise WrongLoopError(
                f"{what} in the thread of the portal's own loop would never end",
                what_next="There, await the methods of the producer itself.",
            )

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have the loop call ``function``, if there is still a loop."""
        loop = self._loop
        if loop is None or self._gone:
            return
        try:
            loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self.look()

    def look(self) -> None:
        """Fail everything if the loop was closed without a word."""
        if self._loop is not None and self._loop.is_closed() and not self._gone:
            self.end(ProducerClosedError(f"the event loop of {self.name} was closed"))

    def close(self, timeout: float) -> None:
        """Begin to end within ``timeout`` seconds; called again it only shortens that."""
        end = monotonic() + timeout
        # Before the refusal, for what ends by that looks here.
        self._end = end if self._end is None else min(end, self._end)
        self.handover.refuse(ProducerClosedError(f"{self.name} is closed"))
        self.call_soon(self._shorten)

    def patience(self) -> float:
        """Return what ``close()`` allows without a timeout, in seconds."""
        return self.producer.config.delivery_timeout_ms / 1000 + 1

    def wait_for_end(self, timeout: float) -> None:
        """Hold the calling thread until all is over; raises after ``timeout`` seconds."""
        end = monotonic() + timeout
        while not self.ended.wait(min(1.0, max(0.0, end - monotonic()))):
            self.look()
            if monotonic() >= end:
                raise ProducerStateError(f"{self.name} did not end: its event loop is held up")
        if self.thread is not None:
            self.thread.join(max(0.0, end - monotonic()))

    def park(self) -> threading.Event | None:
        """Have the loop's thread stand still until the event that is returned is set.

        For a fork: a child has whatever another thread was amid, such as half an import.
        """
        if self._gone or self._thread == threading.get_ident():
            return None
        self._bound.wait(_STAND_STILL)
        parked, go_on = threading.Event(), threading.Event()
        self.call_soon(_stand_still, parked, go_on)
        parked.wait(_STAND_STILL)
        return go_on

    def forget(self, job: Job) -> None:
        """Take note that ``job`` is settled."""
        self._jobs.discard(job)

    def jobs(self) -> list[Job]:
        """Return what is not settled."""
        return list(self._jobs)

    def end(self, why: ProducerError) -> None:
        """Fail whatever is open; afterwards everything is refused."""
        self._gone = True
        self.handover.refuse(why)
        self.handover.take()
        for job in self.jobs():
            job.abandon(why)
        self.ended.set()

    def _wake(self) -> None:
        if self._news is not None:
            self.call_soon(self._news.set)

    # In the loop

    def bind(self) -> None:
        """Take the running loop for the producer's."""
        self._thread = threading.get_ident()
        self._news = asyncio.Event()
        # Last: who puts from now on finds all of it.
        self._loop = asyncio.get_running_loop()
        self._bound.set()

    async def live(self) -> None:
        """Serve until closed; an owned producer is started before and closed after.

        What was handed to a producer that is not owned is left to it.
        """
        self.deadlines.begin()
        try:
            async with asyncio.timeout(None) as limit:
                self._limit = limit
                if self._end is not None:
                    self._shorten()
                if self.owned:
                    await self.producer.start()
                await self._serve()
                while self.calls:
                    await asyncio.wait(self.calls)
        except BaseException as error:
            if not (isinstance(error, TimeoutError) and limit.expired()):
                await self._leave(0)
                raise
        finally:
            self.deadlines.end()
        self._abandon_waiting()
        await self._leave(self._remaining())

    async def _leave(self, timeout: float) -> None:
        self._limit = None
        for call in self.calls:
            call.cancel()
        if self.owned:
            self._closing_until = monotonic() + timeout
            self.report = await self.producer.close(timeout)
            self._closing_until = None
            if self._hastening:
                await asyncio.wait(self._hastening)

    async def _serve(self) -> None:
        assert self._news is not None
        while True:
            self._news.clear()
            # Before the look: what is put behind it comes before the refusal.
            refused = self.handover.refusal is not None
            jobs = self.handover.take()
            for first in range(0, len(jobs), _SLICE):
                part = jobs[first : first + _SLICE]
                for job in part:
                    job.begin()
                self.handover.release(len(part), sum(job.size for job in part))
                await self._give_way()
            if not jobs:
                if refused:
                    return
                await self._news.wait()

    async def _give_way(self) -> None:
        """Wait while the producer has no room: the threads' records stay with the portal."""
        try:
            await self.producer.drain()
        except ProducerError:
            # Still none, or closed: each record gets to know by itself.
            await asyncio.sleep(0)

    def _shorten(self) -> None:
        """Have what goes on end when it has to by now."""
        if self._limit is not None:
            if self._limit.expired():
                return
            self._limit.reschedule(asyncio.get_running_loop().time() + self._remaining())
        elif self._closing_until is not None and self._remaining() + monotonic() < (
            self._closing_until - _SAME
        ):
            hasten = self.producer.close(self._remaining())
            self._hastening.add(asyncio.create_task(hasten, name=f"{self.name}:close"))

    def _remaining(self) -> float:
        return 0.0 if self._end is None else max(0.0, self._end - monotonic())

    def _abandon_waiting(self) -> None:
        self.handover.take()
        why = ProducerClosedError(f"{self.name} was closed before the record's turn came")
        for job in self.jobs():
            if not job.begun:
                job.abandon(why)


def _stand_still(parked: threading.Event, go_on: threading.Event) -> None:
    parked.set()
    go_on.wait(_STAND_STILL)
