"""The options of `aioproducer produce` reach what runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioproducer.cli import WRONG_USE, main, produce_command
from aioproducer.cli.produce import ProduceOptions


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    taken: list[object] = []

    def take(*arguments: object) -> int:
        taken.extend(arguments)
        return 0

    monkeypatch.setattr(produce_command, "run_produce", take)
    return taken


def test_the_command_takes_its_options(tmp_path: Path, given: list[object]) -> None:
    file = tmp_path / "lines"
    file.touch()
    command = ["produce", "orders", str(file), "-", "-b", "a:1", "--slowest", "5", "--json"]
    more = ["-k", r"\t", "-H", "a=1", "-p", "3", "--null-value", "NULL", "--rate", "50"]
    more += ["--byte-rate", "5MB", "--on-error", "skip", "--drain-seconds", "2"]
    more += ["--compression", "lz4", "--profile", "latency", "--loop", "asyncio"]
    assert main([*command, *more]) == 0
    options = ProduceOptions(
        topic="orders",
        files=(file, Path("-")),
        key_separator=b"\t",
        null_value=b"NULL",
        headers=(("a", b"1"),),
        partition=3,
        skip_malformed=True,
        rate=50.0,
        byte_rate=5e6,
        profile="latency",
        patience=2.0,
        loop="asyncio",
        slowest=5,
        as_json=True,
    )
    assert given == [{"bootstrap.servers": "a:1", "compression.type": "lz4"}, options]


def test_what_is_not_given_is_left_to_the_settings(given: list[object]) -> None:
    assert main(["produce", "orders", "-X", "compression.type=gzip", "--json-lines"]) == 0
    assert given == [
        {"compression.type": "gzip"}, ProduceOptions(topic="orders", json_lines=True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ["--slowest", "-1"],
        ["/nowhere"],
        ["-p", "-1"],
        ["-H", "a"],
        ["-k", ""],
        ["-k", r"\q"],
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--drain-seconds", "nan"],
        ["--drain-seconds", "inf"],
        ["--null-value", "\udcff"],
        ["--byte-rate", "fast"],
        ["--compression", "rar"],
        ["--json-lines", "-k", ":"],
        ["--json-lines", "--null-value", ""],
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["produce", "orders", "-b", "a:1", *options]) == WRONG_USE
    assert capsys.readouterr().err
