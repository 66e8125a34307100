"""The demo's flow, as far as it needs no Kafka."""

from __future__ import annotations

import io
import json
import time

import pytest

from aioproducer.cli import app as app_module
from aioproducer.cli import demo as demo_module
from aioproducer.cli import main
from aioproducer.cli.demo import (
    COULD_NOT_RUN,
    DEFAULT_RECORDS,
    DIFFERENT,
    INTERRUPTED,
    QUICK_RECORDS,
    DemoOptions,
    Screen,
    codecs,
    run_demo,
)
from aioproducer.cli.report import Progress
from aioproducer.errors import ConfigurationError
from aioproducer.testing import ClusterStartError, KafkaUnavailableError


class Terminal(io.StringIO):
    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_one_line_that_changes() -> None:
    out = Terminal()
    screen = Screen(out)
    screen.progress(Progress(10, 5, 0, 0, 1.0))
    screen.progress(Progress(10, 10, 10, 0, 2.0), last=True)
    assert out.getvalue().count("\r") == 2
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().endswith("\n")


def test_a_file_gets_few_lines_without_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    out = io.StringIO()
    screen = Screen(out)
    for tenth in range(40):
        now = 100.0 + tenth / 10
        screen.progress(Progress(10, 5, 0, 0, 1.0))
    screen.progress(Progress(10, 10, 10, 0, 4.0), last=True)
    assert len(out.getvalue().splitlines()) == 2
    assert "\r" not in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_terminal_without_utf_8_gets_plain_bars() -> None:
    assert Screen(io.StringIO()).plain
    assert not Screen(Terminal()).plain


def test_a_codec_without_its_package_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(config: dict[str, str]) -> None:
        if config["compression.type"] == "zstd":
            raise ConfigurationError("compression.type=zstd needs a package: pip install this")

    monkeypatch.setattr(demo_module, "AsyncProducer", make)
    out = io.StringIO()
    assert codecs(Screen(out)) == ["none", "gzip", "snappy", "lz4"]
    assert "zstd" in out.getvalue()
    assert "pip install this" in out.getvalue()


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KafkaUnavailableError("nothing here"), COULD_NOT_RUN, "no Kafka to run against: nothing"),
        (ClusterStartError("node 2 died"), COULD_NOT_RUN, "node 2 died"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted"),
        (RuntimeError("wrong CRC"), DIFFERENT, "wrong CRC"),
    ],
)
def test_what_goes_wrong_is_said_and_shows_in_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, words: str
) -> None:
    def start_kafka(version: str | None) -> None:
        raise error

    monkeypatch.setattr(demo_module, "start_kafka", start_kafka)
    out = io.StringIO()
    assert run_demo(DemoOptions(), out) == status
    assert words in out.getvalue()


def test_one_json_document_goes_out_and_the_words_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start_kafka(version: str | None) -> None:
        raise KafkaUnavailableError("nothing here")

    monkeypatch.setattr(demo_module, "start_kafka", start_kafka)
    assert run_demo(DemoOptions(as_json=True)) == COULD_NOT_RUN
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"status": COULD_NOT_RUN}
    assert "nothing here" in captured.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["demo"], DemoOptions(DEFAULT_RECORDS)),
        (["demo", "--quick"], DemoOptions(QUICK_RECORDS)),
        (["demo", "--quick", "--records", "7"], DemoOptions(7)),
        (["demo", "-b", "a:1", "--json"], DemoOptions(DEFAULT_RECORDS, "a:1", as_json=True)),
        (["demo", "--bootstrap", "a:1,b:2"], DemoOptions(DEFAULT_RECORDS, "a:1,b:2")),
        (["demo", "--kafka-version", "embedded"], DemoOptions(DEFAULT_RECORDS, None, "embedded")),
    ],
)
def test_the_command_line_becomes_options(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: DemoOptions
) -> None:
    given: list[DemoOptions] = []

    def take(options: DemoOptions) -> int:
        given.append(options)
        return 0

    monkeypatch.setattr(app_module, "run_demo", take)
    assert main(arguments) == 0
    assert given == [expected]
