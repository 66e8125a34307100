"""Exponential backoff with jitter (KIP-580, KIP-601)."""

from __future__ import annotations

import random

JITTER = 0.2
_DOUBLINGS_THAT_MATTER = 32
_FIRST_STEP_MS = 5
_STEP_MS = 20
_STEPS = 16


def backoff_ms(base_ms: float, maximum_ms: float, attempt: int, rng: random.Random) -> float:
    """Return the delay before attempt ``attempt + 1``: doubled each time, capped, ±20 %.

    ``attempt`` counts the failures so far, from 0. The jitter keeps a thousand clients that lost
    the same broker from coming back in the same millisecond.
    """
    if base_ms <= 0:
        return 0.0
    capped = min(maximum_ms, base_ms * 2.0 ** min(attempt, _DOUBLINGS_THAT_MATTER))
    return max(0.0, capped * rng.uniform(1 - JITTER, 1 + JITTER))


def busy_backoff_ms(base_ms: float, attempt: int, rng: random.Random) -> float:
    """Return the delay after CONCURRENT_TRANSACTIONS: the last transaction's markers are written.

    That takes some ten milliseconds as a rule, and every transaction that follows closely on
    another waits for it, so it is asked for in short steps. If they do not help, because a broker
    that owes a marker is away, the delay doubles up to ``base_ms``.
    """
    step = min(base_ms, _STEP_MS)
    if attempt < _STEPS:
        return backoff_ms(min(base_ms, _FIRST_STEP_MS), step, attempt, rng)
    return backoff_ms(step, base_ms, attempt - _STEPS, rng)
