"""The receiving end of the metronome."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.pacing import TICK_NS, Schedule

_METRONOME = Path(__file__).with_name("metronome.py")
_MANY = 65536


class Ticks:
    """The ticks of a schedule; those that were missed come as one."""

    def __init__(self, schedule: Schedule) -> None:
        # Unbuffered and isolated: the interpreter starts in 10 ms and keeps nothing back.
        self._process = subprocess.Popen(
            [
                sys.executable,
                *("-I", "-S", str(_METRONOME)),
                *(str(n) for n in (schedule.start_ns, TICK_NS, schedule.ticks)),
            ],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._missed = False
        self._ended = False

    async def next(self) -> None:
        """Return at the next tick, at once if one was missed."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._fd, self._read)
        if self._missed:
            self._missed = False
            return
        if self._ended:
            raise EOFError("the metronome ended before the schedule did")
        self._waiter = self._loop.create_future()
        await self._waiter

    def wait(self) -> None:
        """As ``next()``, for a client without a loop."""
        if not os.read(self._fd, _MANY):
            raise EOFError("the metronome ended before the schedule did")

    def _read(self) -> None:
        assert self._loop is not None
        if not os.read(self._fd, _MANY):
            # The end of the pipe stays readable: it would keep the loop spinning.
            self._loop.remove_reader(self._fd)
            self._ended = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        else:
            self._missed = not self._ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None and not self._ended:
            self._loop.remove_reader(self._fd)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()
