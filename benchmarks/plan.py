"""What is measured: tables of jobs, and in which order their rows take turns."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.job import Job, Measurement
from benchmarks.peers import PEERS
from benchmarks.store import Store, TableResults

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
    noisy: Sequence[str] = ()
    """The columns whose spread between rounds is shown."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """The module that a row needs, beside its client."""
    derive: Callable[[TableResults], None] | None = None
    """Adds the figures that come of several rows."""
    plot: Literal["bars", "lines"] = "bars"

    def missing(self, row: str) -> str | None:
        """Return what is not installed for ``row``, or ``None``."""
        module = self.needs.get(row)
        if module is not None and importlib.util.find_spec(module) is None:
            return module
        return PEERS[self.rows[row].peer].missing()

    def results(self, store: Store) -> TableResults:
        """Return what was measured, with what follows from it."""
        found = store.results(self.section, self.name)
        if self.derive is not None:
            self.derive(found)
        return found


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
