"""The doctor on the command line: asks, prints, and says by its exit status how it went."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aioproducer.doctor import Finding, SetupReport, Severity, check_setup

ALL_WELL = 0
FINDINGS = 1
INCOMPLETE = 3

FAIL_ON: Mapping[str, Severity | None] = {
    "error": Severity.ERROR,
    "warning": Severity.WARNING,
    "info": Severity.INFO,
    "never": None,
}
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_WIDTH = 96
_INDENT = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """What the command line asks for."""

    topics: tuple[str, ...] = ()
    bytes_per_second: float | None = None
    fail_on: str = "warning"
    timeout: float = 30.0
    as_json: bool = False


def run_doctor(
    settings: Mapping[str, object], options: DoctorOptions, out: TextIO | None = None
) -> int:
    """Check the settings, print the report and return the exit status.

    Raises:
        ConfigurationError: the producer would refuse the settings.
    """
    stream = out if out is not None else sys.stdout
    report = asyncio.run(
        check_setup(
            settings,
            options.topics,
            bytes_per_second=options.bytes_per_second,
            timeout=options.timeout,
        )
    )
    if options.as_json:
        print(json.dumps(report.as_dict(), indent=2), file=stream)
    elif stream.isatty():
        _show_table(report, Console(file=stream))
    else:
        print("\n".join(text_lines(report)), file=stream)
    return exit_status(report, options.fail_on)


def exit_status(report: SetupReport, fail_on: str) -> int:
    """Return the exit status for a report."""
    limit = FAIL_ON[fail_on]
    if limit is not None and report.worst is not None and report.worst >= limit:
        return FINDINGS
    return ALL_WELL if report.is_complete else INCOMPLETE


def text_lines(report: SetupReport) -> Iterator[str]:
    """Yield the report as lines for a log or a pipe."""
    yield f"cluster: {report.cluster or 'could not be asked'}"
    for finding in report.findings:
        yield ""
        yield from finding_lines(finding)
    for missing in report.unchecked:
        yield ""
        yield f"UNCHECKED  {missing.what}"
        yield from _wrapped("why", missing.why)
        yield from _wrapped("so not", ", ".join(missing.findings))
    yield ""
    for note in report.notes:
        yield from textwrap.wrap(f"note: {note}", _WIDTH, subsequent_indent="      ")
    yield _summary(report)


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield one finding as lines."""
    where = "" if finding.topic is None else f"  topic {finding.topic}"
    yield f"{finding.severity.word.upper():<9}  {finding.name}{where}"
    yield from _wrapped("symptom", finding.symptom)
    yield from _wrapped("cause", finding.cause)
    yield from _wrapped("remedy", finding.remedy)


def _wrapped(label: str, text: str) -> list[str]:
    begin = f"  {label:<{_INDENT - 2}}"
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(report: SetupReport) -> str:
    counts = [
        f"{number} {severity.word}{'s' if number > 1 and severity is not Severity.INFO else ''}"
        for severity in reversed(Severity)
        if (number := sum(1 for each in report.findings if each.severity is severity))
    ]
    found = ", ".join(counts) or "nothing found"
    missing = len({name for each in report.unchecked for name in each.findings})
    gaps = f"; {missing} could not be looked for" if missing else ""
    return f"{found}; {len(report.checked)} things looked for{gaps}"


def _show_table(report: SetupReport, console: Console) -> None:
    table = Table(title=f"cluster: {report.cluster or 'could not be asked'}", show_lines=True)
    table.add_column("finding")
    table.add_column("symptom, cause, remedy", ratio=1)
    for finding in report.findings:
        where = "" if finding.topic is None else f"\ntopic {finding.topic}"
        style = _STYLES[finding.severity]
        table.add_row(
            f"[{style}]{finding.severity.word}[/]\n{finding.name}{escape(where)}",
            f"{finding.symptom}\n[dim]cause[/]  {escape(finding.cause)}\n"
            f"[green]remedy[/] {escape(finding.remedy)}",
        )
    for missing in report.unchecked:
        table.add_row("unchecked", escape(f"{missing.what}: {missing.why}"))
    if table.row_count:
        console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(_summary(report), markup=False, highlight=False)
