"""One coroutine per active partition: lets a batch gather records until linger.ms has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.runtime.timers import SLACK


class BatchAssembler:
    """Seals the open batch of one partition: full, lingered, flushed or expedited.

    A sealed batch may leave; it goes on growing up to its limit until it does.
    """

    def __init__(
        self,
        queue: PartitionQueue,
        *,
        linger: float,
        idle: float,
        on_ready: Callable[[PartitionQueue], None],
        on_idle: Callable[[PartitionQueue], None],
    ) -> None:
        self._queue = queue
        self._linger = linger
        self._idle = idle
        self._on_ready = on_ready
        self._on_idle = on_idle
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._last_active = self._loop.time()
        self._retired = False

    def opened(self) -> None:
        """A batch was opened: begin to linger."""
        self._wake(self._waiter, timed_out=False)

    def seal(self, batch: Batch, why: Sealed) -> None:
        """Let ``batch`` linger no more."""
        if batch.sealed is None:
            batch.sealed = why
            if batch.fate.story is not None:
                batch.fate.story.sealed(self._loop.time())
            self._wake(self._waiter, timed_out=False)
            self._on_ready(self._queue)

    async def run(self) -> None:
        """Seal one batch after the other; end when the partition has been idle."""
        self._idle_timer = self._loop.call_later(self._idle, self._check_idle)
        try:
            while not self._retired:
                batch = self._queue.open
                if batch is None or batch.sealed is not None:
                    batch = None  # an idle coroutine must not keep the last batch alive
                    await self._sleep_until(None)
                    self._last_active = self._loop.time()
                    continue
                timed_out = await self._sleep_until(batch.opened + self._linger)
                # The batch may have filled in the turn its timer fired: the timer is for `batch`
                # and must leave the next one alone.
                if timed_out and batch is self._queue.open:
                    self.seal(batch, Sealed.LINGER)
        finally:
            self._idle_timer.cancel()

    def _check_idle(self) -> None:
        # One timer for many batches: it looks when the last one was, and comes back later.
        left = self._last_active + self._idle - self._loop.time()
        if self._queue.open is not None:
            left = self._idle
        if left > SLACK:
            self._idle_timer = self._loop.call_later(left, self._check_idle)
            return
        self._retired = True
        self._on_idle(self._queue)
        self._wake(self._waiter, timed_out=False)

    async def _sleep_until(self, deadline: float | None) -> bool:
        """Return ``True`` at ``deadline``, or ``False`` when woken before."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiter = waiter
        timer = None
        if deadline is not None:
            timer = self._loop.call_at(deadline, self._time_out, waiter)
        try:
            return await waiter
        finally:
            if timer is not None:
                timer.cancel()
            self._waiter = None

    def _time_out(self, waiter: asyncio.Future[bool]) -> None:
        self._wake(waiter, timed_out=True)

    def _wake(self, waiter: asyncio.Future[bool] | None, *, timed_out: bool) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(timed_out)
