"""How long a login lasts (KIP-368), and when it is to be renewed."""

from __future__ import annotations

import random
from typing import NamedTuple

_EARLIEST, _LATEST, _PAUSE = 0.85, 0.95, 0.97


class Session(NamedTuple):
    """The times of one login, on the clock that ``session_of`` was given."""

    renew_at: float
    pause_at: float
    """From here on nothing but the renewal is sent: it might arrive after the end."""
    ends_at: float


def session_of(lifetime_ms: int, now: float, rng: random.Random) -> Session | None:
    """Return the session that began at ``now``, ``None`` if it has no end.

    It is renewed at a random point between 85 and 95 % of its life, as Java's clients do, so that
    connections made together are not renewed together.
    """
    if lifetime_ms <= 0:
        return None
    life = lifetime_ms / 1000
    return Session(now + life * rng.uniform(_EARLIEST, _LATEST), now + life * _PAUSE, now + life)
