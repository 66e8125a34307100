"""Lines from files and pipes, read beside the loop and no faster than they are taken."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from aioproducer.cli.interruption import done_or_set
from aioproducer.cli.settings import SettingsError

_CHUNK = 65_536


LONGEST_LINE = 1 << 28
"""How many bytes a line may have: what has no end must not fill the memory."""


class Source(NamedTuple):
    """Something to read, and what to call it; a path is opened when its turn comes."""

    name: str
    file: BinaryIO | Path

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Give the file, and close it if it was opened here."""
        if isinstance(self.file, Path):
            try:
                file = self.file.open("rb", buffering=0)
            except OSError as error:
                raise SettingsError(f"cannot read {self.name}: {error.strerror}") from error
            with file:
                yield cast(BinaryIO, file)
        else:
            yield self.file


class Lines(NamedTuple):
    """Lines that were read together, and where the first of them stands; each may be empty."""

    source: str
    first: int
    lines: Sequence[bytes]


class LineReader:
    """Reads sources one after the other; ``stop`` ends it before the next piece."""

    def __init__(self, sources: Sequence[Source], stop: asyncio.Event) -> None:
        self._sources = sources
        self._stop = stop
        self.unfinished = 0
        """How many bytes of a line were read whose end was not when it was stopped."""

    async def __aiter__(self) -> AsyncGenerator[Lines, None]:
        """Yield what was read; a piece that was is yielded whole, stopped or not."""
        with _alarm() as alarm:
            for source in self._sources:
                with source.opened() as file:
                    async for lines in self._lines(source.name, file, alarm):
                        yield lines
                if self._stop.is_set():
                    return

    async def _lines(self, name: str, file: BinaryIO, alarm: _Alarm) -> AsyncIterator[Lines]:
        begun: list[bytes] = []
        number, size = 1, 0
        while chunk := await self._piece(name, file, alarm):
            lines = completed(begun, chunk)
            size = len(begun[0]) if lines else size + len(chunk)
            if size > LONGEST_LINE:
                raise SettingsError(f"{name}:{number}: a line of more than {LONGEST_LINE} bytes")
            if lines:
                yield Lines(name, number, lines)
                number += len(lines)
            if self._stop.is_set():
                break
        rest = b"".join(begun)
        if self._stop.is_set():
            self.unfinished = len(rest)
        elif rest:
            yield Lines(name, number, [rest.rstrip(b"\r")])

    async def _piece(self, name: str, file: BinaryIO, alarm: _Alarm) -> bytes:
        try:
            return await _read(file, self._stop, alarm)
        except OSError as error:
            raise SettingsError(f"cannot read {name}: {error.strerror}") from error


def completed(begun: list[bytes], chunk: bytes) -> list[bytes]:
    """Return the lines that end in ``chunk``; ``begun`` has the pieces of the one that does not.

    Pieces are joined once, at the end of their line: a long one would be copied for each of them.
    """
    first, *others = chunk.split(b"\n")
    begun.append(first)
    if not others:
        return []
    line = b"".join(begun)
    begun[:] = others[-1:]
    return [each.rstrip(b"\r") for each in (line, *others[:-1])]


class _Alarm(NamedTuple):
    """A pipe whose end wakes the thread that waits for input."""

    waited_for: int
    rung: int


@contextmanager
def _alarm() -> Iterator[_Alarm]:
    alarm = _Alarm(*os.pipe())
    try:
        yield alarm
    finally:
        for descriptor in alarm:
            os.close(descriptor)


async def _read(source: BinaryIO, stop: asyncio.Event, alarm: _Alarm) -> bytes:
    """Read a piece on a thread; nothing once it is the end, or was ended.

    The thread waits for input before it reads: what it has read is never left behind in it when
    the user ends a reading for which nothing comes.
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
            data = _chunk(source, alarm)
        except OSError as error:
            failure = error
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, data, failure)

    reader = threading.Thread(target=read, name="aioproducer-reader", daemon=True)
    reader.start()
    try:
        await done_or_set(piece, stop)
    finally:
        if not piece.done():
            os.write(alarm.rung, b"!")
        # It has told its last, or been woken, and is about to end.
        reader.join()
    return await piece


def _chunk(source: BinaryIO, alarm: _Alarm) -> bytes:
    try:
        descriptor = source.fileno()
    except OSError:
        return source.read(_CHUNK)
    # Windows waits for sockets only; its loops take no signals that could end the reading.
    if sys.platform != "win32":
        readable, _, _ = select.select([descriptor, alarm.waited_for], [], [])
        if descriptor not in readable:
            return b""
    return os.read(descriptor, _CHUNK)
