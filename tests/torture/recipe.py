"""What record number n of a lane is: its topic, key and value follow from the seed alone.

So nothing has to be kept of a million records but their outcomes, and the judge can compare every
byte that it reads.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import NamedTuple

BLOCK = 64
"""Records of a block go to one topic, all with keys or all without."""

_KEYS = 500
_REMADE_SHARE = 8  # every eighth block
_BIG_SHARE = 1024  # every 1024th record
_BIG_SIZE = 5000
_NOISE_SIZE = 1 << 16


class Planned(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes


class Identity(NamedTuple):
    """Which record a value says it is."""

    lane: int
    number: int


class Recipe:
    """The records of all lanes.

    Args:
        steady: topics that stay.
        remade: the topic that is deleted and made again.
    """

    def __init__(self, seed: int, steady: Sequence[str], remade: str) -> None:
        self.steady = tuple(steady)
        self.remade = remade
        self._seed = seed
        # Half of it compresses well, half not at all.
        noise = random.Random(seed).randbytes(_NOISE_SIZE // 2)
        self._noise = noise + b"torture " * (_NOISE_SIZE // 16) + noise[:_BIG_SIZE]

    def topic(self, lane: int, number: int) -> str:
        """Where the record goes, without making it."""
        return self._topic_of(self._dice(lane, -1 - number // BLOCK))

    def is_keyed(self, lane: int, number: int) -> bool:
        """Whether the record's block has keys; keyless ones stick together in large batches."""
        return self._dice(lane, -1 - number // BLOCK) & 1 == 0

    def record(self, lane: int, number: int) -> Planned:
        """Make the record."""
        block = self._dice(lane, -1 - number // BLOCK)
        own = self._dice(lane, number)
        key = b"key-%d" % (own % _KEYS) if block & 1 == 0 else None
        size = _BIG_SIZE if own % _BIG_SHARE == 7 else 20 + own % 401
        start = own % _NOISE_SIZE
        value = b"%d:%d:%b" % (lane, number, self._noise[start : start + size])
        return Planned(self._topic_of(block), key, value)

    def _topic_of(self, block: int) -> str:
        if (block >> 1) % _REMADE_SHARE == 0:
            return self.remade
        return self.steady[(block >> 8) % len(self.steady)]

    def _dice(self, lane: int, number: int) -> int:
        return zlib.crc32(b"%d:%d:%d" % (self._seed, lane, number))


def identity_of(value: bytes | None) -> Identity | None:
    """Read the identity out of a value; ``None`` if there is none."""
    parts = (value or b"").split(b":", 2)
    if len(parts) != 3:
        return None
    try:
        return Identity(int(parts[0]), int(parts[1]))
    except ValueError:
        return None
