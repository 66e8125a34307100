"""Log lines that programs can read, and that nobody has to read a thousand times."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from aioproducer.runtime.events import REPEAT_AFTER_S, EventLog


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fields(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = record.__dict__["fields"]
    return found


def test_a_line_has_its_event_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(logging.getLogger("aioproducer"), "me", Clock())
    with caplog.at_level(logging.INFO):
        log.say(logging.INFO, "broker.connected", "broker 1 is there", broker=1)
    (record,) = caplog.records
    assert record.getMessage() == "[me] broker 1 is there"
    assert record.__dict__["event"] == "broker.connected"
    assert record.__dict__["client_id"] == "me"
    assert fields(record) == {"broker": 1}


def test_what_repeats_is_said_now_and_then_with_how_often(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = EventLog(logging.getLogger("aioproducer"), "me", clock)
    for _ in range(10):
        log.repeat(logging.WARNING, "broker.lost", "gone", key="1")
    log.repeat(logging.WARNING, "broker.lost", "gone", key="2")
    clock.now = REPEAT_AFTER_S
    log.repeat(logging.WARNING, "broker.lost", "gone", key="1")
    assert [record.getMessage() for record in caplog.records] == [
        "[me] gone",
        "[me] gone",
        "[me] gone (9 more times since this was last said)",
    ]
    assert [fields(record)["unsaid"] for record in caplog.records] == [0, 0, 9]


def test_very_many_keys_are_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(logging.getLogger("aioproducer"), "me", Clock())
    with caplog.at_level(logging.ERROR):
        for number in range(5000):
            log.repeat(logging.DEBUG, "x", "y", key=str(number))
    assert len(log._said) <= 1000
