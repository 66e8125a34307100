"""The tables, as Markdown that reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import median, ratio, spread
from benchmarks.plan import Column, Table
from benchmarks.store import RowResults, TableResults

NOT_MEASURED = "not measured"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: first column to the left, the rest to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = [
        "-" * width if column == 0 else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def cells(table: Table, results: TableResults) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of ``table``, medians with their ratios."""
    spread_of = [f"spread {', '.join(table.noisy)}"] if table.noisy else []
    header = [table.label, *(column.name for column in table.columns), *spread_of, "other CPU"]
    reference = results.get(table.reference) if table.reference else None
    rows = []
    for name, result in results.items():
        if not result.runs:
            why = "failed" if result.problems else NOT_MEASURED
            rows.append([name, why, *[""] * (len(header) - 2)])
            continue
        line = [_cell(column, result, reference) for column in table.columns]
        rows.append([name, *line, *_noise(table, result)])
    return header, rows


def value_of(column: Column, result: RowResults | None) -> float | None:
    """Return the median of a column over the rounds; ``None`` where no run has it."""
    if result is None:
        return None
    values = [value for run in result.runs if (value := column.figure(run)) is not None]
    return median(values) if values else None


def _cell(column: Column, result: RowResults, reference: RowResults | None) -> str:
    value = value_of(column, result)
    if value is None:
        return ""
    times = ratio(value, value_of(column, reference)) if column.ratio else None
    return f"{value:{column.form}}" + ("" if times is None else f" ({times:.2f}x)")


def _noise(table: Table, result: RowResults) -> list[str]:
    others = f"{median(result.other_cores):.2f}" if result.other_cores else "?"
    if not table.noisy:
        return [others]
    parts = []
    for column in table.columns:
        if column.name in table.noisy:
            values = [value for run in result.runs if (value := column.figure(run)) is not None]
            parts.append(f"{spread(values):.0%}" if values else "?")
    return [", ".join(parts), others]


def remarks(results: TableResults) -> list[str]:
    """Return what the reader has to know beside the table."""
    lines = []
    for name, result in results.items():
        if result.missing is not None:
            some = "some rounds " if result.runs else ""
            lines.append(f"{name}: {some}{NOT_MEASURED}, {result.missing}.")
        lines += [f"{name}: a run failed and is left out: {each}" for each in result.problems]
        for run in result.runs[-1:]:
            lines += [f"{name}: {title}: {note}." for title, note in run.notes.items() if note]
        builds = {run.build for run in result.runs} - {""}
        if builds:
            lines.append(f"{name}: {', '.join(sorted(builds))}.")
    return lines
