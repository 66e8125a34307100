"""The report: one HTML file that needs nothing beside it. ``python -m benchmarks report``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from benchmarks.arguments import RESULTS, Settings
from benchmarks.figures import PERCENTILES
from benchmarks.history import settings_of
from benchmarks.plan import Table
from benchmarks.report import cells, remarks, value_of
from benchmarks.sections import tables
from benchmarks.store import Store
from benchmarks.svg import Series, bars, lines
from benchmarks.targets import Verdict, verdicts

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #d8dde3;
  --own: #0a66c2; --other: #9aa7b4; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #14181c; --faint: #39424b;
  --own: #5aa9f5; --other: #6c7986; --good: #57c46f; --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: 13px; display: block;
  overflow-x: auto; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--faint); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif;
  fill: var(--ink); } svg .unit { font-weight: 600; }
.own { fill: var(--own); } .other { fill: var(--other); }
.grid { stroke: var(--faint); } .line { fill: none; stroke-width: 2; }
.s0 { stroke: var(--own); fill: var(--own); } .s1 { stroke: #d9822b; fill: #d9822b; }
.s2 { stroke: #2e9e6b; fill: #2e9e6b; } .s3 { stroke: #a855c7; fill: #a855c7; }
.s4 { stroke: #c2410c; fill: #c2410c; } .s5 { stroke: #0f9aa8; fill: #0f9aa8; }
.s6 { stroke: #8d6e63; fill: #8d6e63; } .s7 { stroke: #6b7280; fill: #6b7280; }
polyline.line { fill: none; } .reached { color: var(--good); } .missed { color: var(--bad); }
.note { font-size: 13px; opacity: .85; }
"""


def build_page(store: Store, settings: Settings) -> str:
    """Return the whole document."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Producer benchmark</title><style>{_STYLE}</style></head><body>",
        "<h1>Producer benchmark</h1>",
        _list(f"{name}: {text}" for name, text in store.environment.items()),
        "<h2>Targets</h2>",
        _targets(verdicts(store, settings)),
    ]
    section = ""
    found = tables(settings)
    for table in found:
        if not table.results(store):
            continue
        if table.section != section:
            section = table.section
            parts.append(f"<h2>{escape(section)}</h2>")
        parts.append(_part(table, found, store))
    return "\n".join([*parts, "</body></html>\n"])


def _part(table: Table, found: Sequence[Table], store: Store) -> str:
    results = table.results(store)
    header, rows = cells(table, results)
    notes = [*([table.note] if table.note else []), *remarks(results)]
    return "\n".join(
        [
            f"<h3>{escape(table.title)}</h3>",
            plot(table, found, store),
            html_table(header, rows),
            *(f'<p class="note">{escape(note)}</p>' for note in notes),
        ]
    )


def plot(table: Table, found: Sequence[Table], store: Store) -> str:
    """Return the plot that suits ``table``; empty when it goes with another one, or has nothing."""
    if table.plot == "lines":
        return "" if ", equal rate" in table.name else _growth(table, found, store)
    if table.section == "latency":
        return _percentiles(table, store)
    column = table.columns[0]
    rows = [
        (name, value)
        for name, result in table.results(store).items()
        if (value := value_of(column, result)) is not None
    ]
    first = bars(rows, column.name, column.form)
    if table.section != "throughput":
        return first
    cost = next(each for each in table.columns if each.name == "CPU s/M")
    costs = [
        (name, value)
        for name, result in table.results(store).items()
        if (value := value_of(cost, result)) is not None
    ]
    return first + bars(costs, "CPU seconds per million records", cost.form)


def _growth(table: Table, found: Sequence[Table], store: Store) -> str:
    """The cost over partitions, topics and so on, that at an equal rate beside it."""
    beside = [each for each in found if each.section == table.section]
    pair = [each for each in beside if each.name in (table.name, f"{table.name}, equal rate")]
    series = []
    for each in pair:
        results = each.results(store)
        column = each.columns[0]
        values = [value_of(column, results.get(row)) for row in table.rows]
        series.append(Series(each.title.partition(", ")[2], values))
    return lines(list(table.rows), series, "CPU seconds per million records")


def _percentiles(table: Table, store: Store) -> str:
    columns = [column for column in table.columns if column.name[:-3] in PERCENTILES]
    series = [
        Series(name, [value_of(column, result) for column in columns])
        for name, result in table.results(store).items()
        if result.runs
    ]
    return lines([column.name[:-3] for column in columns], series, "milliseconds", log=True)


def _targets(found: Sequence[Verdict]) -> str:
    rows = []
    for verdict in found:
        line = [escape(cell) for cell in verdict.cells()]
        if verdict.reached is not None:
            style = "reached" if verdict.reached else "missed"
            line[-1] = f'<span class="{style}">{line[-1]}</span>'
        rows.append(line)
    return _rows(["target", "bound", "measured", ""], rows)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return _rows(header, [[escape(cell) for cell in row] for row in rows])


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def main(arguments: Sequence[str] = ()) -> int:
    """Write the report of the runs that a results file has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--html", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    if not given.results.is_file():
        print(f"{given.results} is not there: run python -m benchmarks first")
        return 2
    print(write_page(Store(given.results), given.html or given.results.with_suffix(".html")))
    return 0


def write_page(store: Store, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(build_page(store, settings_of(store)))
    return path
