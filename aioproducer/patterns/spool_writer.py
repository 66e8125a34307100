"""SpoolWriter: dead letters onto the disk, from a loop that must not wait for it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from aioproducer import BufferExhaustedError
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.spool_file import SpoolFile
from aioproducer.patterns.spool_format import LONGEST, SpoolFormatError, encode

MOST_WAITING_BYTES = 64 << 20
"""Bytes that may wait for the disk; what comes beyond is refused."""

_OVERHEAD = 500
_MOST_AT_ONCE = 1_000


class SpoolWriter:
    """Appends to a spool file on one thread of its own, as many letters at once as have gathered.

    Belongs to the loop that it is first used in. The thread is started by the first letter and
    ended by :meth:`close`.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, most_waiting_bytes: int = MOST_WAITING_BYTES
    ) -> None:
        self.path = os.fspath(path)
        self._file = SpoolFile(path)
        self._most = most_waiting_bytes
        self._held = 0
        self._waiting: deque[tuple[DeadLetter, int, asyncio.Future[None]]] = deque()
        self._executor: ThreadPoolExecutor | None = None
        self._writing: asyncio.Future[None] | None = None

    def write(self, letter: DeadLetter) -> asyncio.Future[None]:
        """Return a future that is done when ``letter`` is on the disk.

        It fails with the :exc:`OSError` of a disk that is full, and at once with
        :exc:`BufferExhaustedError` when too much waits for the disk already, or
        :exc:`SpoolFormatError` for what is too long for any file.
        """
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        size = size_of(letter)
        if size > LONGEST:
            kept.set_exception(SpoolFormatError(f"{size} bytes are too long for a spool file"))
            return kept
        if self._held and self._held + size > self._most:
            kept.set_exception(
                BufferExhaustedError(f"{self._held} bytes wait for {self.path} already")
            )
            return kept
        self._held += size
        self._waiting.append((letter, size, kept))
        if self._writing is None:
            self._write_next()
        return kept

    async def flush(self) -> None:
        """Wait until all that was given so far is written or has failed; cancelling abandons it."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
            await asyncio.sleep(0)

    def close(self) -> None:
        """End the thread; to be called when nothing is being written."""
        executor, self._executor = self._executor, None
        if executor is not None:
            # A thread that hangs in a write must not hold the loop; an idle one ends at once.
            executor.shutdown(wait=self._writing is None, cancel_futures=True)
        if self._writing is None:
            self._file.close()

    def _write_next(self) -> None:
        count = min(len(self._waiting), _MOST_AT_ONCE)
        group = [self._waiting.popleft() for _ in range(count)]
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="aioproducer-spool")
        letters = [letter for letter, *_ in group]
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._executor, self._append, letters)
        self._writing.add_done_callback(lambda done: self._written(group, done))

    def _append(self, letters: Sequence[DeadLetter]) -> None:
        self._file.append([encode(letter) for letter in letters])

    def _written(
        self,
        group: list[tuple[DeadLetter, int, asyncio.Future[None]]],
        done: asyncio.Future[None],
    ) -> None:
        self._writing = None
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        for _, size, kept in group:
            self._held -= size
            if kept.done():
                continue
            if error is None:
                kept.set_result(None)
            elif isinstance(error, asyncio.CancelledError):
                kept.cancel()
            else:
                kept.set_exception(error)
        if self._waiting:
            self._write_next()


def size_of(letter: DeadLetter) -> int:
    """Return about how many bytes of memory a letter takes."""
    record = letter.record
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + _OVERHEAD
