"""The tables, as Markdown that reads well in a terminal too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.figures import PERCENTILES, median, ratio, spread
from benchmarks.job import KEY_SIZE, Measurement
from benchmarks.peers import REFERENCE
from benchmarks.plan import Scenario
from benchmarks.runner import PeerResults

NOT_MEASURED = "not measured"

Figure = Callable[[Measurement], float]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
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


def scenario_table(scenario: Scenario, results: Mapping[str, PeerResults]) -> str:
    """Return the table of one scenario."""
    if scenario.kind == "throughput":
        columns = _throughput_columns(scenario.value_size + KEY_SIZE)
    else:
        columns = _latency_columns()
    reference = results.get(REFERENCE)
    rows = []
    for peer, result in results.items():
        if not result.runs:
            why = "failed" if result.problems else NOT_MEASURED
            rows.append([peer, why, *[""] * (len(columns) + 1)])
            continue
        cells = [_cell(figure, form, result, reference) for figure, form in columns.values()]
        rows.append([peer, *cells, *_noise(scenario, result)])
    last = "spread msg/s, CPU" if scenario.kind == "throughput" else "spread p50, p99"
    return table(["client", *columns, last, "other CPU"], rows)


def _throughput_columns(record_size: int) -> dict[str, tuple[Figure, str]]:
    return {
        "messages/s": (lambda run: run.records_per_second, ",.0f"),
        "MB/s": (lambda run: run.records_per_second * record_size / 1e6, ".1f"),
        "CPU s/M": (lambda run: run.cpu_per_million, ".2f"),
    }


def _latency_columns() -> dict[str, tuple[Figure, str]]:
    columns: dict[str, tuple[Figure, str]] = {
        f"{name} ms": (_percentile(name), ".2f") for name in PERCENTILES
    }
    columns["call ms"] = (lambda run: run.call_delay_ms, ".2f")
    columns["CPU s/M"] = (lambda run: run.cpu_per_million, ".1f")
    return columns


def _percentile(name: str) -> Figure:
    return lambda run: run.latency_ms[name]


def _cell(figure: Figure, form: str, result: PeerResults, reference: PeerResults | None) -> str:
    value = median([figure(run) for run in result.runs])
    unit = median([figure(run) for run in reference.runs]) if reference and reference.runs else None
    times = ratio(value, unit)
    return f"{value:{form}}" + ("" if times is None else f" ({times:.2f}x)")


def _noise(scenario: Scenario, result: PeerResults) -> list[str]:
    runs = result.runs
    if scenario.kind == "throughput":
        pair = [spread([r.records_per_second for r in runs]), spread([_cpu(r) for r in runs])]
    else:
        pair = [spread([r.latency_ms[name] for r in runs]) for name in ("p50", "p99")]
    others = f"{median(result.other_cores):.2f}" if result.other_cores else "?"
    return [", ".join(f"{part:.0%}" for part in pair), others]


def _cpu(run: Measurement) -> float:
    return run.cpu_per_million


def remarks(results: Mapping[str, PeerResults]) -> list[str]:
    """Return what the reader has to know beside the table."""
    lines = []
    for peer, result in results.items():
        if result.missing is not None:
            lines.append(f"{peer}: {NOT_MEASURED}, {result.missing} is not installed.")
        lines += [f"{peer}: a run failed and is left out: {each}" for each in result.problems]
    return lines
