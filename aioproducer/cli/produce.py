"""`aioproducer produce`: lines in, records out, and the story of the slowest ones."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from aioproducer import AsyncProducer
from aioproducer.checks import check_partition, check_topic
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.interruption import Interruption, close_hurried, pause
from aioproducer.cli.line_reader import LineReader, Lines, Source
from aioproducer.cli.live import live_line
from aioproducer.cli.loops import run_on
from aioproducer.cli.pace import Pace
from aioproducer.cli.record_format import (
    Fixed,
    MalformedLineError,
    Plain,
    json_format,
    text_format,
)
from aioproducer.cli.settings import SettingsError
from aioproducer.cli.tally import Tally, as_dict, story_lines, summary_lines
from aioproducer.errors import ProducerStateError, ProducerTimeoutError
from aioproducer.records import Header

STANDARD_INPUT = Path("-")

# How long to wait for room before looking whether the user has had enough.
_LOOK_SECONDS = 0.25
# What is waited for less is not worth a timer.
_SHORTEST_PAUSE = 0.001

MakeProducer = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceOptions:
    """What the command line asks for."""

    topic: str
    files: tuple[Path, ...] = ()
    key_separator: bytes | None = None
    null_value: bytes | None = None
    headers: tuple[Header, ...] = ()
    partition: int | None = None
    json_lines: bool = False
    skip_malformed: bool = False
    rate: float | None = None
    byte_rate: float | None = None
    profile: str | None = None
    patience: float = 10.0
    loop: str = "auto"
    slowest: int = 0
    as_json: bool = False

    def fixed(self) -> Fixed:
        """Return what all records have, checked.

        Raises:
            SettingsError: the topic is no name of one, or the partition no index.
        """
        try:
            check_topic(self.topic)
            check_partition(self.partition)
        except (TypeError, ValueError) as error:
            raise SettingsError(str(error)) from error
        return Fixed(topic=self.topic, partition=self.partition, headers=self.headers)


def run_produce(
    settings: Mapping[str, object],
    options: ProduceOptions,
    out: TextIO | None = None,
    source: BinaryIO | None = None,
    make_producer: MakeProducer = AsyncProducer,
) -> int:
    """Send each line as a record, report, and return the exit status.

    Ctrl-C ends the reading; what was read is delivered, within ``patience`` seconds. A second one
    leaves at once.

    Raises:
        ConfigurationError: the settings make no sense.
        SettingsError: a file cannot be read, or an option makes no sense.
    """
    fixed = options.fixed()
    if options.json_lines:
        parse = json_format(fixed)
    else:
        parse = text_format(fixed, options.key_separator, options.null_value)
    stream = out if out is not None else sys.stdout
    tally = Tally(options.slowest)
    started = time.perf_counter()
    run = _Run(settings, options, tally, parse, make_producer)
    try:
        ended_by = run_on(options.loop, run.produce(source))
    except ProducerStateError:
        # It died; what it had delivered until then is told all the same.
        _report(tally, options, time.perf_counter() - started, stream)
        raise
    _report(tally, options, time.perf_counter() - started, stream)
    if ended_by:
        return 128 + ended_by
    if tally.failed:
        return Exit.FAILED
    return Exit.MALFORMED if tally.malformed and not options.skip_malformed else Exit.OK


def _report(tally: Tally, options: ProduceOptions, seconds: float, stream: TextIO) -> None:
    if options.as_json:
        print(json.dumps(as_dict(tally, seconds), indent=2), file=stream)
        return
    # The summary is for people; a pipe gets what was asked for.
    if sys.stderr.isatty() or tally.failed or tally.malformed or tally.interrupted:
        print("\n".join(summary_lines(tally, seconds)), file=sys.stderr)
    print("\n".join(story_lines(tally)), file=stream, end="\n" if options.slowest else "")


class _Run:
    """One run of the command: a producer, what it is given, and what came of it."""

    def __init__(
        self,
        settings: Mapping[str, object],
        options: ProduceOptions,
        tally: Tally,
        parse: Callable[[bytes], Plain],
        make_producer: MakeProducer,
    ) -> None:
        self._options = options
        self._tally = tally
        self._parse = parse
        more = {} if options.profile is None else {"profile": options.profile}
        self._make = partial(make_producer, config=settings, **more)

    async def produce(self, standard_input: BinaryIO | None) -> int:
        """Send everything; return the number of the signal that ended it, or 0."""
        self._interruption = interruption = Interruption()
        producer = self._make()
        if producer.config.transactional_id is not None:
            raise SettingsError("produce begins no transaction: leave transactional.id out")
        sources = _sources(self._options.files, standard_input)
        reader = LineReader(sources, interruption.stop)
        with interruption.listening():
            await producer.start()
            try:
                async with live_line(self._words):
                    await self._send_all(reader, producer)
            finally:
                await close_hurried(producer, interruption, self._options.patience)
                # The callbacks of the last deliveries run in the next turn.
                await asyncio.sleep(0)
        self._tally.unfinished = reader.unfinished
        self._tally.interrupted = interruption.stop.is_set()
        return interruption.signal

    def _words(self) -> str:
        tally = self._tally
        seconds = time.perf_counter() - self._started
        return (
            f"{tally.sent:,} sent, {tally.delivered:,} acknowledged,"
            f" {tally.sent - tally.delivered - tally.failed:,} open, {tally.failed:,} failed,"
            f" {tally.delivered / seconds if seconds else 0:,.0f}/s"
        )

    async def _send_all(self, reader: LineReader, producer: Any) -> None:
        self._started = time.perf_counter()
        self._pace = Pace(self._options.rate, self._options.byte_rate, self._started)
        async with aclosing(aiter(reader)) as pieces:
            async for lines in pieces:
                if not await self._send_lines(lines, producer):
                    return

    async def _send_lines(self, lines: Lines, producer: Any) -> bool:
        """Send what was read together; return whether to read on."""
        stop, leave = self._interruption.stop, self._interruption.leave
        parse, settle, clock = self._parse, self._tally.settle, time.perf_counter
        for number, line in enumerate(lines.lines, lines.first):
            if not line:
                continue
            try:
                record = parse(line)
            except MalformedLineError as error:
                if self._refuse(f"{lines.source}:{number}: {error}"):
                    continue
                return False
            if not (self._pace.is_free or stop.is_set()):
                await self._wait_for_turn(record)
            delivery = producer.send(
                record.topic,
                record.value,
                key=record.key,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
                headers=record.headers,
            )
            self._tally.sent += 1
            delivery.add_done_callback(partial(settle, clock()))
            await _room(producer, stop)
            if leave.is_set():
                return False
        return True

    def _refuse(self, words: str) -> bool:
        """Tell of a line that is no record; return whether to go on."""
        if self._tally.refuse(words):
            print(f"aioproducer: {words}", file=sys.stderr)
        return self._options.skip_malformed

    async def _wait_for_turn(self, record: Plain) -> None:
        size = len(record.key or b"") + len(record.value or b"")
        seconds = self._pace.take(size, time.perf_counter())
        if seconds >= _SHORTEST_PAUSE:
            await pause(seconds, self._interruption.stop)


async def _room(producer: Any, stop: asyncio.Event) -> None:
    """Wait until the producer has room, however long; once the user stops, for a turn only."""
    while True:
        is_over = stop.is_set()
        try:
            await producer.drain(0 if is_over else _LOOK_SECONDS)
        except ProducerTimeoutError:
            if not is_over:
                continue
        return


def _sources(files: Sequence[Path], standard_input: BinaryIO | None) -> list[Source]:
    found: list[Source] = []
    for file in files or (STANDARD_INPUT,):
        if file != STANDARD_INPUT:
            found.append(Source(str(file), file))
        elif standard_input is not None:
            found.append(Source("standard input", standard_input))
        elif sys.stdin is not None:
            found.append(Source("standard input", sys.stdin.buffer))
        else:
            raise SettingsError("there is no standard input to read")
    return found
