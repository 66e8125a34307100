"""The parent of a load's processes; the processes themselves run in tests/integration/cli."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest

from aioproducer.cli import perf_processes
from aioproducer.cli.perf_figures import Figures, Outcome
from aioproducer.cli.perf_processes import Signals, WorkerError, run_in_processes
from aioproducer.cli.perf_run import PerfJob

JOB = PerfJob(topic="orders", settings={}, records=1, record_size=1)

Says = Callable[[Connection], None]


class FakeProcess:
    """Says all it has to say when it is started, into a pipe that keeps it."""

    def __init__(self, says: Says, connection: Connection, began: list[FakeProcess]) -> None:
        self._says = says
        self._connection = connection
        self._began = began
        self.exitcode: int | None = None
        self.handler: Any = None
        self.ends: list[str] = []

    def start(self) -> None:
        self.handler = signal.getsignal(signal.SIGINT)
        self._began.append(self)
        self._says(self._connection)

    def is_alive(self) -> bool:
        return "terminate" in self.ends and "kill" not in self.ends

    def join(self, timeout: float | None = None) -> None:
        self.ends.append("join")
        self.exitcode = 1

    def terminate(self) -> None:
        self.ends.append("terminate")

    def kill(self) -> None:
        self.ends.append("kill")

    def close(self) -> None:
        self.ends.append("close")


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> list[FakeProcess]:
    return []


def run(
    monkeypatch: pytest.MonkeyPatch,
    began: list[FakeProcess],
    says: list[Says],
    signals: Signals | None = None,
) -> Outcome:
    waiting = iter(says)

    class Context:
        Pipe = staticmethod(multiprocessing.Pipe)

        @staticmethod
        def Process(target: object, args: tuple[PerfJob, Connection], daemon: bool) -> FakeProcess:
            return FakeProcess(next(waiting), args[1], began)

    monkeypatch.setattr(perf_processes.multiprocessing, "get_context", lambda name: Context)
    return run_in_processes([JOB] * len(says), lambda *_: None, signals or Signals())


def works(connection: Connection) -> None:
    outcome = Outcome(total=Figures(bytes=1, seconds=1.0), client="x")
    outcome.total.latencies.add(0.001)
    connection.send(("ready", None))
    connection.send(("done", outcome))


def fails(connection: Connection) -> None:
    connection.send(("failed", "MetadataTimeoutError: nobody"))


def silent(connection: Connection) -> None:
    pass


def test_what_they_did_is_added_up(
    monkeypatch: pytest.MonkeyPatch, began: list[FakeProcess]
) -> None:
    outcome = run(monkeypatch, began, [works, works])
    assert (outcome.total.records, outcome.interrupted) == (2, False)
    assert [process.ends for process in began] == [["join", "close"]] * 2


def test_a_ctrl_c_of_the_terminal_never_reaches_them(
    monkeypatch: pytest.MonkeyPatch, began: list[FakeProcess]
) -> None:
    """Not even while they are starting: a traceback of each would be printed."""
    before = signal.getsignal(signal.SIGINT)
    run(monkeypatch, began, [works])
    assert began[0].handler == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) == before


def test_one_that_fails_ends_the_others(
    monkeypatch: pytest.MonkeyPatch, began: list[FakeProcess]
) -> None:
    with pytest.raises(WorkerError, match="MetadataTimeoutError: nobody"):
        run(monkeypatch, began, [fails, works])
    assert all("terminate" in process.ends for process in began[:1])
    assert [process.ends[-1] for process in began] == ["close", "close"]


def test_one_that_is_gone_without_a_word_is_told(
    monkeypatch: pytest.MonkeyPatch, began: list[FakeProcess]
) -> None:
    with pytest.raises(WorkerError, match="ended, with status 1"):
        run(monkeypatch, began, [silent])
    # It did not end when it was asked to.
    assert began[0].ends == ["join", "terminate", "join", "kill", "join", "close"]


def test_a_second_signal_ends_all_of_them(
    monkeypatch: pytest.MonkeyPatch, began: list[FakeProcess]
) -> None:
    signals = Signals()
    signals.count = 2
    outcome = run(monkeypatch, began, [silent, silent], signals)
    assert outcome.interrupted
    assert all("kill" in process.ends for process in began)


def test_signals_are_counted_and_given_back() -> None:
    signals, before = Signals(), signal.getsignal(signal.SIGTERM)
    with signals.listening():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert (signals.count, signals.number) == (2, signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
