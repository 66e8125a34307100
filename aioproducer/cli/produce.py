"""`aioproducer produce`: lines in, records out, and the story of the slowest ones."""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from aioproducer.checks import check_topic
from aioproducer.cli.settings import SettingsError
from aioproducer.delivery import Delivery
from aioproducer.producer import AsyncProducer

ALL_DELIVERED = 0
SOME_FAILED = 1
INTERRUPTED = 130

_KINDS_OF_ERRORS = 5
_DIFFERENT_ERRORS = 100
_INTERRUPTED_SECONDS = 10.0
_CHUNK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceOptions:
    """What the command line asks for."""

    topic: str
    files: tuple[Path, ...] = ()
    slowest: int = 0
    as_json: bool = False


@dataclass(slots=True)
class Tally:
    """What became of the records, and which took longest; no larger for more records."""

    keep: int
    delivered: int = 0
    # How many took how many seconds, rounded to three digits.
    times: Counter[float] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    _slowest: list[tuple[float, int, Delivery]] = field(default_factory=list)
    _seen: int = 0

    def settle(self, sent_at: float, delivery: Delivery) -> None:
        """Count a delivery that is done."""
        seconds = time.perf_counter() - sent_at
        error = delivery.exception()
        if error is None:
            self.delivered += 1
            self.times[float(f"{seconds:.2e}")] += 1
        else:
            kind = type(error).__name__
            words = f"{kind}: {error}"
            if words not in self.errors and len(self.errors) >= _DIFFERENT_ERRORS:
                words = f"{kind}, in other words"
            self.errors[words] += 1
        if self.keep:
            self._seen += 1
            # The number decides between equals: deliveries cannot be compared.
            entry = (seconds, self._seen, delivery)
            if len(self._slowest) < self.keep:
                heapq.heappush(self._slowest, entry)
            else:
                heapq.heappushpop(self._slowest, entry)

    @property
    def failed(self) -> int:
        """How many records were not delivered."""
        return sum(self.errors.values())

    def percentile(self, percent: float) -> float:
        """Return the seconds that so many percent of the delivered took at most; NaN of none."""
        rank = math.ceil(self.delivered * percent / 100)
        seen = 0
        for seconds, count in sorted(self.times.items()):
            seen += count
            if seen >= rank:
                return seconds
        return math.nan

    def slowest(self) -> list[tuple[float, Delivery]]:
        """Return the slowest records, the slowest first."""
        return [(seconds, delivery) for seconds, _, delivery in sorted(self._slowest)[::-1]]


def run_produce(
    settings: Mapping[str, object],
    options: ProduceOptions,
    out: TextIO | None = None,
    source: BinaryIO | None = None,
) -> int:
    """Send each line as a record, report, and return the exit status.

    Ctrl-C ends the reading; what was read is delivered, for ten seconds at most.

    Raises:
        ConfigurationError: the settings make no sense.
        SettingsError: a file cannot be read, or the topic is no name of one.
    """
    try:
        check_topic(options.topic)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    stream = out if out is not None else sys.stdout
    tally = Tally(options.slowest)
    started = time.perf_counter()
    was_interrupted = asyncio.run(_produce(settings, options, tally, source))
    seconds = time.perf_counter() - started
    if options.as_json:
        print(json.dumps(as_dict(tally, seconds), indent=2), file=stream)
    else:
        # The summary is for people; a pipe gets what was asked for.
        if stream.isatty() or tally.failed:
            print("\n".join(summary_lines(tally, seconds)), file=sys.stderr)
        print("\n".join(story_lines(tally)), file=stream, end="\n" if options.slowest else "")
    if was_interrupted:
        return INTERRUPTED
    return SOME_FAILED if tally.failed else ALL_DELIVERED


async def _produce(
    settings: Mapping[str, object],
    options: ProduceOptions,
    tally: Tally,
    source: BinaryIO | None,
) -> bool:
    """Send everything; return whether the user ended it."""
    stop = asyncio.Event()
    producer: AsyncProducer[bytes, bytes] = AsyncProducer(config=settings)
    if producer.config.transactional_id is not None:
        raise SettingsError("produce begins no transaction: leave transactional.id out")
    with ExitStack() as opened, _interruptible(stop):
        sources = _opened(options.files, source, opened)
        await producer.start()
        try:
            async for line in _lines(sources, stop):
                sent_at = time.perf_counter()
                delivery = producer.send(options.topic, line)
                delivery.add_done_callback(partial(tally.settle, sent_at))
                await producer.drain()
        finally:
            await producer.close(_INTERRUPTED_SECONDS if stop.is_set() else None)
            # The callbacks of the last deliveries run in the next turn.
            await asyncio.sleep(0)
    return stop.is_set()


@contextmanager
def _interruptible(stop: asyncio.Event) -> Iterator[None]:
    """Have Ctrl-C set the event, where the loop can handle signals."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, stop.set)
    except (NotImplementedError, ValueError, RuntimeError):
        # It cannot, as on Windows: Ctrl-C ends the program the usual way.
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _opened(files: Sequence[Path], source: BinaryIO | None, opened: ExitStack) -> list[BinaryIO]:
    if not files:
        return [source if source is not None else sys.stdin.buffer]
    found: list[BinaryIO] = []
    for file in files:
        try:
            found.append(opened.enter_context(file.open("rb")))
        except OSError as error:
            raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    return found


async def _lines(sources: Sequence[BinaryIO], stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the lines that are not empty, until ``stop`` is set."""
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    try:
        for source in sources:
            begun: list[bytes] = []
            while chunk := await _read(source, stopped):
                for line in _completed(begun, chunk):
                    record = line.rstrip(b"\r")
                    if record:
                        yield record
                    if stop.is_set():
                        return
            rest = b"".join(begun).rstrip(b"\r")
            if rest and not stop.is_set():
                yield rest
    finally:
        stopped.cancel()


def _completed(begun: list[bytes], chunk: bytes) -> list[bytes]:
    """Return the lines that end in ``chunk``; ``begun`` has the pieces of the one that does not.

    Pieces are joined once, at the end of their line: a long one would be copied for each of them.
    """
    first, *others = chunk.split(b"\n")
    begun.append(first)
    if not others:
        return []
    line = b"".join(begun)
    begun[:] = others[-1:]
    return [line, *others[:-1]]


async def _read(source: BinaryIO, stopped: asyncio.Future[Any]) -> bytes:
    """Read a piece on a thread of its own; nothing once it is the end, or was ended.

    A daemon, and below Python's buffers: whoever types nothing must not hold up the end.
    """
    loop = asyncio.get_running_loop()
    piece: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes, error: OSError | None) -> None:
        if piece.done():
            return
        if error is not None:
            piece.set_exception(error)
        else:
            piece.set_result(data)

    def read() -> None:
        data, failure = b"", None
        try:
            data = _chunk(source)
        except OSError as error:
            failure = error
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, data, failure)

    reader = threading.Thread(target=read, name="aioproducer-reader", daemon=True)
    reader.start()
    both: set[asyncio.Future[Any]] = {piece, stopped}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not piece.done():
        return b""
    # It has told its last and is about to end.
    reader.join()
    return piece.result()


def _chunk(source: BinaryIO) -> bytes:
    try:
        descriptor = source.fileno()
    except OSError:
        return source.read(_CHUNK)
    return os.read(descriptor, _CHUNK)


def summary_lines(tally: Tally, seconds: float) -> Iterator[str]:
    """Yield what was done, and what went wrong."""
    rate = tally.delivered / seconds if seconds > 0 else 0.0
    yield f"{tally.delivered:,} records in {seconds:.1f} s, {rate:,.0f}/s; {tally.failed:,} failed"
    if tally.times:
        parts = (f"p{percent:g} {tally.percentile(percent) * 1000:,.1f} ms"
                 for percent in (50.0, 95.0, 99.0))  # fmt: skip
        yield f"from send() to acknowledgement: {'   '.join(parts)}"
    for words, count in tally.errors.most_common(_KINDS_OF_ERRORS):
        yield f"  {count:,} x {words}"


def story_lines(tally: Tally) -> Iterator[str]:
    """Yield the stories of the slowest records."""
    for rank, (seconds, delivery) in enumerate(tally.slowest(), 1):
        if rank > 1:
            yield ""
        yield f"#{rank}: {seconds * 1000:,.1f} ms"
        yield str(delivery.explain())


def as_dict(tally: Tally, seconds: float) -> dict[str, object]:
    """Return the report as JSON can hold it."""
    return {
        "delivered": tally.delivered,
        "failed": tally.failed,
        "seconds": seconds,
        "ack_ms": {
            f"p{percent:g}": tally.percentile(percent) * 1000 if tally.times else None
            for percent in (50.0, 95.0, 99.0)
        },
        "errors": dict(tally.errors),
        "slowest": [_told(seconds, delivery) for seconds, delivery in tally.slowest()],
    }


def _told(seconds: float, delivery: Delivery) -> dict[str, object]:
    story = delivery.explain()
    return {
        "ms": seconds * 1000,
        "topic": story.topic,
        "partition": story.partition,
        "outcome": story.outcome,
        "steps": [{"at_ms": step.at_ms, "what": step.what} for step in story.steps],
    }
