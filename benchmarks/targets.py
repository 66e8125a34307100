"""What is to be reached, held to what was measured: ``python -m benchmarks targets``."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.arguments import RESULTS, Settings
from benchmarks.history import settings_of
from benchmarks.plan import Column, Table
from benchmarks.report import NOT_MEASURED, markdown, value_of
from benchmarks.sections import tables
from benchmarks.store import RowResults, Store, TableResults

TARGETS = Path(__file__).with_name("targets.toml")

Relation = Literal["at_least", "at_most", "below"]
_SIGNS: dict[Relation, str] = {"at_least": "≥", "at_most": "≤", "below": "<"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One figure and its bound."""

    what: str
    section: str
    table: str
    column: str
    row: str | None
    against: str | None
    fold: str | None
    between: tuple[str, ...]
    """Rows that have to be among those that are folded; of the least, they are all of them."""
    build: str | None
    relation: Relation
    bound: float
    aim: float | None

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Target:
        (relation,) = [name for name in _SIGNS if name in entry]
        return cls(
            what=entry["what"],
            section=entry["section"],
            table=entry["table"],
            column=entry["column"],
            row=entry.get("row"),
            against=entry.get("against"),
            fold=entry.get("fold"),
            between=tuple(entry.get("between", ())),
            build=entry.get("build"),
            relation=relation,
            bound=float(entry[relation]),
            aim=entry.get("aim"),
        )

    def bound_in_words(self) -> str:
        words = f"{_SIGNS[self.relation]} {self.bound:,g}"
        return words if self.aim is None else f"{words} (aim: {self.aim:g})"

    def is_reached(self, value: float) -> bool:
        if self.relation == "at_least":
            return value >= self.bound
        return value < self.bound if self.relation == "below" else value <= self.bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what came of it; a value of ``None`` was not measured, and ``why``."""

    target: Target
    value: float | None
    why: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.value is None else self.target.is_reached(self.value)

    def cells(self) -> list[str]:
        if self.value is None:
            return [self.target.what, self.target.bound_in_words(), NOT_MEASURED, self.why]
        verdict = "reached" if self.reached else "not reached"
        return [self.target.what, self.target.bound_in_words(), number(self.value), verdict]


def number(value: float) -> str:
    """Return ``value`` with as many digits as say something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def load_targets(path: Path = TARGETS) -> list[Target]:
    document = tomllib.loads(path.read_text())
    return [Target.from_entry(entry) for entry in document["target"]]


def judge(target: Target, found: Mapping[tuple[str, str], Table], store: Store) -> Verdict:
    """Hold ``target`` to what ``store`` has."""
    table = found.get((target.section, target.table))
    if table is None:
        return Verdict(target, None, "not in this run")
    results = table.results(store)
    column = next(each for each in table.columns if each.name == target.column)
    if target.fold is not None:
        return _folded(target, table, column, results)
    assert target.row is not None
    result = results.get(target.row)
    value = value_of(column, result)
    if value is None or result is None:
        return Verdict(target, None, _why(result))
    if target.build is not None and {run.build for run in result.runs} != {target.build}:
        return Verdict(target, None, f"only {result.runs[0].build or 'another build'} ran")
    if target.against is None:
        return Verdict(target, value)
    reference = value_of(column, results.get(target.against))
    if not reference:
        return Verdict(target, None, f"{target.against}: {_why(results.get(target.against))}")
    return Verdict(target, value / reference)


def _folded(target: Target, table: Table, column: Column, results: TableResults) -> Verdict:
    """Of all rows; a row without a figure leaves the whole open, or it would look better."""
    rows = target.between if target.fold == "min" else list(table.rows)
    values = [value_of(column, results.get(row)) for row in rows]
    known = [value for value in values if value is not None]
    whole = len(known) == len(values) and set(target.between) <= set(table.rows)
    if not whole or not known or not min(known) > 0:
        return Verdict(target, None, "not all rows were measured")
    folds = {"max/min": max(known) / min(known), "max": max(known), "min": min(known)}
    return Verdict(target, folds[target.fold or ""])


def _why(result: RowResults | None) -> str:
    if result is None:
        return "not in this run"
    return "failed" if result.problems else result.missing or "no figure"


def verdicts(store: Store, settings: Settings) -> list[Verdict]:
    found = {(table.section, table.name): table for table in tables(settings)}
    return [judge(target, found, store) for target in load_targets()]


def targets_table(found: Sequence[Verdict]) -> str:
    return markdown(["target", "bound", "measured", ""], [verdict.cells() for verdict in found])


def main(arguments: Sequence[str] = ()) -> int:
    """Print each target with what was reached; status 1 if any that was measured is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks targets", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    given = parser.parse_args(arguments)
    if not given.results.is_file():
        print(f"{given.results} is not there: run python -m benchmarks first")
        return 2
    store = Store(given.results)
    found = verdicts(store, settings_of(store))
    for name in (
        "clients",
        "commit",
        "cluster",
        "Python",
        "machine",
        "load average before",
        "rounds",
    ):
        if name in store.environment:
            print(f"- {name}: {store.environment[name]}")
    print(f"\n{targets_table(found)}")
    return 1 if any(verdict.reached is False for verdict in found) else 0
