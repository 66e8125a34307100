"""`aioproducer dlq replay`: dead letters back to the topics they were for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from aioproducer import AsyncProducer
from aioproducer.checks import check_topic
from aioproducer.cli.dlq_topic import TopicReplay
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.interruption import Interruption, close_hurried, finish_or_hurry
from aioproducer.cli.loops import run_on
from aioproducer.cli.settings import SettingsError
from aioproducer.errors import ProducerError
from aioproducer.patterns import DeadLetter, spool
from aioproducer.patterns.spool import ReplayReport

_PATIENCE = 10.0
_KINDS_OF_ERRORS = 5


class _EnoughError(Exception):
    """The user has asked for no more than what was under way, and that is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What the command line asks for."""

    source: str
    dry_run: bool = False
    include_maybe: bool = False
    to_topic: str | None = None
    skip_failed: bool = False
    group: str | None = None
    consumer: Mapping[str, object] = field(default_factory=dict)
    loop: str = "auto"
    as_json: bool = False


def run_replay(
    settings: Mapping[str, object], options: ReplayOptions, out: TextIO | None = None
) -> int:
    """Replay, report, and return the exit status.

    Raises:
        ConfigurationError: the settings make no sense.
        SettingsError: there is no such file or topic, or nothing to read the topic with.
    """
    path = _spool_path(options.source)
    _check_topics(options, path)
    stream = out if out is not None else sys.stdout
    interruption = Interruption()
    report = ReplayReport()
    try:
        if path is not None and options.dry_run:
            _look_at(path, options, report)
        else:
            report = run_on(options.loop, _replay(settings, options, path, report, interruption))
    except ProducerError:
        # A timeout of ours is an OSError too.
        raise
    except (FileNotFoundError, PermissionError, spool.SpoolFormatError) as error:
        raise SettingsError(f"cannot replay {options.source}: {error}") from error
    except (OSError, spool.SpoolBusyError) as error:
        print(f"aioproducer: {error}", file=sys.stderr)
        return Exit.FAILED
    if options.as_json:
        print(json.dumps(as_dict(report, options, path), indent=2), file=stream)
    else:
        print("\n".join(summary_lines(report, options)), file=stream)
    if interruption.signal:
        return Exit(128 + interruption.signal)
    is_well = report.is_whole and not report.failed and not report.damaged_bytes
    return Exit.OK if is_well else Exit.FAILED


async def _replay(
    settings: Mapping[str, object],
    options: ReplayOptions,
    path: Path | None,
    report: ReplayReport,
    interruption: Interruption,
) -> ReplayReport:
    producer: AsyncProducer[bytes, bytes] = AsyncProducer(config=settings)
    found = [report]
    patience = _PATIENCE

    def note(told: ReplayReport) -> None:
        found[0] = told
        if interruption.stop.is_set():
            raise _EnoughError

    with interruption.listening():
        await producer.start()
        try:
            work: Coroutine[Any, Any, ReplayReport]
            if path is not None:
                work = spool.replay(
                    producer, path, include_maybe=options.include_maybe,
                    to_topic=_to_topic(options), progress=note,
                )  # fmt: skip
            else:
                work = TopicReplay(
                    producer, options.source, settings, options.consumer, report,
                    group=options.group, include_maybe=options.include_maybe,
                    to_topic=_to_topic(options), skip_failed=options.skip_failed,
                    dry_run=options.dry_run, is_stopped=interruption.stop.is_set,
                ).run()  # fmt: skip

            async def keep() -> None:
                with suppress(_EnoughError):
                    found[0] = await work

            patience = await finish_or_hurry(keep(), interruption, _PATIENCE)
        finally:
            await close_hurried(producer, interruption, patience)
    return found[0]


def _to_topic(options: ReplayOptions) -> Callable[[DeadLetter], str] | None:
    name = options.to_topic
    return None if name is None else lambda letter: name


def _spool_path(source: str) -> Path | None:
    """Return the file that is meant, ``None`` for a topic."""
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir() or os.sep in source or path.suffix == ".spool":
        raise SettingsError(f"there is no spool file {source}")
    return None


def _check_topics(options: ReplayOptions, path: Path | None) -> None:
    try:
        for name in (options.source if path is None else None, options.to_topic):
            if name is not None:
                check_topic(name)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    if path is None and options.to_topic == options.source:
        raise SettingsError("--to is the dead-letter topic itself")


def _look_at(path: Path, options: ReplayOptions, report: ReplayReport) -> None:
    for entry in spool.read(path):
        if entry.is_done:
            continue
        if entry.letter is None:
            report.damaged_bytes += entry.size
            continue
        report.left += 1
        report.see(entry.letter, include_maybe=options.include_maybe)


def summary_lines(report: ReplayReport, options: ReplayOptions) -> Iterator[str]:
    """Yield what was done, and what was left."""
    sent = sum(report.topics.values())
    if options.dry_run:
        yield f"{sent:,} dead letters would be sent"
    else:
        yield f"{report.replayed:,} dead letters sent; {report.failed:,} failed"
    for topic, count in report.topics.most_common():
        yield f"  {count:,} to {options.to_topic or topic}"
    for count, words in (
        (report.in_doubt, "may be in their topics already: --include-maybe sends them"),
        (report.unsendable, "never had bytes, a serializer refused them"),
        (report.foreign, "are no dead letters"),
    ):
        if count:
            yield f"{count:,} {words}"
    if report.damaged_bytes:
        yield f"{report.damaged_bytes:,} bytes of the file are damaged"
    for words, count in report.errors.most_common(_KINDS_OF_ERRORS):
        yield f"  {count:,} x {words}"
    if not report.is_whole:
        yield "it stopped before the end; run it again when the cause is gone"
    if report.left and not options.dry_run:
        yield f"{report.left:,} are still there"


def as_dict(report: ReplayReport, options: ReplayOptions, path: Path | None) -> dict[str, object]:
    """Return the report as JSON can hold it."""
    return {
        "source": options.source,
        "kind": "topic" if path is None else "spool",
        "dry_run": options.dry_run,
        "replayed": report.replayed,
        "failed": report.failed,
        "in_doubt": report.in_doubt,
        "unsendable": report.unsendable,
        "foreign": report.foreign,
        "damaged_bytes": report.damaged_bytes,
        "left": report.left,
        "whole": report.is_whole,
        "topics": dict(report.topics),
        "errors": dict(report.errors),
    }
