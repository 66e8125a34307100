"""When each record of an open-loop run is due, whatever the client makes of it.

Latency counts from here, not from the call of send(): a client that stalls delays the calls behind
it, and to count from those would leave out just the waiting that its users feel (coordinated
omission).
"""

from __future__ import annotations

from dataclasses import dataclass

TICK_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """``rate`` records per second in ticks of a millisecond, from ``start_ns`` on."""

    start_ns: int
    rate: int
    warm_up: float
    seconds: float

    @property
    def warm_up_records(self) -> int:
        """How many records come before those that count."""
        return int(self.rate * self.warm_up)

    @property
    def total(self) -> int:
        """How many records there are, warm-up included."""
        return self.warm_up_records + int(self.rate * self.seconds)

    @property
    def ticks(self) -> int:
        """How many ticks it takes until all are due."""
        return (self.total - 1) * 1_000_000_000 // (self.rate * TICK_NS) + 1

    def intended_ns(self, index: int) -> int:
        """Return when record ``index`` is due: at the beginning of its tick."""
        tick = index * 1_000_000_000 // (self.rate * TICK_NS)
        return self.start_ns + tick * TICK_NS

    def due(self, now_ns: int) -> int:
        """Return how many records are due at ``now_ns``."""
        if now_ns < self.start_ns:
            return 0
        ticks = (now_ns - self.start_ns) // TICK_NS + 1
        # Record i is due in tick i * 10^9 // (rate * TICK): count those below `ticks`, rounding up.
        return min(self.total, -(-ticks * self.rate * TICK_NS // 1_000_000_000))
