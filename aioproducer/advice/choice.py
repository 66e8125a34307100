"""Which codec, level and batch size, by what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aioproducer.advice.lab import BATCH_SIZES, Measured, Trial, measure, trials
from aioproducer.records import Record

WORTH_IT = 1.05
"""Ratios below are not worth the CPU, here and at every reader."""

NEARLY = 0.97
"""What comes this near to the best saving counts as equal; then the cheaper one is taken."""

_LEAST_LINGER_MS = 5
_MOST_LINGER_MS = 100
_DEFAULT_BATCH = 16384


class NoSampleError(ValueError):
    """There is nothing to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionAdvice:
    """What to set, what it brings, and why."""

    settings: Mapping[str, object]
    reason: str
    chosen: Measured | None
    """``None`` when not compressing is best."""
    cpu_share: float
    """The part of one core that compression will take at the given rate."""
    measured: tuple[Measured, ...]
    missing: Mapping[str, str]
    """Codecs that could not be tried, and why."""

    @property
    def ratio(self) -> float:
        """How many times smaller it gets."""
        return 1.0 if self.chosen is None else self.chosen.ratio

    @property
    def saved_per_tb(self) -> float:
        """Gigabytes saved of each terabyte."""
        return 0.0 if self.chosen is None else self.chosen.saved_per_tb


def recommend_compression(
    sample: Iterable[bytes | Record[Any, Any]],
    rate: float,
    cpu: float = 0.25,
    *,
    partitions: int = 1,
    codecs: Iterable[str] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    every_level: bool = False,
) -> CompressionAdvice:
    """Measure the sample with the codecs that are installed and say what to set.

    It takes seconds of CPU time: in a running loop use ``asyncio.to_thread``.

    Args:
        sample: records as they will be sent, a few hundred at least; bytes stand for values.
        rate: bytes a second that will be sent, before compression.
        cpu: how much of one core compression may take, 0.25 for a quarter.
        partitions: over how many partitions they spread, to see what batches will fill.
        codecs: those to try; all by default.
        batch_sizes: values of batch.size to try.
        every_level: try each level instead of the usual ones.

    Raises:
        NoSampleError: the sample is empty.
        ValueError: rate, cpu or partitions are not positive.
    """
    for name, value in (("rate", rate), ("cpu", cpu), ("partitions", partitions)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0, not {value!r}")
    records = list(sample)
    if not records:
        raise NoSampleError("the sample is empty: give records as they will be sent")
    tried, missing = trials(codecs, every_level=every_level)
    measured = tuple(measure(records, tried, batch_sizes))
    return choose(measured, rate, cpu, partitions=partitions, missing=missing)


def choose(
    measured: Sequence[Measured],
    rate: float,
    cpu: float,
    *,
    partitions: int = 1,
    missing: Mapping[str, str] | None = None,
) -> CompressionAdvice:
    """Return the advice that follows from measurements."""
    affordable = [
        each
        for each in measured
        if each.cpu_share(rate) <= cpu and _fills(each.batch_size, rate, partitions)
    ]
    best = max(affordable, key=lambda each: each.saved_per_tb, default=None)
    if best is None or best.ratio < WORTH_IT:
        return CompressionAdvice(
            settings={"compression.type": "none"},
            reason=_why_not(measured, best, rate, cpu),
            chosen=None,
            cpu_share=0.0,
            measured=tuple(measured),
            missing=missing or {},
        )
    nearly = [each for each in affordable if each.saved_per_tb >= NEARLY * best.saved_per_tb]
    chosen = min(nearly, key=lambda each: (each.batch_size, -each.bytes_per_second))
    return CompressionAdvice(
        settings=_settings(chosen, rate, partitions),
        reason=_why(chosen, best, rate, cpu),
        chosen=chosen,
        cpu_share=chosen.cpu_share(rate),
        measured=tuple(measured),
        missing=missing or {},
    )


def _fills(batch_size: int, rate: float, partitions: int) -> bool:
    """Return whether a batch of that size fills before lingering takes too long."""
    return batch_size <= _DEFAULT_BATCH or (
        batch_size <= rate / partitions * _MOST_LINGER_MS / 1000
    )


def _settings(chosen: Measured, rate: float, partitions: int) -> dict[str, object]:
    fill_ms = chosen.batch_size / (rate / partitions) * 1000
    linger = min(_MOST_LINGER_MS, max(_LEAST_LINGER_MS, math.ceil(fill_ms)))
    settings: dict[str, object] = {"compression.type": chosen.trial.codec}
    if chosen.trial.level is not None:
        settings[f"compression.{chosen.trial.codec}.level"] = chosen.trial.level
    return {
        **settings,
        "batch.size": max(chosen.batch_size, _DEFAULT_BATCH),
        "linger.ms": linger,
    }


def _why(chosen: Measured, best: Measured, rate: float, cpu: float) -> str:
    words = (
        f"{chosen.trial} makes batches of {chosen.batch_size} bytes {chosen.ratio:.2f} times"
        f" smaller, {chosen.saved_per_tb:.0f} GB less of each TB, for"
        f" {chosen.cpu_share(rate):.1%} of a core ({cpu:.0%} allowed)"
    )
    if chosen is best:
        return f"{words}; nothing that fits saves more."
    return (
        f"{words}; {best.trial} at {best.batch_size} bytes would save {best.saved_per_tb:.0f} GB,"
        f" for {best.cpu_share(rate):.1%}."
    )


def _why_not(measured: Sequence[Measured], best: Measured | None, rate: float, cpu: float) -> str:
    if not measured:
        return "no codec could be tried."
    if best is not None:
        return (
            f"the data hardly shrinks: {best.trial} reaches {best.ratio:.2f}:1. It is compressed"
            " or encrypted already, or its records have nothing in common."
        )
    cheapest = min(measured, key=lambda each: each.cpu_share(rate))
    return (
        f"at {rate:,.0f} bytes/s even {cheapest.trial} takes {cheapest.cpu_share(rate):.0%} of a"
        f" core, and {cpu:.0%} is allowed."
    )


__all__ = ["CompressionAdvice", "NoSampleError", "Trial", "choose", "recommend_compression"]
