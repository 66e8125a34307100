"""What became of dead letters shows in the figures, and in the log now and then."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from aioproducer.observe.exporters.prometheus import ProducerCollector
from tests.patterns.dead_letter_world import World


async def test_counts_show_in_the_snapshot_and_the_exporters(path: Path) -> None:
    world = World()
    async with world.letters(spool=path) as letters:
        letters.send("bad", b"1")
        await letters.flush()
        world.refused.add("bad.dead-letters")
        letters.send("bad", b"2")
        await letters.flush()
        own = {each.name: value for each, value in letters.metrics().registered.items()}
        assert own == {
            "dead-letter-total": 1,
            "dead-letter-spooled-total": 1,
            "dead-letter-lost-total": 0,
            "dead-letter-pending": 0,
        }
        collector = ProducerCollector()
        collector.add(letters.innermost)
        found = {
            sample.name: sample.value for family in collector.collect() for sample in family.samples
        }
        assert found["aioproducer_app_dead_letter_spooled_total"] == 1
        assert "1 sent, 1 spooled, 0 lost" in repr(letters)


async def test_log_lines_are_not_said_too_often(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aioproducer")
    world = World()
    async with world.letters() as letters:
        for n in range(50):
            letters.send("bad", b"%d" % n)
    lines = [each for each in caplog.records if getattr(each, "event", "") == "dead_letters.sent"]
    assert len(lines) == 1
    assert lines[0].fields["topic"] == "bad"  # type: ignore[attr-defined]
