"""Damage done to bytes, as lines, brokers and attackers do it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_LENGTHS = (0, 1, 2, 4, 8)
_NUMBERS = (0, 1, -1, -2, 127, 128, 255, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**63 - 1)
_VARINTS = (
    b"\xff\xff\xff\xff\x0f",
    b"\xfe\xff\xff\xff\x07",
    b"\x80\x80\x80\x80\x08",
    b"\x80\x80\x80\x80\x80\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
)
_MOST_NOISE = 64

Damage = Callable[[bytearray, random.Random], None]


def mutated(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """Return one of ``seeds`` with one to four damages, or now and then nothing but noise."""
    if rng.random() < 0.02:
        return rng.randbytes(rng.randrange(_MOST_NOISE))
    data = bytearray(rng.choice(seeds))
    if rng.random() < 0.05:
        other = rng.choice(seeds)
        data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(_DAMAGES)(data, rng)
    return bytes(data)


def _position(data: bytearray, rng: random.Random) -> int:
    # The first bytes are sizes, counts and codes: they are hit more often.
    span = len(data) if rng.random() < 0.7 else min(len(data), 16)
    return rng.randrange(span + 1)


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_position(data, rng) % len(data)] ^= 1 << rng.randrange(8)


def _replace(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_position(data, rng) % len(data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))


def _write_number(data: bytearray, rng: random.Random) -> None:
    size = rng.choice((2, 4, 8))
    number = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
    at = _position(data, rng)
    data[at : at + size] = number.to_bytes(size, "big")


def _write_varint(data: bytearray, rng: random.Random) -> None:
    at = _position(data, rng)
    data[at : at + rng.choice((1, 1, 5))] = rng.choice(_VARINTS)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_position(data, rng) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = _position(data, rng)
    del data[at : at + rng.choice(_LENGTHS)]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _position(data, rng)
    data[at:at] = rng.randbytes(rng.choice(_LENGTHS))


def _repeat(data: bytearray, rng: random.Random) -> None:
    at = _position(data, rng)
    data[at:at] = data[at : at + rng.randrange(1, 33)] * rng.choice((1, 1, 2, 50))


def _append(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.randrange(1, 17))


_DAMAGES: tuple[Damage, ...] = (
    _flip,
    _flip,
    _replace,
    _write_number,
    _write_number,
    _write_varint,
    _cut,
    _remove,
    _insert,
    _repeat,
    _append,
)
