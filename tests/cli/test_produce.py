"""What `aioproducer produce` reads and what it says of it; what it sends is tested with Kafka."""

from __future__ import annotations

import asyncio
import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aioproducer.cli import WRONG_USE, main
from aioproducer.cli import app as app_module
from aioproducer.cli.produce import (
    ProduceOptions,
    Tally,
    _lines,
    as_dict,
    story_lines,
    summary_lines,
)
from aioproducer.errors import DeliveryTimeoutError
from aioproducer.story import Explanation, Step


class Done:
    """Stands for a Delivery that is done."""

    def __init__(self, name: str = "", error: Exception | None = None) -> None:
        self.name = name
        self.error = error

    def exception(self) -> Exception | None:
        return self.error

    def explain(self) -> Explanation:
        steps = (Step(0.0, "accepted", "accepted"), Step(9.0, "acknowledged", f"story {self.name}"))
        return Explanation("orders", 1, 0, 1, "acknowledged", steps)


def tally_of(*seconds: float, keep: int = 0) -> Tally:
    import time

    tally = Tally(keep)
    for number, each in enumerate(seconds):
        done: Any = Done(str(number))
        tally.settle(time.perf_counter() - each, done)
    return tally


async def read(*sources: bytes) -> list[bytes]:
    files = [io.BytesIO(source) for source in sources]
    return [line async for line in _lines(files, asyncio.Event())]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"one\ntwo\r\n\nthree", [b"one", b"two", b"three"]),
        (b"one\r", [b"one"]),
        (b"\xff\x00\n caf\xc3\xa9 \n", [b"\xff\x00", b" caf\xc3\xa9 "]),
    ],
)
async def test_each_line_that_is_not_empty_is_a_record(text: bytes, lines: list[bytes]) -> None:
    assert await read(text) == lines


async def test_lines_longer_than_a_piece_stay_whole() -> None:
    long = b"x" * 200_000
    assert await read(long + b"\n" + long) == [long, long]


class Counted(bytes):
    """A piece that notes how many bytes are copied to put something in front of it."""

    copied = 0

    def __radd__(self, other: bytes) -> bytes:
        Counted.copied += len(other) + len(self)
        return bytes(other).__add__(self)


async def test_a_long_line_is_not_copied_for_each_of_its_pieces() -> None:
    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return Counted(super().read(size))

    long = b"x" * 4_000_000
    assert [line async for line in _lines([Source(long + b"\n")], asyncio.Event())] == [long]
    assert Counted.copied <= 2 * len(long)


async def test_files_are_read_one_after_the_other() -> None:
    """The last line of one and the first of the next are two records."""
    assert await read(b"a\nb", b"c\n") == [b"a", b"b", b"c"]


async def test_a_stop_ends_the_reading() -> None:
    stop = asyncio.Event()
    found = []
    async for line in _lines([io.BytesIO(b"a\nb\nc\n"), io.BytesIO(b"d\n")], stop):
        found.append(line)
        if line == b"b":
            stop.set()
    assert found == [b"a", b"b"]


async def test_a_stop_does_not_wait_for_somebody_who_types_nothing() -> None:
    reading, writing = os.pipe()
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    with os.fdopen(reading, "rb") as silent:
        assert [line async for line in _lines([silent], stop)] == []
        os.close(writing)
        # The thread ends with the pipe.
        import threading

        for thread in threading.enumerate():
            if thread.name == "aioproducer-reader":
                thread.join(10)


def test_the_slowest_are_kept_in_order() -> None:
    tally = tally_of(0.5, 3.0, 1.0, 2.0, 3.5, keep=3)
    names = [delivery.name for _, delivery in tally.slowest()]  # type: ignore[attr-defined]
    assert names == ["4", "1", "3"]
    assert tally.delivered == 5


def test_stories_are_told_slowest_first() -> None:
    lines = "\n".join(story_lines(tally_of(1.0, 2.0, keep=2)))
    assert lines.index("#1: 2,000") < lines.index("story 1") < lines.index("#2: 1,000")
    assert list(story_lines(tally_of(1.0))) == []


def test_the_summary_has_counts_times_and_errors() -> None:
    tally = tally_of(0.010, 0.020)
    failed: Any = Done(error=DeliveryTimeoutError("too late"))
    for _ in range(3):
        tally.settle(0.0, failed)
    lines = list(summary_lines(tally, 2.0))
    assert lines[0] == "2 records in 2.0 s, 1/s; 3 failed"
    assert "p50 10." in lines[1]
    assert lines[2].startswith("  3 x DeliveryTimeoutError: too late")
    assert list(summary_lines(Tally(0), 0.0)) == ["0 records in 0.0 s, 0/s; 0 failed"]


def test_percentiles_are_of_the_nearest_rank() -> None:
    tally = Tally(0, delivered=100, times=Counter({4.0: 1, 1.0: 50, 2.0: 45, 3.0: 4}))
    assert [tally.percentile(percent) for percent in (0, 50, 51, 95, 96, 99, 100)] == [
        1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0,
    ]  # fmt: skip


def test_the_tally_of_many_records_is_no_larger() -> None:
    tally = tally_of(*[0.001 + number / 1e7 for number in range(5000)])
    for number in range(5000):
        failed: Any = Done(error=DeliveryTimeoutError(f"after {number} ms"))
        tally.settle(0.0, failed)
    assert (tally.delivered, tally.failed) == (5000, 5000)
    assert len(tally.times) < 2000
    assert len(tally.errors) <= 101
    assert tally.errors["DeliveryTimeoutError, in other words"] == 4900


def test_json_has_the_same() -> None:
    told = as_dict(tally_of(0.5, keep=1), 1.0)
    assert (told["delivered"], told["failed"]) == (1, 0)
    [slowest] = told["slowest"]  # type: ignore[misc]
    assert slowest["steps"][-1] == {"at_ms": 9.0, "what": "acknowledged"}  # type: ignore[index]
    assert as_dict(Tally(0), 1.0)["ack_ms"] == {"p50": None, "p95": None, "p99": None}


def test_the_command_takes_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def take(*arguments: object) -> int:
        given.extend(arguments)
        return 0

    monkeypatch.setattr(app_module, "run_produce", take)
    file = tmp_path / "lines"
    file.touch()
    command = ["produce", "orders", str(file), "-b", "a:1", "--slowest", "5", "--json"]
    assert main(command) == 0
    options = ProduceOptions(topic="orders", files=(file,), slowest=5, as_json=True)
    assert given == [{"bootstrap.servers": "a:1"}, options]


@pytest.mark.parametrize("options", [["--slowest", "-1"], ["/nowhere"]])
def test_options_that_make_no_sense_are_refused(options: list[str]) -> None:
    assert main(["produce", "orders", "-b", "a:1", *options]) == WRONG_USE
