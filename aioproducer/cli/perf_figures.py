"""What `aioproducer perf` measured, in the very lines of Kafka's kafka-producer-perf-test. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aioproducer.cli.latencies import Latencies

if TYPE_CHECKING:
    from aioproducer.observe.readings import Reading

PERCENTILES = (50.0, 95.0, 99.0, 99.9)

_MEGABYTE = 1024 * 1024


@dataclass(slots=True)
class Figures:
    """Records that were acknowledged, their bytes, their times, and how long all of it took."""

    bytes: int = 0
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def records(self) -> int:
        """How many records were acknowledged."""
        return self.latencies.count

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds > 0 else 0.0

    @property
    def megabytes(self) -> float:
        """Mebibytes of values a second, which Kafka's tool calls MB."""
        return self.bytes / self.seconds / _MEGABYTE if self.seconds > 0 else 0.0

    def merge(self, other: Figures) -> None:
        """Add what another process did in the same time."""
        self.bytes += other.bytes
        self.seconds = max(self.seconds, other.seconds)
        self.latencies.merge(other.latencies)

    def as_dict(self) -> dict[str, object]:
        """Return the figures as JSON can hold them."""
        ms = {f"p{percent:g}": self.latencies.percentile(percent) * 1000 for percent in PERCENTILES}
        return {
            "records": self.records,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "records_per_second": self.rate,
            "mib_per_second": self.megabytes,
            "latency_ms": {
                "avg": self.latencies.mean * 1000, **ms, "max": self.latencies.maximum * 1000,
            },
        }  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What one process, or all of them, did."""

    total: Figures = field(default_factory=Figures)
    steady: Figures | None = None
    errors: Counter[str] = field(default_factory=Counter)
    metrics: list[tuple[str, float]] = field(default_factory=list)
    client: str = ""
    interrupted: bool = False

    def merge(self, other: Outcome) -> None:
        """Add what another process did in the same time."""
        self.total.merge(other.total)
        if other.steady is not None:
            self.steady = self.steady or Figures()
            self.steady.merge(other.steady)
        self.errors.update(other.errors)
        self.metrics += other.metrics
        self.client = self.client or other.client
        self.interrupted = self.interrupted or other.interrupted

    def as_dict(self) -> dict[str, object]:
        """Return the outcome as JSON can hold it."""
        told: dict[str, object] = {
            "client": self.client,
            "total": self.total.as_dict(),
            "steady_state": None if self.steady is None else self.steady.as_dict(),
            "failed": sum(self.errors.values()),
            "errors": dict(self.errors),
            "interrupted": self.interrupted,
        }
        if self.metrics:
            told["metrics"] = dict(self.metrics)
        return told


def window_line(figures: Figures) -> str:
    """Return the line that tells how the last seconds went."""
    latencies = figures.latencies
    return (
        f"{figures.records} records sent, {figures.rate:.1f} records/sec"
        f" ({figures.megabytes:.2f} MB/sec), {latencies.mean * 1000:.1f} ms avg latency,"
        f" {latencies.maximum * 1000:.1f} ms max latency."
    )


def total_line(figures: Figures, *, steady: bool = False) -> str:
    """Return the line that tells how all of it went."""
    latencies = figures.latencies
    percentiles = ", ".join(
        f"{int(latencies.percentile(percent) * 1000)} ms {percent:g}th" for percent in PERCENTILES
    )
    return (
        f"{figures.records}{' steady state' if steady else ''} records sent,"
        f" {figures.rate:f} records/sec ({figures.megabytes:.2f} MB/sec),"
        f" {latencies.mean * 1000:.2f} ms avg latency,"
        f" {latencies.maximum * 1000:.2f} ms max latency, {percentiles}."
    )


def metric_names(readings: Iterable[Reading], client_id: str) -> list[tuple[str, float]]:
    """Return figures under the names that Kafka's tool prints: group:name:{tags}."""
    found = []
    for reading in readings:
        tags = {"client-id": client_id, **reading.tags}
        inside = ", ".join(f"{name}={value}" for name, value in tags.items())
        group = reading.metric.group.value
        found.append((f"{group}:{reading.metric.name}:{{{inside}}}", float(reading.value)))
    return sorted(found)


def metric_lines(metrics: list[tuple[str, float]]) -> list[str]:
    """Return the table of metrics as Kafka's tool prints it."""
    widest = max((len(name) for name, _ in metrics), default=0)
    lines = ["", f"{'Metric Name':<{widest}}   Value"]
    return [*lines, *(f"{name:<{widest}} : {value:.3f}" for name, value in metrics)]
