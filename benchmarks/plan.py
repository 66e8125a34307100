"""What is measured: tables of jobs, and in which order their rows take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.arguments import Settings
from benchmarks.job import Job, Measurement

Figure = Callable[[Measurement], float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its figure of a run, how it is written, whether its ratio is shown too."""

    name: str
    figure: Figure
    form: str = ",.2f"
    ratio: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows that are measured in turns, and so may be compared."""

    section: str
    name: str
    """Tells it from the section's other tables, and stays the same between releases."""
    title: str
    rows: Mapping[str, Job]
    columns: Sequence[Column]
    reference: str | None = None
    """The row that ratios refer to."""
    rounds: int = 1
    label: str = "client"
    note: str = ""
    noisy: Sequence[str] = field(default=())
    """The columns whose spread between rounds is shown."""


def turns(rows: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, row): A B C A B C, so that a disturbance hits all of them alike."""
    for number in range(1, rounds + 1):
        for row in rows:
            yield number, row


def extra(name: str) -> Figure:
    """Return the figure of that name, ``None`` where a run has none."""
    return lambda run: run.extra.get(name)


def rate(run: Measurement) -> float | None:
    return run.records_per_second or None


def cpu(run: Measurement) -> float | None:
    return run.cpu_per_million or None


def percentile(name: str) -> Figure:
    return lambda run: run.latency_ms.get(name)


def keys_in_words(settings: Settings) -> str:
    return "16 B keys" if settings.keys else "16 B keys never seen before"
