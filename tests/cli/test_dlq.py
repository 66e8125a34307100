"""`aioproducer dlq replay`: what it makes of a spool file, and what it says."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aioproducer import ProducerTimeoutError, Record
from aioproducer.cli import dlq
from aioproducer.cli.dlq import ReplayOptions, run_replay, summary_lines
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.settings import SettingsError
from aioproducer.patterns import DeadLetter, spool
from aioproducer.patterns.spool import ReplayReport
from aioproducer.patterns.spool_file import Replaying, SpoolFile
from aioproducer.patterns.spool_format import encode

SETTINGS = {"bootstrap.servers": "localhost:1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "letters.spool"
    letters = [
        DeadLetter(Record("orders", b"1"), None, 1, "r", "X"),
        DeadLetter(Record("orders", b"2"), None, 1, "r", "X", "maybe"),
        DeadLetter(Record("invoices", b"3"), None, 1, "r", "X"),
        DeadLetter(Record("invoices", b"{}"), None, 1, "r", "X", value_form="json"),
    ]
    file = SpoolFile(found)
    file.append([encode(letter) for letter in letters])
    file.close()
    return found


def told(status: Exit, settings: Any = SETTINGS, **options: Any) -> str:
    out = io.StringIO()
    assert run_replay(settings, ReplayOptions(**options), out) == status
    return out.getvalue()


def test_a_dry_run_says_what_would_be_sent_and_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    words = told(Exit.OK, {}, source=str(path), dry_run=True)
    assert words.splitlines() == [
        "2 dead letters would be sent",
        "  1 to orders",
        "  1 to invoices",
        "1 may be in their topics already: --include-maybe sends them",
        "1 never had bytes, a serializer refused them",
    ]
    words = told(Exit.OK, {}, source=str(path), dry_run=True, include_maybe=True, to_topic="x")
    assert words.splitlines()[:2] == ["3 dead letters would be sent", "  2 to x"]
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_json_has_the_same(path: Path) -> None:
    found = json.loads(told(Exit.OK, {}, source=str(path), dry_run=True, as_json=True))
    assert found == {
        "source": str(path), "kind": "spool", "dry_run": True, "replayed": 0, "failed": 0,
        "in_doubt": 1, "unsendable": 1, "foreign": 0, "damaged_bytes": 0, "left": 4,
        "whole": True, "topics": {"orders": 1, "invoices": 1}, "errors": {},
    }  # fmt: skip


def test_damage_shows_in_the_status(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"torn")
    words = told(Exit.FAILED, {}, source=str(path), dry_run=True)
    assert "4 bytes of the file are damaged" in words


def test_what_an_unfinished_replay_had_confirmed_is_left_out(path: Path) -> None:
    with Replaying(path) as replaying:
        replaying.note([next(iter(replaying.frames())).offset], [])
    assert "1 dead letters would" in told(Exit.OK, {}, source=str(path), dry_run=True)


@pytest.mark.parametrize("source", ["/nowhere/x", "x.spool", "no topic", "."])
def test_what_is_neither_file_nor_topic_is_refused(source: str) -> None:
    with pytest.raises(SettingsError):
        run_replay(SETTINGS, ReplayOptions(source=source))


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"x" * 100)
    for dry_run in (True, False):
        with pytest.raises(SettingsError, match="no spool file"):
            run_replay(SETTINGS, ReplayOptions(source=str(other), dry_run=dry_run))


def test_a_circle_is_refused() -> None:
    with pytest.raises(SettingsError, match="itself"):
        run_replay(SETTINGS, ReplayOptions(source="dead", to_topic="dead"))


def test_a_second_replay_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Replaying(path):
        assert run_replay(SETTINGS, ReplayOptions(source=str(path))) == Exit.FAILED
    assert "another replay" in capsys.readouterr().err


def test_a_disk_that_fails_is_told_and_a_timeout_of_ours_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error: Exception = OSError("No space left on device")

    async def fail(*_: object, **__: object) -> ReplayReport:
        raise error

    monkeypatch.setattr(spool, "replay", fail)
    assert run_replay(SETTINGS, ReplayOptions(source=str(path))) == Exit.FAILED
    assert "No space left" in capsys.readouterr().err
    error = ProducerTimeoutError("too slow")
    with pytest.raises(ProducerTimeoutError):
        run_replay(SETTINGS, ReplayOptions(source=str(path)))


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (ReplayReport(replayed=3), Exit.OK),
        (ReplayReport(replayed=3, in_doubt=2, left=2), Exit.OK),
        (ReplayReport(failed=1), Exit.FAILED),
        (ReplayReport(is_whole=False), Exit.FAILED),
        (ReplayReport(damaged_bytes=1), Exit.FAILED),
    ],
)
def test_the_status_says_whether_something_failed(
    path: Path, monkeypatch: pytest.MonkeyPatch, report: ReplayReport, status: Exit
) -> None:
    async def replay(*_: object, **__: object) -> ReplayReport:
        return report

    monkeypatch.setattr(spool, "replay", replay)
    told(status, source=str(path))


def test_the_summary_says_what_failed_and_what_is_left() -> None:
    report = ReplayReport(replayed=1_200, failed=2, foreign=1, left=3, is_whole=False)
    report.topics["orders"] = 1_200
    report.errors["DeliveryTimeoutError: away"] = 2
    assert list(summary_lines(report, ReplayOptions(source="s"))) == [
        "1,200 dead letters sent; 2 failed",
        "  1,200 to orders",
        "1 are no dead letters",
        "  2 x DeliveryTimeoutError: away",
        "it stopped before the end; run it again when the cause is gone",
        "3 are still there",
    ]


def test_an_interrupted_replay_keeps_what_was_confirmed_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio
    import os
    import signal

    @asynccontextmanager
    async def interrupted() -> AsyncIterator[None]:
        for _ in range(2):
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        yield

    async def replay(*_: object, progress: Any, **__: object) -> ReplayReport:
        async with interrupted():
            progress(ReplayReport(replayed=7))
            await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(dlq.spool, "replay", replay)
    assert "7 dead letters sent" in told(Exit.INTERRUPTED, source=str(path), loop="asyncio")


def test_what_is_under_way_when_it_is_interrupted_is_brought_to_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, its letters would be in doubt, and left for good."""
    import asyncio
    import os
    import signal

    async def replay(*_: object, progress: Any, **__: object) -> ReplayReport:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        for _turn in range(100):
            await asyncio.sleep(0)
        progress(ReplayReport(replayed=7))
        raise AssertionError

    monkeypatch.setattr(dlq.spool, "replay", replay)
    assert "7 dead letters sent" in told(Exit.INTERRUPTED, source=str(path), loop="asyncio")
