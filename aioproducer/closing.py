"""The end of a producer: one task that closes it, and all who wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aioproducer.records import CloseReport

_FORCING = 2
"""The first cancellation of who waits for the end is about the wait; the second is meant."""


class Closing:
    """Runs ``work`` to its end, whoever stops waiting for it; ``hasten`` shortens its time."""

    def __init__(
        self,
        work: Coroutine[Any, Any, CloseReport],
        hasten: Callable[[float], None],
        *,
        name: str,
    ) -> None:
        self._hasten = hasten
        self._cancellations = 0
        # An explicit Task: an eager task factory would begin in the middle of the caller.
        self._task = asyncio.Task(work, loop=asyncio.get_running_loop(), name=name)

    def hasten(self, timeout: float) -> None:
        """Leave no more than ``timeout`` seconds from now."""
        if not self._task.done():
            self._hasten(timeout)

    async def wait(self) -> CloseReport:
        """Return the report; cancelling abandons the wait, a second time it forces the end."""
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self.cancelled()
            raise

    async def wait_through(self, why: BaseException | None) -> None:
        """Return when all is over, and not before: a cancellation is raised again only then.

        ``why`` is what ended the work before. A second Ctrl-C comes as a KeyboardInterrupt, after
        the cancellation that asyncio makes of the first.
        """
        if isinstance(why, (asyncio.CancelledError, KeyboardInterrupt)):
            self.cancelled()
        task = asyncio.current_task()
        if isinstance(why, KeyboardInterrupt) and task is not None and task.cancelling():
            self.cancelled()
        caught: asyncio.CancelledError | None = None
        while not self._task.done():
            try:
                await asyncio.shield(self._task)
            except asyncio.CancelledError as error:
                caught = error
                self.cancelled()
        if caught is not None:
            raise caught
        self._task.result()

    def cancelled(self) -> None:
        """Take note that somebody who waits was cancelled."""
        self._cancellations += 1
        if self._cancellations >= _FORCING:
            self.hasten(0)
