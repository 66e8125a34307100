"""The clock of everything that can fail for lateness: it lets the loop read before it judges.

A loop that was blocked for seconds, or a process that was stopped, finds its timers due and the
answers that came in time unread in the sockets. uvloop runs timers before it polls; asyncio polls
first, but what an answer sets going (a task that wakes, memory that is free again) comes after the
timers. So an alarm that has fired gives the loop turns to read in, as long as there is something to
read, and asks its owner to judge only then. It always does: a timer that is a moment late cannot
know for how long the loop stood still before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aioproducer.runtime.events import event

logger = logging.getLogger("aioproducer")

TOLERANCE = 0.5
"""Seconds by which a timer may be late before that counts as a stall of the loop."""

_BEAT = 0.5
"""Seconds between looks at the clock while records are under way; none when idle."""

_QUIET_TURNS = 4
"""Turns without a byte read after which nothing more is expected.

uvloop polls after the first of them; the second and third are for what an answer set going.
"""

_TURNS_ANEW = 12
"""Within so many turns another stall starts the reading anew; a loop that always stalls judges."""

_MOST_TURNS = 100
_LONGEST_WAIT = 1.0
"""However much there is to read, an alarm is judged after so many turns and seconds."""

_WARN_EVERY = 30.0
"""Seconds between warnings; what happens in between is counted."""


@dataclass(frozen=True, slots=True)
class StallFigures:
    """How often and for how many seconds the loop stood still."""

    count: int = 0
    longest: float = 0.0
    total: float = 0.0


class Alarm:
    """A timer that gives the loop turns to read before it calls; ``cancel()`` holds until then."""

    __slots__ = (
        "_call",
        "_fired_at",
        "_handle",
        "_heard",
        "_quiet",
        "_turned_at",
        "_turns",
        "_watch",
        "_when",
    )

    def __init__(self, watch: StallWatch, when: float, call: Callable[[], object]) -> None:
        self._watch = watch
        self._when = when
        self._call = call
        self._turns = 0
        self._quiet = 0
        self._heard = 0
        self._fired_at = self._turned_at = 0.0
        self._handle: asyncio.Handle = watch._loop.call_at(when, self._fire)

    def cancel(self) -> None:
        """Never call."""
        self._handle.cancel()

    def _fire(self) -> None:
        watch = self._watch
        self._fired_at = self._turned_at = watch.note(self._when)
        self._heard = watch._reads
        self._handle = watch._loop.call_soon(self._turn)

    def _turn(self) -> None:
        watch = self._watch
        now = watch._loop.time()
        if now - self._turned_at > TOLERANCE and self._turns < _TURNS_ANEW:
            # It stood still again between two turns, and what came meanwhile is unread too.
            self._fired_at = now
            self._quiet = 0
        self._turned_at = now
        self._turns += 1
        self._quiet += 1
        if watch._reads != self._heard:
            self._heard = watch._reads
            self._quiet = 0
        too_long = self._turns >= _MOST_TURNS or now - self._fired_at > _LONGEST_WAIT
        if self._quiet < _QUIET_TURNS and (self._turns < _QUIET_TURNS or not too_long):
            self._handle = watch._loop.call_soon(self._turn)
        else:
            self._call()


class StallWatch:
    """Makes alarms; notices by timers that fire late that the loop stood still, and says so."""

    def __init__(
        self,
        client_id: str,
        is_busy: Callable[[], bool] = lambda: False,
        on_stall: Callable[[float], None] = lambda now: None,
    ) -> None:
        self._on_stall = on_stall
        self.figures = StallFigures()
        self._client_id = client_id
        self._is_busy = is_busy
        self._loop = asyncio.get_running_loop()
        self._reads = 0
        self._beat: asyncio.TimerHandle | None = None
        self._stalled_until = float("-inf")
        self._warned_at = float("-inf")
        self._warned_count = 0
        self._closed = False

    def call_at(self, when: float, call: Callable[..., object], *args: object) -> Alarm:
        """Have ``call(*args)`` judge, once ``when`` has come and what has arrived is read."""
        self.attend()
        return Alarm(self, when, (lambda: call(*args)) if args else call)

    def call_later(self, delay: float, call: Callable[..., object], *args: object) -> Alarm:
        """Do as :meth:`call_at`, in ``delay`` seconds."""
        return self.call_at(self._loop.time() + delay, call, *args)

    @asynccontextmanager
    async def timeout(self, delay: float | None) -> AsyncIterator[asyncio.Timeout]:
        """Bound what is awaited inside as :func:`asyncio.timeout` does, in ``delay`` seconds."""
        async with asyncio.timeout(None) as clock:
            if delay is None:
                yield clock
                return
            alarm = self.call_later(delay, clock.reschedule, float("-inf"))
            try:
                yield clock
            finally:
                alarm.cancel()

    def attend(self) -> None:
        """Look at the clock from time to time, as long as records are under way."""
        if self._beat is None and not self._closed:
            self._start_beat()

    def now(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def heard(self) -> None:
        """Bytes were read: there may be more."""
        self._reads += 1

    def note(self, due: float) -> float:
        """Return the time; a timer that was ``due`` fires now."""
        now = self._loop.time()
        # Timers that were due within a stall that is known tell of the same one.
        begin = max(due, self._stalled_until)
        if now - begin > TOLERANCE:
            self._stalled_until = now
            self._count(now - begin)
        return now

    def close(self) -> None:
        """Look at the clock no more."""
        self._closed = True
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _start_beat(self) -> None:
        when = self._loop.time() + _BEAT
        self._beat = self._loop.call_at(when, self._on_beat, when)

    def _on_beat(self, due: float) -> None:
        self._beat = None
        self.note(due)
        if self._is_busy():
            self._start_beat()

    def _count(self, seconds: float) -> None:
        known = self.figures
        figures = self.figures = StallFigures(
            known.count + 1, max(known.longest, seconds), known.total + seconds
        )
        now = self._loop.time()
        self._on_stall(now)
        if now - self._warned_at < _WARN_EVERY:
            return
        unsaid = figures.count - self._warned_count - 1
        self._warned_at, self._warned_count = now, figures.count
        logger.warning(
            "[%s] the event loop stood still for at least %.1f s%s; something blocks it, or the"
            " process was stopped. Answers that came meanwhile still count",
            self._client_id,
            seconds,
            f" ({unsaid} more times since this was last said)" if unsaid else "",
            extra=event("loop.stalled", self._client_id, seconds=seconds, unsaid=unsaid),
        )
