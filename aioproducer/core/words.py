"""A key as 32-bit words; compiled code reads them where they lie, as ``words.pxd`` says."""

from __future__ import annotations

import struct

from aioproducer.wire.primitives import Buffer

# One call takes a key of up to 255 bytes apart into its little-endian words.
_UNPACK_WORDS = [struct.Struct(f"<{count}I").unpack_from for count in range(64)]


def words_of(data: Buffer, count: int) -> tuple[int, ...]:
    """Return the first ``count`` little-endian words of ``data``."""
    return _UNPACK_WORDS[count](data) if count < 64 else struct.unpack_from(f"<{count}I", data)
