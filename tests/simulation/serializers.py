"""A serializer that answers at once, or later, as one does that looks its schema up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable


class LateSerializer:
    """Takes values as they are, now and then after a while.

    It draws from a source of its own, so that the rest of a seed's world is what it is without it.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"serializer {seed}")
        # Set once all is well: then it answers at once, as with a schema that is known.
        self.is_prompt = False

    def __call__(self, value: bytes) -> bytes | Awaitable[bytes]:
        """Return ``value``, or what will be it."""
        if self.is_prompt or self._rng.random() < 0.8:
            return value
        return self._later(value, self._rng.choice([0, 0.001, 0.02]))

    async def _later(self, value: bytes, seconds: float) -> bytes:
        await asyncio.sleep(seconds)
        return value


def is_late(seed: int) -> bool:
    """Return whether the application of ``seed`` has such a serializer: one of four."""
    return random.Random(f"late {seed}").random() < 0.25
