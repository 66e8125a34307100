"""Times, counted: percentiles good to a fifth of a percent, and sums of several processes."""

from __future__ import annotations

import math

_FINE = 10
"""Bits that are kept of a time in microseconds."""
_HALF = 1 << (_FINE - 1)


class Latencies:
    """A histogram of times that grows with how much they differ, not with how many there are."""

    __slots__ = ("count", "counts", "maximum", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.maximum = 0.0

    def add(self, seconds: float) -> None:
        """Count a time."""
        micros = int(seconds * 1_000_000)
        if micros >= _HALF << 1:
            shift = micros.bit_length() - _FINE
            micros = (shift * _HALF) + (micros >> shift)
        self.counts[micros] = self.counts.get(micros, 0) + 1
        self.count += 1
        self.total += seconds
        if seconds > self.maximum:
            self.maximum = seconds

    def merge(self, other: Latencies) -> None:
        """Count everything that another has counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.maximum = max(self.maximum, other.maximum)

    @property
    def mean(self) -> float:
        """The mean in seconds, 0 of nothing."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the seconds that so many percent took at most, 0 of nothing (nearest rank)."""
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for bucket, count in sorted(self.counts.items()):
            seen += count
            if seen >= rank:
                return min(_end(bucket), self.maximum)
        return 0.0


def _end(bucket: int) -> float:
    """Return where a bucket ends, in seconds."""
    shift = max(0, bucket // _HALF - 1)
    return ((bucket - shift * _HALF + 1) << shift) / 1_000_000
