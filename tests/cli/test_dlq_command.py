"""The options of `aioproducer dlq replay`."""

from __future__ import annotations

import pytest

from aioproducer.cli import dlq_command, main
from aioproducer.cli.dlq import ReplayOptions
from aioproducer.cli.exit_status import Exit


def test_the_command_takes_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def take(*arguments: object) -> int:
        given.extend(arguments)
        return 0

    monkeypatch.setattr(dlq_command, "run_replay", take)
    command = ["dlq", "replay", "dead", "-b", "a:1", "-X", "linger.ms=5", "-C", "ssl.ca.location=x",
               "--dry-run", "--include-maybe", "--to", "again", "--skip-failed", "--group", "g",
               "--loop", "asyncio", "--json"]  # fmt: skip
    assert main(command) == Exit.OK
    options = ReplayOptions(
        source="dead", dry_run=True, include_maybe=True, to_topic="again", skip_failed=True,
        group="g", consumer={"ssl.ca.location": "x"}, loop="asyncio", as_json=True,
    )  # fmt: skip
    assert given == [{"bootstrap.servers": "a:1", "linger.ms": "5"}, options]


@pytest.mark.parametrize("arguments", [[], ["replay"], ["replay", "a", "-X", "x"]])
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    assert main(["dlq", *arguments]) == Exit.WRONG_USE


def test_the_status_of_a_missing_file_is_that_of_wrong_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["dlq", "replay", "nowhere.spool", "-b", "a:1"]) == Exit.WRONG_USE
    assert "there is no spool file nowhere.spool" in capsys.readouterr().err
