"""What C does with less ado than Python; compiled code uses ``inlined.pxd`` instead.

Small and without decisions, for these are the only lines of which there are two versions. Tests
that run compiled and not hold them equal.
"""

from __future__ import annotations

import struct
import threading
import time

Buffer = bytes | bytearray | memoryview

# One call takes up to 255 bytes apart into their little-endian words.
_UNPACK_WORDS = [struct.Struct(f"<{count}I").unpack_from for count in range(64)]


def join(a: bytes, b: bytes, c: bytes, d: bytes, e: bytes, f: bytes, g: bytes, h: bytes) -> bytes:
    """Return the byte strings, one after the other."""
    return b"".join((a, b, c, d, e, f, g, h))


row = tuple.__new__
"""Return a named tuple of a type past its constructor, which is a Python function."""


def time_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


thread_ident = threading.get_ident
"""Return the number of the calling thread."""


def words(data: bytes, count: int) -> tuple[int, ...]:
    """Return the first ``count`` little-endian words of 32 bits of ``data``."""
    return _UNPACK_WORDS[count](data) if count < 64 else struct.unpack_from(f"<{count}I", data)
