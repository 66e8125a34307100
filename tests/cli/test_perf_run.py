"""One load on a client that answers at once: what is sent, counted, timed and told."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from itertools import islice

import pytest

from aioproducer.cli import perf_run
from aioproducer.cli.interruption import Interruption
from aioproducer.cli.perf_clients import Settled
from aioproducer.cli.perf_figures import Figures
from aioproducer.cli.perf_run import PerfJob, Stopwatch, run_job

JOB = PerfJob(topic="orders", settings={}, records=10, record_size=8, loop="asyncio")


class FakeClient:
    """Answers as soon as it is asked, or when it is closed."""

    name = "fake"

    def __init__(self, *, holds: bool = False, error: Exception | None = None) -> None:
        self.sent: list[bytes] = []
        self.closes: list[float | None] = []
        self.holds = holds
        self.error = error
        self.interruption: Interruption | None = None
        self._open: list[Settled] = []

    async def open(self, topic: str) -> None:
        assert topic == "orders"

    async def send(self, topic: str, value: bytes, settled: Settled) -> None:
        self.sent.append(value)
        if self.holds:
            self._open.append(settled)
        else:
            settled(self.error)
        if self.interruption is not None and len(self.sent) == 3:
            self.interruption.note(signal.SIGINT)
        await asyncio.sleep(0)

    async def close(self, timeout: float | None = None) -> object:
        self.closes.append(timeout)
        for settled in self._open:
            settled(None)
        self._open.clear()
        return None

    def metrics(self) -> list[tuple[str, float]]:
        return [("a:b:{}", 1.0)]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(perf_run, "make_client", lambda *_: fake)
    return fake


def nothing(figures: Figures, first_steady: bool) -> None:
    pass


async def test_all_records_are_sent_and_counted(client: FakeClient) -> None:
    outcome = await run_job(JOB, nothing, Interruption())
    assert len(client.sent) == 10
    assert (outcome.total.records, outcome.total.bytes) == (10, 80)
    assert outcome.steady is None
    assert (outcome.client, outcome.interrupted, outcome.metrics) == ("fake", False, [])
    assert client.closes == [None]


async def test_answers_that_come_while_it_closes_count(client: FakeClient) -> None:
    client.holds = True
    outcome = await run_job(JOB, nothing, Interruption())
    assert outcome.total.records == 10


async def test_records_that_fail_are_counted_by_their_error(client: FakeClient) -> None:
    client.error = ValueError("no")
    outcome = await run_job(JOB, nothing, Interruption())
    assert (outcome.total.records, outcome.errors) == (0, {"ValueError: no": 10})


async def test_steady_state_is_what_follows_the_warm_up(client: FakeClient) -> None:
    outcome = await run_job(replace(JOB, warm_up=4, with_metrics=True), nothing, Interruption())
    assert outcome.total.records == 10
    assert outcome.steady is not None
    assert outcome.steady.records == 6
    assert outcome.metrics == [("a:b:{}", 1.0)]


async def test_an_interruption_ends_the_sending_and_what_was_sent_counts(
    client: FakeClient,
) -> None:
    client.interruption = interruption = Interruption()
    client.holds = True
    outcome = await run_job(JOB, nothing, interruption)
    assert outcome.total.records == len(client.sent) == 3
    assert outcome.interrupted


async def test_an_interruption_does_not_wait_for_a_cluster_that_is_away(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(topic: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(client, "open", never)
    interruption = Interruption()
    asyncio.get_running_loop().call_soon(interruption.note, signal.SIGINT)
    outcome = await run_job(JOB, nothing, interruption)
    assert (outcome.total.records, outcome.interrupted) == (0, True)


def test_values_are_letters_lines_or_numbers() -> None:
    letters = list(islice(JOB.values(), 20))
    assert all(len(each) == 8 and each.isalpha() and each.isupper() for each in letters)
    assert len(set(letters)) > 1
    lines = replace(JOB, record_size=None, payloads=(b"a", b"b"))
    assert set(islice(lines.values(), 100)) == {b"a", b"b"}
    numbers = replace(JOB, record_size=None, first=1, step=3)
    assert list(islice(numbers.values(), 3)) == [b"1", b"4", b"7"]


def test_intervals_are_told_one_by_one_and_make_up_the_total() -> None:
    told: list[tuple[int, float, bool]] = []
    now = [100.0]
    watch = Stopwatch(
        1.0,
        lambda figures, first: told.append((figures.records, figures.seconds, first)),
        clock=lambda: now[0],
    )
    watch.begin()
    for number in range(25):
        if number == 12:
            watch.begin_steady()
        now[0] += 0.1
        watch.settle(10, now[0] - 0.05, number >= 12, None)
    watch.end()
    assert [records for records, _, _ in told] in ([10, 10], [11, 11], [10, 11], [11, 10])
    assert [first for *_, first in told] == [False, True]
    assert all(seconds == pytest.approx(1.0, abs=0.11) for _, seconds, _ in told)
    assert (watch.total.records, watch.total.bytes) == (25, 250)
    assert watch.total.seconds == pytest.approx(2.5)
    assert watch.steady is not None
    assert watch.steady.records == 13
    assert watch.steady.seconds == pytest.approx(1.3)


def test_different_errors_are_kept_within_bounds() -> None:
    watch = Stopwatch(1.0, nothing, clock=lambda: 0.0)
    for number in range(500):
        watch.settle(1, 0.0, False, ValueError(number))
    assert len(watch.errors) == 101
    assert sum(watch.errors.values()) == 500
