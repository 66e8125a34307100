"""The demo in words and bars. Pure: numbers in, text out."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aioproducer.cli.verify import Findings

BAR_WIDTH = 40
ERROR_WIDTH = 300
PERCENTILES = (50.0, 95.0, 99.0, 100.0)

_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far producing has come."""

    total: int
    sent: int
    acknowledged: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TopicFigures:
    """What one topic's producer did."""

    topic: str
    codec: str
    records: int
    batches: int
    compressed_to: float
    per_partition: Mapping[int, int]


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all values do not exceed (nearest rank)."""
    if not ascending:
        return math.nan
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]


def bar(value: float, largest: float, width: int = BAR_WIDTH, *, plain: bool = False) -> str:
    """Return a bar as long as `value` is of `largest`; `plain` is for terminals without blocks."""
    share = value / largest if largest > 0 else 0.0
    share = min(1.0, max(0.0, share))
    if plain:
        return "#" * round(share * width)
    full, eighth = divmod(round(share * width * 8), 8)
    return _EIGHTHS[8] * full + (_EIGHTHS[eighth] if eighth else "")


def progress_line(progress: Progress, *, plain: bool = False) -> str:
    """Return one line: how much is done, how fast, and what is open."""
    done = progress.acknowledged + progress.failed
    rate = progress.acknowledged / progress.seconds if progress.seconds > 0 else 0.0
    drawn = bar(done, progress.total, 20, plain=plain)
    return (
        f"  {drawn:<20} {done / progress.total:4.0%}  {rate:7,.0f}/s"
        f"  {progress.sent - done:7,} in flight"
        f"  {progress.acknowledged:9,} acknowledged  {progress.failed:,} failed"
    )


def latency_line(seconds: Iterable[float]) -> str:
    """Return the percentiles of the times from send() to acknowledgement."""
    ascending = sorted(seconds)
    parts = []
    for percent in PERCENTILES:
        name = "max" if percent == 100 else f"p{percent:g}"
        parts.append(f"{name} {percentile(ascending, percent) * 1000:,.1f} ms")
    return "latency from send() to acknowledgement: " + "   ".join(parts)


def topic_table(topics: Sequence[TopicFigures]) -> str:
    """Return one line per topic: its batches, and what compression made of them."""
    widest = max((len(figures.topic) for figures in topics), default=5)
    lines = [
        f"  {'topic':<{widest}}  {'codec':<6}  {'records':>9}  {'batches':>7}"
        f"  {'per batch':>9}  {'compressed to':>13}"
    ]
    for figures in topics:
        each = figures.records / figures.batches if figures.batches else 0.0
        lines.append(
            f"  {figures.topic:<{widest}}  {figures.codec:<6}  {figures.records:>9,}"
            f"  {figures.batches:>7,}  {each:>9,.1f}  {figures.compressed_to:>12.1%}"
        )
    return "\n".join(lines)


def partition_bars(topics: Sequence[TopicFigures], *, plain: bool = False) -> str:
    """Return a bar per partition, all on one scale."""
    largest = max((n for figures in topics for n in figures.per_partition.values()), default=0)
    widest = max((len(figures.topic) for figures in topics), default=5)
    lines = []
    for figures in topics:
        for partition, count in sorted(figures.per_partition.items()):
            name = figures.topic if partition == min(figures.per_partition) else ""
            drawn = bar(count, largest, plain=plain)
            lines.append(f"  {name:<{widest}} {partition:>3} {drawn:<{BAR_WIDTH}} {count:,}")
    return "\n".join(lines)


def failure_lines(progress: Progress, errors: Sequence[str]) -> list[str]:
    """Return why producing failed."""
    return [
        f"FAILED: of {progress.sent:,} records {progress.acknowledged:,} were acknowledged and"
        f" {progress.failed:,} were not; the rest was not sent:",
        *(f"  {textwrap.shorten(error, ERROR_WIDTH, placeholder=' ...')}" for error in errors),
    ]


def findings_as_dict(findings: Sequence[Findings]) -> dict[str, object]:
    """Return what the comparison found as JSON can hold it."""
    return {
        "read_back": sum(each.read for each in findings),
        "differences": {
            each.topic: {difference.value: count for difference, count in each.counts.items()}
            for each in findings
            if not each.is_clean
        },
    }


def verdict_lines(findings: Sequence[Findings]) -> list[str]:
    """Return what the comparison found, good or bad."""
    read = sum(each.read for each in findings)
    if all(each.is_clean for each in findings):
        keys = sum(each.keys for each in findings)
        return [
            f"OK: {read:,} records came back. Nothing is lost, doubled or changed; the records of",
            f"each of {keys:,} keys are in order, in the partition that Kafka's Java client",
            "chooses; every acknowledged offset is true.",
        ]
    sent = sum(each.sent for each in findings)
    lines = [f"DIFFERENT: {sent:,} records were sent, {read:,} came back."]
    for each in findings:
        for difference, count in each.counts.items():
            lines.append(f"  {each.topic}: {count:,} {difference.value}:")
            lines += [f"    {sample}" for sample in each.samples[difference]]
    return lines
