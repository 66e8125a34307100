"""A circuit as a state machine: when it opens, whom it lets through, when it closes again.

Pure: time is an argument, in seconds of any clock that goes on.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass

from aioproducer import ConfigurationError


class CircuitState(enum.Enum):
    """Closed lets everything through, open nothing, half-open one record at a time."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class CircuitEvent(enum.Enum):
    """What moves a circuit."""

    TRIPPED = "too many failures"
    RECOVERY_DUE = "the recovery time is over"
    PROBED_ENOUGH = "the probes were acknowledged"
    PROBE_FAILED = "a probe failed"


TRANSITIONS: dict[tuple[CircuitState, CircuitEvent], CircuitState] = {
    (CircuitState.CLOSED, CircuitEvent.TRIPPED): CircuitState.OPEN,
    (CircuitState.OPEN, CircuitEvent.RECOVERY_DUE): CircuitState.HALF_OPEN,
    (CircuitState.HALF_OPEN, CircuitEvent.PROBED_ENOUGH): CircuitState.CLOSED,
    (CircuitState.HALF_OPEN, CircuitEvent.PROBE_FAILED): CircuitState.OPEN,
}


def transition(state: CircuitState, event: CircuitEvent) -> CircuitState:
    """Return the state after ``event``; one that has no place in ``state`` is a mistake of ours."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise AssertionError(f"{event.name} while {state.name}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRules:
    """When a circuit opens and closes; times in seconds.

    ``failures_in_row`` opens it, counted in batches as they fail; so does ``failure_rate`` of the
    records of the last ``window``, once they are ``minimum``. ``None`` turns either off. After
    ``recovery`` a probe is let through; each one that fails makes the next recovery
    ``recovery_factor`` times as long, up to ``recovery_max``. ``probes`` acknowledged in a row
    close it. A probe that says nothing for ``probe_timeout`` counts no more, and another takes its
    place.
    """

    failures_in_row: int | None = 5
    failure_rate: float | None = 0.5
    window: float = 30.0
    minimum: int = 100
    recovery: float = 10.0
    recovery_factor: float = 1.0
    recovery_max: float = 300.0
    probes: int = 1
    probe_timeout: float = 30.0

    def __post_init__(self) -> None:
        rate = self.failure_rate
        wrong = [
            f"{name} {words}, not {getattr(self, name)!r}"
            for name, fits, words in (
                ("failures_in_row", self.failures_in_row is None or self.failures_in_row >= 1,
                 "is 1 or more, or None"),
                ("failure_rate", rate is None or 0 < rate <= 1,
                 "is from 0 to 1 and not 0, or None"),
                ("window", 0 < self.window < math.inf, "is a positive number of seconds"),
                ("minimum", self.minimum >= 1, "is 1 or more"),
                ("recovery", 0 < self.recovery < math.inf, "is a positive number of seconds"),
                ("recovery_factor", 1 <= self.recovery_factor < math.inf, "is 1 or more"),
                ("recovery_max", self.recovery_max > 0, "is a positive number of seconds"),
                ("probes", self.probes >= 1, "is 1 or more"),
                ("probe_timeout", self.probe_timeout > 0, "is a positive number of seconds"),
            )
            if not fits
        ]  # fmt: skip
        if self.failures_in_row is None and rate is None:
            wrong.append("failures_in_row and failure_rate are both None: it would never open")
        if wrong:
            raise ConfigurationError("; ".join(wrong))


@dataclass(frozen=True, slots=True)
class Moved:
    """A change of state, and what made it."""

    before: CircuitState
    after: CircuitState
    event: CircuitEvent


class Circuit:
    """One circuit. Whoever is let through has a ticket, and says with it what came of it.

    While it is closed all have the same ticket; each probe has its own. A ticket of an earlier
    time says nothing any more: what was sent before the circuit opened may fail long after it
    closed again.
    """

    __slots__ = (
        "_due", "_in_row", "_probe_until", "_probed", "_rules", "_wait", "_window", "state",
        "ticket",
    )  # fmt: skip

    def __init__(self, rules: CircuitRules) -> None:
        self.state = CircuitState.CLOSED
        self.ticket = 0
        self._rules = rules
        self._in_row = 0
        self._wait = rules.recovery
        self._probed = 0
        self._due = 0.0
        # While a probe is on its way: until when it may say something.
        self._probe_until: float | None = None
        self._window = _Window(rules.window)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known that would be lost with it."""
        return self.state is CircuitState.CLOSED and not self._in_row

    def would_admit(self, now: float) -> bool:
        """Return whether :meth:`ask` would give a ticket."""
        if self.state is CircuitState.OPEN:
            return now >= self._due
        return self._probe_until is None or now >= self._probe_until

    def ask(self, now: float) -> tuple[int | None, Moved | None]:
        """Return a ticket, or ``None`` for who must not pass."""
        if self.state is CircuitState.CLOSED:
            return self.ticket, None
        if not self.would_admit(now):
            return None, None
        moved = None
        if self.state is CircuitState.OPEN:
            moved = self._move(CircuitEvent.RECOVERY_DUE)
            self._probed = 0
        self.ticket += 1
        self._probe_until = now + self._rules.probe_timeout
        return self.ticket, moved

    def retry_after(self, now: float) -> float:
        """Return in how many seconds it is worth while to ask again."""
        if self.state is CircuitState.OPEN:
            return max(0.0, self._due - now)
        if self._probe_until is None:
            return 0.0
        # The probe may be answered any moment; until then nobody knows.
        return max(0.0, min(self._probe_until - now, self._rules.recovery))

    def succeeded(self, ticket: int, now: float, records: int = 1) -> Moved | None:
        """Count acknowledged records."""
        if ticket != self.ticket:
            return None
        if self.state is CircuitState.CLOSED:
            self._in_row = 0
            self._window.add(now, records, 0)
            return None
        if self._probe_until is None:
            return None
        self._probe_until = None
        self._probed += 1
        if self._probed < self._rules.probes:
            return None
        self._in_row = 0
        self._window.clear()
        return self._move(CircuitEvent.PROBED_ENOUGH)

    def failed(
        self, ticket: int, now: float, records: int = 1, *, is_new: bool = True
    ) -> Moved | None:
        """Count records that failed; ``is_new`` is false for a batch that was counted already."""
        if ticket != self.ticket:
            return None
        if self.state is not CircuitState.CLOSED:
            return self._open(CircuitEvent.PROBE_FAILED, now) if self._is_probing else None
        self._in_row += is_new
        self._window.add(now, 0, records)
        return self._open(CircuitEvent.TRIPPED, now) if self._is_too_much() else None

    def lost(self, ticket: int) -> None:
        """Note that nobody will tell what became of a record: another may be the probe."""
        if ticket == self.ticket and self.state is CircuitState.HALF_OPEN:
            self._probe_until = None

    @property
    def _is_probing(self) -> bool:
        return self.state is CircuitState.HALF_OPEN and self._probe_until is not None

    def _is_too_much(self) -> bool:
        rules = self._rules
        if rules.failures_in_row is not None and self._in_row >= rules.failures_in_row:
            return True
        total = self._window.good + self._window.bad
        return (
            rules.failure_rate is not None
            and total >= rules.minimum
            and self._window.bad >= rules.failure_rate * total
        )

    def _open(self, event: CircuitEvent, now: float) -> Moved:
        rules = self._rules
        if event is CircuitEvent.TRIPPED:
            self._wait = rules.recovery
        else:
            most = max(rules.recovery, rules.recovery_max)
            self._wait = min(most, self._wait * rules.recovery_factor)
        self._due = now + self._wait
        self._probe_until = None
        return self._move(event)

    def _move(self, event: CircuitEvent) -> Moved:
        before = self.state
        self.state = transition(before, event)
        self.ticket += 1
        return Moved(before, self.state, event)


class _Window:
    """Records counted over the last seconds, in ten steps."""

    __slots__ = ("_seconds", "_step", "_steps", "bad", "good")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._step = seconds / 10
        self._steps: deque[list[float]] = deque()
        self.good = 0
        self.bad = 0

    def add(self, now: float, good: int, bad: int) -> None:
        steps = self._steps
        if not steps or now >= steps[-1][0] + self._step:
            self._forget(now)
            steps.append([now, 0, 0])
        current = steps[-1]
        current[1] += good
        current[2] += bad
        self.good += good
        self.bad += bad

    def clear(self) -> None:
        self._steps.clear()
        self.good = self.bad = 0

    def _forget(self, now: float) -> None:
        steps = self._steps
        while steps and steps[0][0] <= now - self._seconds:
            _, good, bad = steps.popleft()
            self.good -= int(good)
            self.bad -= int(bad)
