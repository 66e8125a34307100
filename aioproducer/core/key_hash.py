"""The hash of a key as the intake asks for it.

In Python murmur2 takes longer than anything else on a record's way, and keys come back: the last
ones are remembered. Compiled, it takes less time than remembering; see ``key_hash.pxd``.
"""

from __future__ import annotations

from functools import lru_cache

from aioproducer.core.murmur2 import murmur2

REMEMBERED = 32_768
"""Keys; some 5 MB when full."""

hash_of = lru_cache(maxsize=REMEMBERED)(murmur2)
"""Return the murmur2 of a key of bytes."""
