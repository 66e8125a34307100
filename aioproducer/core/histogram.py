"""A histogram of times: fixed bounds, ten to a decade, so that percentiles are good to a tenth."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

_STEPS = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)

BOUNDS = tuple(round(step * 10.0**power, 7) for power in range(-4, 3) for step in _STEPS)
"""Upper bounds in seconds, from a tenth of a millisecond to 800 s; beyond them is one more."""


def bucket_of(seconds: float) -> int:
    """Return where a time is counted: the first bound that is not below it."""
    return bisect_left(BOUNDS, seconds)


def no_counts() -> list[int]:
    """Return a count of nothing for each bucket."""
    return [0] * (len(BOUNDS) + 1)


def percentile(counts: Sequence[int], fraction: float, maximum: float) -> float:
    """Return the time that ``fraction`` of what was counted stayed below, 0 if nothing was.

    Args:
        counts: one for each bucket.
        fraction: between 0 and 1.
        maximum: the longest time that was counted, in seconds; no answer is above it.
    """
    total = sum(counts)
    if not total:
        return 0.0
    rank = fraction * total
    seen = 0
    for bucket, count in enumerate(counts):
        if count and seen + count >= rank:
            if bucket == len(BOUNDS):
                return maximum
            low = BOUNDS[bucket - 1] if bucket else 0.0
            share = (rank - seen) / count
            return min(low + (BOUNDS[bucket] - low) * share, maximum)
        seen += count
    return maximum
