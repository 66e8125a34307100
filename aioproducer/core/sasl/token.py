"""OAuth tokens: when one ends, and when to get the next."""

from __future__ import annotations

import base64
import binascii
import json
import random
from typing import NamedTuple


class RefreshPolicy(NamedTuple):
    """The `sasl.login.refresh.` settings; times are milliseconds."""

    window_factor: float
    window_jitter: float
    min_period_ms: int
    buffer_ms: int

    def refresh_at_ms(self, now_ms: float, expires_at_ms: float, rng: random.Random) -> float:
        """Return when a token got at ``now_ms`` is to be replaced, as Java's login does it.

        A token so short-lived that both margins do not fit into it is replaced after its window
        alone.
        """
        life = expires_at_ms - now_ms
        planned = now_ms + life * (self.window_factor + self.window_jitter * rng.random())
        if self.min_period_ms + self.buffer_ms >= life:
            return planned
        return max(min(planned, expires_at_ms - self.buffer_ms), now_ms + self.min_period_ms)


def expiry_of(token: str) -> int | None:
    """Return the `exp` claim of a JWT in milliseconds, ``None`` where there is none to be read.

    Its signature is the broker's business: a forged token only fails.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    payload = parts[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        return None
    try:
        return int(expires * 1000)
    except (OverflowError, ValueError):
        return None
