"""Loads on several processes: spawned, told to begin together, their figures merged, none left."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from aioproducer.cli.exit_status import Exit
from aioproducer.cli.interruption import Interruption
from aioproducer.cli.loops import run_on
from aioproducer.cli.perf_figures import Figures, Outcome
from aioproducer.cli.perf_run import OnWindow, PerfJob, run_job

_LOOK_SECONDS = 0.2
_END_SECONDS = 5.0


class WorkerError(RuntimeError):
    """A process of the load failed; the message is what it said."""


class Signals:
    """What the user has asked for, noted by plain signal handlers."""

    def __init__(self) -> None:
        self.count = 0
        self.number = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM until the block is left."""

        def note(number: int, frame: FrameType | None) -> None:
            self.count += 1
            self.number = self.number or number

        before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def run_in_processes(
    jobs: Sequence[PerfJob], on_window: Callable[[Figures, bool], None], signals: Signals
) -> Outcome:
    """Run each job in a process of its own, all at once; return what they did together.

    The first signal has them stop and deliver what they sent, the second ends them. Whatever
    happens, none is left when this returns or raises.

    Raises:
        WorkerError: one of them failed.
    """
    context = multiprocessing.get_context("spawn")
    team = _Team(max(job.interval for job in jobs), on_window)
    try:
        for job in jobs:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(job, theirs), daemon=True)
            with _ignored(signal.SIGINT):
                process.start()
            theirs.close()
            team.join(ours, process)
        while team.is_busy and signals.count < 2:
            team.listen(_LOOK_SECONDS)
            if signals.count:
                team.stop()
    finally:
        team.end()
    team.outcome.interrupted = team.outcome.interrupted or bool(signals.count)
    return team.outcome


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Ignore a signal; so does, from its first moment, what is started meanwhile."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


class _Team:
    """The processes of a load, as their parent sees them."""

    def __init__(self, interval: float, on_window: OnWindow) -> None:
        self.outcome = Outcome()
        self._interval = interval
        self._on_window = on_window
        self._processes: dict[Connection, BaseProcess] = {}
        self._at_work: set[Connection] = set()
        self._ready = 0
        self._is_stopped = False
        self._window = Figures()
        self._first_steady = False
        self._shown = time.monotonic()

    @property
    def is_busy(self) -> bool:
        """Whether somebody is still at work."""
        return bool(self._at_work)

    def join(self, connection: Connection, process: BaseProcess) -> None:
        """Take a process in."""
        self._processes[connection] = process
        self._at_work.add(connection)

    def listen(self, timeout: float) -> None:
        """Take what they say within so many seconds, and pass their figures on."""
        for connection in wait(list(self._at_work), timeout):
            assert isinstance(connection, Connection)
            try:
                kind, content = connection.recv()
            except (EOFError, OSError) as error:
                process = self._processes[connection]
                # Its pipe is closed a moment before it has a status.
                process.join(_END_SECONDS)
                words = f"a process of the load ended, with status {process.exitcode}"
                raise WorkerError(words) from error
            self._take(connection, kind, content)
        if self._window.records and time.monotonic() - self._shown >= self._interval:
            self._show()

    def _take(self, connection: Connection, kind: str, content: Any) -> None:
        if kind == "ready":
            self._ready += 1
            if self._ready == len(self._processes):
                self._tell("go")
                self._shown = time.monotonic()
        elif kind == "window":
            figures, first_steady = content
            self._window.merge(figures)
            self._first_steady = self._first_steady or first_steady
        elif kind == "done":
            self.outcome.merge(content)
            self._at_work.discard(connection)
        else:
            raise WorkerError(content)

    def _show(self) -> None:
        now = time.monotonic()
        # They end their intervals each at its own time: what counts is what came in since the last.
        self._window.seconds = now - self._shown
        self._on_window(self._window, self._first_steady)
        self._window, self._first_steady, self._shown = Figures(), False, now

    def stop(self) -> None:
        """Have them stop and deliver what they sent."""
        if not self._is_stopped:
            self._is_stopped = True
            self._tell("stop")

    def _tell(self, word: str) -> None:
        for connection in self._at_work:
            with suppress(OSError):
                connection.send(word)

    def end(self) -> None:
        """End all of them; those that are done end by themselves."""
        for connection, process in self._processes.items():
            if connection in self._at_work:
                process.terminate()
            connection.close()
        for process in self._processes.values():
            process.join(_END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def _work(job: PerfJob, connection: Connection) -> None:
    """Be one of the processes."""
    # SIGINT is ignored: it reaches every process of a terminal; what to do is the parent's word.
    try:
        outcome = run_on(job.loop, _obey(job, connection))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent reports it
        _say(connection, "failed", f"{type(error).__name__}: {error}")
        return
    _say(connection, "done", outcome)


async def _obey(job: PerfJob, connection: Connection) -> Outcome:
    loop = asyncio.get_running_loop()
    go, interruption = asyncio.Event(), Interruption()

    def listen() -> None:
        while True:
            try:
                word = connection.recv()
            except (EOFError, OSError):
                # The parent is gone, or has had enough: nobody is there for whom to go on.
                os._exit(Exit.INTERRUPTED)
            with suppress(RuntimeError):
                if word == "go":
                    loop.call_soon_threadsafe(go.set)
                else:
                    loop.call_soon_threadsafe(interruption.note, signal.SIGINT)

    threading.Thread(target=listen, name="perf:parent", daemon=True).start()

    async def ready() -> None:
        _say(connection, "ready", None)
        await go.wait()

    def tell(figures: Figures, first_steady: bool) -> None:
        _say(connection, "window", (figures, first_steady))

    return await run_job(job, tell, interruption, ready)


def _say(connection: Connection, kind: str, content: object) -> None:
    with suppress(OSError):
        connection.send((kind, content))
