"""PortalDeadlines: the time of records that the loop has not taken yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from aioproducer import DeliveryTimeoutError
from aioproducer.patterns.portal_jobs import SendJob

# Whoever is due within this is failed in one go, in seconds.
_TOGETHER = 0.01


class PortalDeadlines:
    """Fails, in the loop, the records whose time is over before their turn has come.

    The loop takes nothing while it starts a producer or has no room. ``call_soon`` calls a function
    in the loop from any thread, and may be deaf until ``begin()``.
    """

    def __init__(self, call_soon: Callable[..., None]) -> None:
        self._call_soon = call_soon
        self._waiting: set[SendJob] = set()
        # When the loop looks next. A thread reads it after it has added to what waits, and the loop
        # looks through that after it has set it: one of them sees the other.
        self._next: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, job: SendJob) -> None:
        """Fail ``job`` at its deadline unless it has begun; called by its thread."""
        assert job.deadline is not None
        self._waiting.add(job)
        if self._next is None or job.deadline < self._next:
            self._next = job.deadline
            self._call_soon(self._look)

    def forget(self, job: SendJob) -> None:
        """Take note that ``job`` waits no more."""
        self._waiting.discard(job)

    def begin(self) -> None:
        """Look after what was handed over before there was a loop."""
        self._look()

    def end(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self.end()
        self._next = None
        now = monotonic()
        due: float | None = None
        for job in list(self._waiting):
            assert job.deadline is not None
            if job.begun or job.future.done():
                self._waiting.discard(job)
            elif job.deadline <= now:
                self._waiting.discard(job)
                job.fail(_late())
            elif due is None or job.deadline < due:
                due = job.deadline
        if due is not None:
            self._next = due
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(_TOGETHER, due - now), self._look)


def _late() -> DeliveryTimeoutError:
    return DeliveryTimeoutError(
        "not acknowledged within the time given to send(): the loop of the portal has not come to"
        " it, for its producer is still starting or has no room",
        persisted="no",
    )
