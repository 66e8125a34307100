# cython: annotation_typing=False, freethreading_compatible=True
"""The hash that decides where a key goes: murmur2 as Kafka's Java client computes it.

One wrong bit and records with the same key, sent by two clients, land in two partitions: order per
key is gone without an error anywhere. This runs once per keyed record: it is measured code.
"""

from __future__ import annotations

from aioproducer import inlined
from aioproducer.wire.primitives import Buffer

_SEED = 0x9747B28C


def murmur2(data: Buffer) -> int:
    """Return the hash as an unsigned 32-bit number (Java prints the same bits as a signed one)."""
    if type(data) is not bytes:
        data = bytes(data)
    size = len(data)
    count = size >> 2
    parts = inlined.words(data, count)
    # Locals, so that a compiler can be told their C types; as literals they would stay objects.
    factor = 0x5BD1E995
    mask = 0xFFFFFFFF
    state = _SEED
    state ^= size
    for word in parts[:count]:
        word = word * factor & mask
        # One mask serves both products: their lower 32 bits depend on nothing above.
        state = (state * factor ^ (word ^ word >> 24) * factor) & mask
    rest = size & 3
    if rest:
        tail = data
        if rest == 3:
            state ^= tail[size - 1] << 16
        if rest >= 2:
            state ^= tail[size - rest + 1] << 8
        state ^= tail[size - rest]
        state = state * factor & mask
    state ^= state >> 13
    state = state * factor & mask
    return state ^ state >> 15


def partition_of_key(key: Buffer, count: int) -> int:
    """Return the partition, of ``count``, that every Java producer chooses for ``key``.

    All partitions take part, whether they have a leader just now or not: otherwise a key would
    move away for as long as a broker is down.
    """
    return (murmur2(key) & 0x7FFFFFFF) % count
