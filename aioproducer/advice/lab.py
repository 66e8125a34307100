"""Compresses batches made of the user's records with every codec and level, and measures it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aioproducer.errors import ConfigurationError
from aioproducer.records import Record
from aioproducer.wire.compression import CODEC_BY_NAME, CODECS, get, require
from aioproducer.wire.record_batch import HEADER_SIZE
from aioproducer.wire.record_encoder import append_record

BATCH_SIZES = (4096, 16384, 65536, 262144)
"""What is measured unless said otherwise: batch.size in bytes."""

USUAL_LEVELS = {"gzip": (1, 6), "lz4": (9, 3), "zstd": (1, 3, 6)}
"""The levels that are worth a look where time is short."""

ALL_LEVELS = {
    "gzip": tuple(range(1, 10)),
    # Its packages know levels of the slower compressor from 3 to 12 only; 9 is the fast one.
    "lz4": (9, 3, 4, 5, 6, 7, 8, 10, 11, 12),
    "zstd": (-5, -1, *range(1, 23)),
}

_SECONDS = 0.03
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """A codec at a level; ``None`` where it has none."""

    codec: str
    level: int | None = None

    def __str__(self) -> str:
        return self.codec if self.level is None else f"{self.codec} {self.level}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a trial made of batches of one size; with headers of batches counted on both sides."""

    trial: Trial
    batch_size: int
    bytes_before: int
    bytes_after: int
    bytes_per_second: float

    @property
    def ratio(self) -> float:
        """How many times smaller it gets: 3.0 stands for 3:1."""
        return self.bytes_before / self.bytes_after

    @property
    def saved_per_tb(self) -> float:
        """Gigabytes that need not be sent and stored of each terabyte."""
        return 1000 * (1 - self.bytes_after / self.bytes_before)

    def cpu_share(self, bytes_per_second: float) -> float:
        """Return the part of one core that this takes at a rate."""
        return bytes_per_second / self.bytes_per_second


def trials(
    codecs: Iterable[str] | None = None, *, every_level: bool = True
) -> tuple[list[Trial], dict[str, str]]:
    """Return what can be tried here, and why some codecs cannot.

    Raises:
        ConfigurationError: a codec that does not exist.
    """
    names = tuple(codecs) if codecs is not None else tuple(codec.name for codec in CODECS[1:])
    found: list[Trial] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            require(name)
        except ConfigurationError as error:
            if name not in CODEC_BY_NAME:
                raise
            missing[name] = str(error)
            continue
        levels = (ALL_LEVELS if every_level else USUAL_LEVELS).get(name, (None,))
        found += [Trial(name, level) for level in levels]
    return found, missing


def measure(
    sample: Sequence[bytes | Record[Any, Any]],
    tried: Iterable[Trial],
    batch_sizes: Sequence[int] = BATCH_SIZES,
    *,
    clock: Callable[[], float] = time.thread_time,
) -> Iterator[Measured]:
    """Compress batches of the sample; yields a result for each trial and size, one by one.

    Sizes that the sample does not fill once are left out: repeating it would invent repetitions
    that are not in the data. ``clock`` gives seconds of CPU time.
    """
    batches = {size: list(batches_of(sample, size)) for size in batch_sizes}
    usable = {size: bodies for size, bodies in batches.items() if len(bodies) > 1}
    if not usable and batches:
        smallest = min(batches)
        usable = {smallest: batches[smallest]}
    for trial in tried:
        compress = get(trial.codec, trial.level).compress
        for size, bodies in usable.items():
            before, after, seconds = _timed(compress, bodies, clock)
            yield Measured(trial, size, before, after, before / max(seconds, 1e-9))


def batches_of(sample: Sequence[bytes | Record[Any, Any]], size: int) -> Iterator[bytes]:
    """Yield the records as the bodies of batches of that size, the last one as far as it goes."""
    body = bytearray()
    count = 0
    for each in sample:
        record = each if isinstance(each, Record) else Record("", each)
        before = len(body)
        append_record(body, count, count, record.key, record.value, record.headers)
        count += 1
        if before and len(body) + HEADER_SIZE > size:
            yield bytes(body[:before])
            body, count = bytearray(), 1
            append_record(body, 0, 0, record.key, record.value, record.headers)
    if body:
        yield bytes(body)


def _timed(
    compress: Callable[[bytes], bytes], bodies: Sequence[bytes], clock: Callable[[], float]
) -> tuple[int, int, float]:
    """Return bytes before and after, and the seconds for them at the best of several rounds.

    Of a slow codec only some of the batches are taken, spread over the sample.
    """
    compress(bodies[0])
    started = clock()
    compress(bodies[len(bodies) // 2])
    once = max(clock() - started, 1e-9)
    chosen = _spread(bodies, max(1, int(_SECONDS / once)))
    before = after = 0
    best = float("inf")
    for _ in range(_ROUNDS):
        started = clock()
        results = [compress(body) for body in chosen]
        best = min(best, clock() - started)
        before = sum(len(body) + HEADER_SIZE for body in chosen)
        after = sum(len(result) + HEADER_SIZE for result in results)
    return before, after, best


def _spread(bodies: Sequence[bytes], most: int) -> Sequence[bytes]:
    if len(bodies) <= most:
        return bodies
    step = len(bodies) / most
    return [bodies[int(index * step)] for index in range(most)]
