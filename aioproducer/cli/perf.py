"""`aioproducer perf`: Kafka's kafka-producer-perf-test, for this producer and beside others."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from aioproducer import AsyncProducer
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.interruption import Interruption
from aioproducer.cli.loops import run_on
from aioproducer.cli.perf_compare import compared_as_dict, comparison_lines, run_rounds
from aioproducer.cli.perf_figures import (
    Figures,
    Outcome,
    metric_lines,
    total_line,
    window_line,
)
from aioproducer.cli.perf_processes import Signals, WorkerError, run_in_processes
from aioproducer.cli.perf_run import OnWindow, PerfJob, run_job
from aioproducer.cli.settings import SettingsError

_KINDS_OF_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfOptions:
    """What the command line asks for beside the load itself."""

    processes: int = 1
    compare: tuple[str, ...] = ()
    rounds: int = 3
    as_json: bool = False


def run_perf(job: PerfJob, options: PerfOptions, out: TextIO | None = None) -> int:
    """Put the load on the cluster, print what was measured, and return the exit status.

    Raises:
        ConfigurationError: the settings make no sense.
        ProducerError: the cluster cannot be reached, or refuses a transaction.
        SettingsError: a client that is to be compared is not installed.
    """
    # What is wrong with the settings is to be known before anything is started.
    AsyncProducer(config=job.settings)
    screen = _Screen(out if out is not None else sys.stdout, options.as_json)
    try:
        if options.compare:
            return _compare(job, options, screen)
        if job.warm_up:
            screen.line(
                f"Warmup first {job.warm_up} records. Steady state results will print after the"
                " complete test summary."
            )
        if options.processes > 1:
            signals = Signals()
            with signals.listening():
                outcome = run_in_processes(split(job, options.processes), screen.window, signals)
            ended_by = signals.number
        else:
            outcome, ended_by = run_on(job.loop, _here(job, screen.window))
    except WorkerError as error:
        print(f"aioproducer: {error}", file=sys.stderr)
        return Exit.FAILED
    screen.outcome(outcome, options.processes)
    return _status(outcome, ended_by)


async def _here(job: PerfJob, on_window: OnWindow) -> tuple[Outcome, int]:
    interruption = Interruption()
    unread: list[OSError] = []

    def tell(figures: Figures, first_steady: bool) -> None:
        # It is called by the loop, to which an error would be somebody's mistake.
        if unread:
            return
        try:
            on_window(figures, first_steady)
        except OSError as error:
            unread.append(error)
            interruption.stop.set()
            interruption.leave.set()

    with interruption.listening():
        outcome = await run_job(job, tell, interruption)
    if unread:
        raise unread[0]
    return outcome, interruption.signal


def _compare(job: PerfJob, options: PerfOptions, screen: _Screen) -> int:
    signals = Signals()
    clients = ("aioproducer", *options.compare)
    whole = Outcome()

    def on_round(number: int, outcome: Outcome) -> None:
        whole.merge(outcome)
        screen.round(number, outcome)

    with signals.listening():
        found = run_rounds(job, clients, options.rounds, signals, on_round)
    if options.as_json:
        screen.document(compared_as_dict(found))
    else:
        for line in comparison_lines(found):
            screen.line(line)
    return _status(whole, signals.number)


def _status(outcome: Outcome, ended_by: int) -> int:
    if ended_by:
        return 128 + ended_by
    return Exit.FAILED if outcome.errors else Exit.OK


def split(job: PerfJob, processes: int) -> list[PerfJob]:
    """Return the jobs of several processes that together are this one."""
    if job.records < processes:
        raise SettingsError(f"{job.records} records are too few for {processes} processes")
    jobs = []
    for number in range(processes):
        settings: Mapping[str, object] = job.settings
        name = settings.get("transactional.id")
        if name is not None:
            # Each would fence the others.
            settings = {**settings, "transactional.id": f"{name}-{number}"}
        jobs.append(
            replace(
                job,
                settings=settings,
                records=_share(job.records, number, processes),
                warm_up=_share(job.warm_up, number, processes),
                throughput=None if job.throughput is None else job.throughput / processes,
                first=number,
                step=processes,
            )
        )
    return jobs


def _share(whole: int, number: int, parts: int) -> int:
    return whole // parts + (number < whole % parts)


def read_payloads(file: Path, delimiter: str) -> tuple[bytes, ...]:
    """Return the payloads of a file, as they stand between delimiters.

    Raises:
        SettingsError: the file cannot be read, is no UTF-8, or has nothing in it.
    """
    try:
        parts = file.read_text("utf-8").split(delimiter)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is no UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    while parts and not parts[-1]:
        del parts[-1]
    if not parts:
        raise SettingsError(f"{file} has no payload in it")
    return tuple(part.encode() for part in parts)


class _Screen:
    """Where the lines go: to standard output, or nowhere if one JSON document is wanted there."""

    def __init__(self, out: TextIO, as_json: bool) -> None:
        self._out = out
        self._as_json = as_json

    def line(self, text: str) -> None:
        """Print a line at once: whoever reads a pipe waits for it."""
        if not self._as_json:
            print(text, file=self._out, flush=True)

    def document(self, content: Mapping[str, object]) -> None:
        """Print one JSON document."""
        print(json.dumps(content, indent=2), file=self._out)

    def window(self, figures: Figures, first_steady: bool) -> None:
        """Print how the last seconds went."""
        if first_steady:
            self.line("In steady state.")
        self.line(window_line(figures))

    def round(self, number: int, outcome: Outcome) -> None:
        """Print how one client did in one round."""
        self.line(f"round {number}, {outcome.client}: {total_line(outcome.total)}")
        self.errors(outcome)

    def errors(self, outcome: Outcome) -> None:
        """Print why records failed."""
        for words, count in outcome.errors.most_common(_KINDS_OF_ERRORS):
            print(f"{count} records failed: {words}", file=sys.stderr)

    def outcome(self, outcome: Outcome, processes: int) -> None:
        """Print how all of it went."""
        if self._as_json:
            self.document({**outcome.as_dict(), "processes": processes})
            return
        lines: Sequence[str] = [total_line(outcome.total)]
        if outcome.steady is not None:
            lines = [*lines, total_line(outcome.steady, steady=True)]
        if outcome.metrics:
            lines = [*lines, *metric_lines(outcome.metrics)]
        for line in lines:
            self.line(line)
        self.errors(outcome)
