"""What is to be reached is named by figures that the benchmark has."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.arguments import parse
from benchmarks.history import settings_of
from benchmarks.job import Measurement
from benchmarks.plan import Column, Table, rate
from benchmarks.sections import tables
from benchmarks.store import Run, Store
from benchmarks.targets import Target, judge, load_targets, main, number, targets_table, verdicts

SETTINGS = parse(["--soak"])
TABLES = {(table.section, table.name): table for table in tables(SETTINGS)}


@pytest.mark.parametrize("target", load_targets(), ids=lambda target: target.what)
def test_each_target_names_a_figure(target: Target) -> None:
    table = TABLES[target.section, target.table]
    assert target.column in {column.name for column in table.columns}
    assert target.row is None or target.row in table.rows
    assert target.against is None or target.against in table.rows
    assert set(target.between) <= set(table.rows)
    assert (target.row is None) == (target.fold is not None)


def test_targets_can_be_told_apart() -> None:
    targets = load_targets()
    assert len({target.what for target in targets}) == len(targets)


def target(**fields: object) -> Target:
    entry = {"what": "w", "section": "s", "table": "t", "column": "rate", "row": "ours"}
    return Target.from_entry({**entry, "at_least": 2, **fields})


def store(**rates: int) -> Store:
    made = Store(None)
    for row, records in rates.items():
        run = Measurement(
            records=records, seconds=1.0, cpu_seconds=1.0, sent=records, build="compiled"
        )
        made.add(Run(section="s", table="t", row=row, round=1, digest="", measurement=run))
    return made


def table(*rows: str) -> dict[tuple[str, str], Table]:
    job = next(iter(TABLES["import", "import"].rows.values()))
    made = Table(
        section="s",
        name="t",
        title="T",
        rows=dict.fromkeys(rows, job),
        columns=[Column("rate", rate)],
    )
    return {("s", "t"): made}


def test_a_figure_is_held_to_its_bound() -> None:
    found = table("ours", "theirs")
    assert judge(target(), found, store(ours=2)).reached
    assert not judge(target(), found, store(ours=1)).reached
    assert judge(target(against="theirs"), found, store(ours=6, theirs=3)).value == 2
    entry = {"what": "w", "section": "s", "table": "t", "column": "rate", "row": "ours", "below": 2}
    assert not judge(Target.from_entry(entry), found, store(ours=2)).reached


def test_another_build_does_not_count() -> None:
    verdict = judge(target(build="pure"), table("ours"), store(ours=5))
    assert (verdict.reached, verdict.why) == (None, "only compiled ran")


def test_what_was_not_measured_is_not_judged() -> None:
    found = table("ours", "theirs")
    assert judge(target(), {}, store(ours=2)).why == "not in this run"
    assert judge(target(), found, store()).why == "not in this run"
    assert judge(target(against="theirs"), found, store(ours=2)).reached is None


def test_a_fold_needs_every_row_and_both_ends() -> None:
    flat = {"row": None, "fold": "max/min", "between": ["a", "b"]}
    assert judge(target(**flat), table("a", "b"), store(a=2, b=5)).value == 2.5
    assert judge(target(**flat), table("a", "b"), store(a=2)).reached is None
    assert judge(target(**flat), table("a"), store(a=2)).reached is None
    assert judge(target(row=None, fold="max"), table("a", "b"), store(a=2, b=5)).value == 5
    least = {"row": None, "fold": "min", "between": ["b", "c"]}
    assert judge(target(**least), table("a", "b", "c"), store(b=5, c=4)).value == 4
    assert judge(target(**least), table("a", "b", "c"), store(a=1, b=5)).reached is None


def test_the_table_shows_every_target(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = targets_table(verdicts(Store(None), SETTINGS))
    assert shown.count("not measured") == len(load_targets())
    assert main(["--results", str(tmp_path / "none")]) == 2
    Store(tmp_path / "results.jsonl")
    assert main(["--results", str(tmp_path / "results.jsonl")]) == 0
    assert "not measured" in capsys.readouterr().out


def test_numbers_have_as_many_digits_as_say_something() -> None:
    assert [number(value) for value in (0.333333, 12.34, 1234.5)] == ["0.333", "12.3", "1,234"]


def test_a_soak_outlives_later_runs(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    (soak,) = [each for each in tables(SETTINGS) if each.section == "soak"]
    run = Measurement(
        records=1, seconds=1.0, cpu_seconds=1.0, sent=1, extra={"growth KB per million": 3.0}
    )
    Store(path).add(
        Run(
            section="soak",
            table=soak.name,
            row=next(iter(soak.rows)),
            round=1,
            digest="",
            measurement=run,
        )
    )
    later = Store(path, forget=parse([]).sections)
    (verdict,) = [v for v in verdicts(later, settings_of(later)) if v.target.section == "soak"]
    assert (verdict.value, verdict.reached) == (3.0, True)
