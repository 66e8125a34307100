"""The keys and values that every client gets alike, whatever its language."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

from aioproducer.testing.maven import cache_directory
from benchmarks.job import KEY_SIZE, NULL_KEYS

Pairs = Iterator[tuple[bytes | None, bytes]]
"""Endless keys and values."""

_VALUES = 4_000
_SEED = 20_000
_VERSION = 1


def make_values(size: int) -> list[bytes]:
    """Return the values: hex digits, so half is entropy."""
    rng = random.Random(_SEED)
    return [rng.randbytes(size // 2 + 1).hex().encode()[:size] for _ in range(_VALUES)]


def make_keys(count: int) -> list[bytes]:
    """Return ``count`` different keys in their fixed order."""
    key_of = f"key-%0{KEY_SIZE - 4}d".encode().__mod__
    keys = [key_of(number) for number in range(count)]
    random.Random(_SEED).shuffle(keys)
    return keys


def make_pairs(value_size: int, key_count: int) -> Pairs:
    """Return endless keys and values.

    ``key_count`` keys come round in a fixed order; 0 makes each one new, -1 null.
    """
    values = itertools.cycle(make_values(value_size))
    if key_count == NULL_KEYS:
        return zip(itertools.repeat(None), values, strict=False)
    if key_count == 0:
        key_of = f"key-%0{KEY_SIZE - 4}d".encode().__mod__
        return zip(map(key_of, itertools.count()), values, strict=True)
    return zip(itertools.cycle(make_keys(key_count)), values, strict=True)


def payload_files(value_size: int, key_count: int, directory: Path | None = None) -> list[str]:
    """Return the words that tell a foreign client where its values and keys are."""
    folder = directory or cache_directory() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"values_file={_kept(folder / f'values-{_VERSION}-{value_size}', value_size, 0)}"]
    if key_count > 0:
        words.append(f"keys_file={_kept(folder / f'keys-{_VERSION}-{key_count}', 0, key_count)}")
    return words


def _kept(path: Path, value_size: int, key_count: int) -> Path:
    pieces = make_keys(key_count) if key_count else make_values(value_size)
    data = b"".join(pieces)
    if not path.is_file() or path.stat().st_size != len(data):
        scratch = path.with_suffix(".new")
        scratch.write_bytes(data)
        scratch.replace(path)
    return path
