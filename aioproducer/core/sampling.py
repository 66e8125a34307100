"""Figures over Kafka's windows: what was counted lately, and since the beginning.

A meter writes into one sample at a time, by plain additions. When that is as old as a window is
long, the next event begins another. Those that overlap the last ``metrics.num.samples`` windows say
what rates, averages and maxima are now; all that ever was, summed up when somebody asks, gives the
totals.
Follows Kafka's SampledStat and Rate.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar, Generic, NamedTuple, Self, TypeVar


class Sample:
    """What was counted in one window."""

    SUMS: ClassVar[tuple[str, ...]] = ()
    MAXIMA: ClassVar[tuple[str, ...]] = ()
    __slots__ = ("start",)

    def __init__(self, start: float) -> None:
        self.start = start
        for name in self.SUMS:
            setattr(self, name, 0)
        for name in self.MAXIMA:
            setattr(self, name, 0.0)

    def add(self, other: Self) -> None:
        """Take in what ``other`` counted."""
        for name in self.SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in self.MAXIMA:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


S = TypeVar("S", bound=Sample)


class Lately(NamedTuple, Generic[S]):
    """What the windows hold, and the seconds by which a rate divides it."""

    sample: S
    seconds: float


class Meter(Generic[S]):
    """The samples of one thing: the producer, a topic, a broker."""

    __slots__ = ("_current", "_make", "_most", "_older", "_over", "_past", "_window")

    def __init__(self, make: type[S], samples: int, window: float, now: float) -> None:
        self._make = make
        self._most = samples
        self._window = window
        self._past: deque[S] = deque()
        self._older = make(now)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._current = self._make(now)
        self._over = now + self._window

    def at(self, now: float) -> S:
        """Return the sample to count in."""
        if now >= self._over:
            self._past.append(self._current)
            if len(self._past) > self._most:
                self._older.add(self._past.popleft())
            self._begin(now)
        return self._current

    def absorb(self, other: Meter[S]) -> None:
        """Take over what ``other`` has counted, as long past."""
        self._older.add(other.total())

    def total(self) -> S:
        """Return all that was ever counted."""
        total = self._make(0.0)
        for sample in (self._older, *self._past, self._current):
            total.add(sample)
        return total

    def lately(self, now: float) -> Lately[S]:
        """Return what the windows hold at ``now``.

        A rate divides by at least all windows but one, as Kafka does: one record in the first
        second is not a rate of one record each second.
        """
        recent = self._make(now)
        begun = now
        for sample in (self._current, *reversed(self._past)):
            # A sample counts until its youngest event is too old, so that the windows always
            # cover the whole time; Kafka since 4.0 keeps one more for that, too.
            if now - sample.start >= (self._most + 1) * self._window:
                break
            recent.add(sample)
            begun = sample.start
        elapsed = now - begun
        missing = self._most - 1 - int(elapsed // self._window)
        seconds = max(elapsed + max(missing, 0) * self._window, self._window)
        return Lately(recent, seconds)
