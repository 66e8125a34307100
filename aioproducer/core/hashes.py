"""The hashes of other Kafka clients' partitioners, as they compute them, oddities included."""

from __future__ import annotations

import zlib

from aioproducer.wire.primitives import Buffer

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193


def crc32(data: Buffer) -> int:
    """Return the CRC-32 (the one of zip files, not the CRC-32C of record batches)."""
    return zlib.crc32(data)


def fnv1a(data: Buffer) -> int:
    """Return the absolute value of the signed 32-bit FNV-1a.

    The sign goes because Sarama, a client in Go, drops it and librdkafka agrees with Sarama; it
    is not the same as to clear the highest bit.
    """
    state = _FNV_OFFSET
    for byte in data:
        state = (state ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return state if state < 0x80000000 else 0x100000000 - state
