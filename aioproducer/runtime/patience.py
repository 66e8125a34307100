"""How long the end of a producer may take, and how whoever is in a hurry shortens that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aioproducer.runtime.stall import Alarm, StallWatch

_NEVER = float("inf")


class Patience:
    """The time that is left for everything that has to be done at the end, step after step."""

    def __init__(self, watch: StallWatch) -> None:
        self._watch = watch
        self._until = _NEVER
        self._step: asyncio.Timeout | None = None
        self._no_sooner = -_NEVER
        self._hurry: Alarm | None = None

    @property
    def left(self) -> float:
        """Seconds that are left; below zero when the time is over."""
        return self._until - self._watch.now()

    def shorten(self, timeout: float) -> None:
        """Leave no more than ``timeout`` seconds from now."""
        when = self._watch.now() + timeout
        if when >= self._until:
            return
        self._until = when
        self._end_hurry()
        if self._step is not None:
            self._hurry = self._watch.call_at(max(when, self._no_sooner), self._end_step)

    @asynccontextmanager
    async def step(self, at_least: float | None = None) -> AsyncIterator[asyncio.Timeout]:
        """Do one step; when its time is over the block is left, without an error.

        It has ``at_least`` so many seconds, whatever is left. With ``None`` the step bounds itself
        by ``left``, and is ended only if that is shortened. Cancelling ends the step, leaves no
        time for those that follow, and is not raised.
        """
        when = None
        self._no_sooner = -_NEVER
        if at_least is not None:
            self._no_sooner = self._watch.now() + at_least
            when = max(self._until, self._no_sooner)
        clock = asyncio.timeout_at(when)
        try:
            async with clock:
                self._step = clock
                yield clock
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self.shorten(0)
        finally:
            self._step = None
            self._end_hurry()

    def _end_step(self) -> None:
        if self._step is not None and not self._step.expired():
            self._step.reschedule(-_NEVER)

    def _end_hurry(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None
