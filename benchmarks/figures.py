"""The few statistics that the tables show."""

from __future__ import annotations

import math
from collections.abc import Sequence

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two middle ones."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def spread(values: Sequence[float]) -> float:
    """Return how far the rounds lie apart: (max - min) / median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that ``percent`` % of ``ordered``, ascending, do not exceed.

    Nearest rank, not interpolated: a latency that was seen.
    """
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[max(rank, 1) - 1]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return every percentile of the tables by its name."""
    ordered = sorted(values)
    return {name: percentile(ordered, percent) for name, percent in PERCENTILES.items()}


def ratio(value: float, reference: float | None) -> float | None:
    """Return ``value`` in units of ``reference``; ``None`` where there is none."""
    return value / reference if reference else None
