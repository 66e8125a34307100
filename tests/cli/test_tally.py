"""What is counted of records and their deliveries, and how it is told."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from aioproducer.cli.tally import Tally, as_dict, story_lines, summary_lines
from aioproducer.errors import DeliveryTimeoutError
from aioproducer.records import RecordMetadata
from aioproducer.story import Explanation, Step

NOW = 1_000.0


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: NOW)


class Done:
    """Stands for a Delivery that is done."""

    def __init__(
        self,
        name: str = "",
        error: Exception | None = None,
        partition: int = 0,
        offset: int = 0,
    ) -> None:
        self.name = name
        self.error = error
        self.partition = partition
        self.offset = offset

    def exception(self) -> Exception | None:
        return self.error

    def result(self) -> RecordMetadata:
        return RecordMetadata("orders", self.partition, self.offset, -1, -1, -1)

    def explain(self) -> Explanation:
        steps = (Step(0.0, "accepted", "accepted"), Step(9.0, "acknowledged", f"story {self.name}"))
        return Explanation("orders", 1, 0, 1, "acknowledged", steps)


def tally_of(*seconds: float, keep: int = 0) -> Tally:
    tally = Tally(keep)
    for number, each in enumerate(seconds):
        done: Any = Done(str(number))
        tally.settle(NOW - each, done)
    return tally


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
    assert lines[2] == "  orders-0: 2 acknowledged, offsets 0 to 0"
    assert lines[3].startswith("  3 x DeliveryTimeoutError: too late")
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


def test_each_partition_tells_how_many_it_took_and_where_they_lie() -> None:
    tally = Tally(0)
    for partition, offset in [(2, 8), (0, 5), (2, 7), (1, -1), (2, 9)]:
        done: Any = Done(partition=partition, offset=offset)
        tally.settle(0.0, done)
    assert list(summary_lines(tally, 1.0))[2:] == [
        "  orders-0: 1 acknowledged, offsets 5 to 5",
        "  orders-1: 1 acknowledged, offsets not told",
        "  orders-2: 3 acknowledged, offsets 7 to 9",
    ]
    told: Any = as_dict(tally, 1.0)["partitions"]
    assert told[1:] == [
        {"topic": "orders", "partition": 1, "records": 1, "first_offset": None,
         "last_offset": None},
        {"topic": "orders", "partition": 2, "records": 3, "first_offset": 7, "last_offset": 9},
    ]  # fmt: skip


def test_malformed_lines_are_counted_and_the_first_of_them_told() -> None:
    tally = Tally(0)
    told = [tally.refuse(f"line {number}") for number in range(30)]
    assert told == [True] * 20 + [False] * 10
    assert tally.malformed == 30
    assert tally.malformed_lines[-1] == "line 19"
    assert list(summary_lines(tally, 1.0))[1:] == ["left out, as they are no records: 30 lines"]


def test_what_was_read_of_an_unfinished_line_is_told() -> None:
    tally = Tally(0, unfinished=7)
    assert list(summary_lines(tally, 1.0))[1:] == [
        "left out: 7 bytes of a line whose end was not read"
    ]
