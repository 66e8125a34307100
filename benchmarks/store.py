"""Every run as one line of a file, written when it ends: a crash loses nothing but itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.job import Job, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: its place in the plan, and its figures or why there are none."""

    section: str
    table: str
    row: str
    round: int
    digest: str
    """Of the job; a run of another job in the same place is not taken for it."""
    measurement: Measurement | None = None
    problem: str | None = None
    missing: str | None = None
    other_cores: float | None = None

    def to_json(self) -> str:
        return json.dumps({"run": asdict(self)})

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        if fields["measurement"] is not None:
            fields = {**fields, "measurement": Measurement(**fields["measurement"])}
        return cls(**fields)


@dataclass(slots=True)
class RowResults:
    """One row's rounds."""

    runs: list[Measurement] = field(default_factory=list)
    other_cores: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: str | None = None
    """What is not installed; then nothing was measured."""


TableResults = dict[str, RowResults]


def digest(job: Job) -> str:
    return hashlib.sha256(job.to_json().encode()).hexdigest()[:12]


class Store:
    """The runs of one benchmark, and the machine they ran on.

    Args:
        path: the file; ``None`` keeps them in memory alone.
        forget: the sections that are measured anew; what the file has of others is kept.
    """

    def __init__(self, path: Path | None, *, forget: Collection[str] = ()) -> None:
        self._path = path
        self.runs: list[Run] = []
        self.environment: dict[str, str] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            self._load(path.read_text().splitlines())
        self.runs = [run for run in self.runs if run.section not in forget]
        lines = [json.dumps({"environment": self.environment}), *(r.to_json() for r in self.runs)]
        path.write_text("".join(f"{line}\n" for line in lines))

    def _load(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                fields = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed
            if "environment" in fields:
                self.environment.update(fields["environment"])
            elif "run" in fields:
                self.runs.append(Run.from_fields(fields["run"]))

    def describe(self, environment: dict[str, str]) -> None:
        self.environment.update(environment)
        self._write(json.dumps({"environment": environment}))

    def add(self, run: Run) -> None:
        self.runs.append(run)
        self._write(run.to_json())

    def _write(self, line: str) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(line + "\n")

    def has(self, section: str, table: str, row: str, number: int, job_digest: str) -> bool:
        """Whether that run is there already, with figures."""
        place = (section, table, row, number, job_digest)
        return any(
            (run.section, run.table, run.row, run.round, run.digest) == place
            and run.measurement is not None
            for run in self.runs
        )

    def results(self, section: str, table: str) -> TableResults:
        """Return what was measured for one table, by row, in the order of measuring.

        A round that was repeated counts once, as it went last.
        """
        latest: dict[tuple[str, int], Run] = {}
        for run in self.runs:
            if (run.section, run.table) == (section, table):
                latest[run.row, run.round] = run
        rows: TableResults = {}
        for run in latest.values():
            row = rows.setdefault(run.row, RowResults())
            if run.measurement is not None:
                row.runs.append(run.measurement)
            if run.other_cores is not None:
                row.other_cores.append(run.other_cores)
            if run.problem is not None:
                row.problems.append(run.problem)
            row.missing = run.missing or row.missing
        return rows
