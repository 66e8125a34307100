"""The commands, their options, and what a wrong command line is answered."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from aioproducer import accelerated
from aioproducer.cli import WRONG_USE, main
from aioproducer.cli import app as app_module
from aioproducer.cli.app import app
from aioproducer.cli.doctor import DoctorOptions
from aioproducer.cli.exit_status import Exit
from aioproducer.errors import ProducerStateError
from aioproducer.version import __version__

NOBODY = "127.0.0.1:1"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["demo", "--records", "0"],
        ["demo", "--records", "many"],
        ["doctor", "--fail-on", "sometimes"],
        ["doctor", "--timeout", "0"],
        ["doctor", "--nonsense"],
    ],
)
def test_a_wrong_command_line_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == WRONG_USE
    assert "Usage: aioproducer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["doctor"], "bootstrap"),
        (["doctor", "-b", NOBODY, "-X", "acks=7"], "acks"),
        (["doctor", "-b", NOBODY, "-X", "nonsense"], "KEY=VALUE"),
        (["doctor", "-b", NOBODY, "-X", "lingerms=5"], "unknown key"),
        (["doctor", "-b", NOBODY, "--rate", "fast"], "no number of bytes"),
        (["doctor", "--config", "/nowhere.properties"], "No such file"),
        (["produce", "orders", "-b", NOBODY, "-X", "transactional.id=x"], "no transaction"),
        (["produce", "bad/topic", "-b", NOBODY], "'bad/topic' is no topic name"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_a_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == WRONG_USE
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_the_doctor_reads_a_properties_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def take(*arguments: object) -> int:
        given.extend(arguments)
        return 3

    monkeypatch.setattr(app_module, "run_doctor", take)
    file = tmp_path / "producer.properties"
    file.write_text("bootstrap.servers=a:1\nacks=0\n")
    command = ["doctor", "orders", "--config", str(file), "--json", "--rate", "1GB"]
    assert main([*command, "-X", "linger.ms=9", "--fail-on", "error"]) == 3
    assert given == [
        {"bootstrap.servers": "a:1", "acks": "0", "linger.ms": "9"},
        DoctorOptions(topics=("orders",), bytes_per_second=1e9, fail_on="error", as_json=True),
    ]


def test_an_interruption_has_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app_module, "run_doctor", interrupted)
    assert main(["doctor", "-b", NOBODY]) == Exit.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_what_the_producer_raises_is_a_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> int:
        raise ProducerStateError("the background task died")

    monkeypatch.setattr(app_module, "run_doctor", failing)
    assert main(["doctor", "-b", NOBODY]) == Exit.FAILED
    assert capsys.readouterr().err == (
        "aioproducer: ProducerStateError: the background task died\n"
    )


def test_a_closed_pipe_is_a_status_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def writing(*_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(app_module, "run_doctor", writing)
    monkeypatch.setattr(app_module, "_discard_output", lambda: None)
    assert main(["doctor", "-b", NOBODY]) == Exit.BROKEN_PIPE
    assert capsys.readouterr() == ("", "")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    build = "compiled" if accelerated else "pure Python"
    assert capsys.readouterr().out == f"{__version__}, {build}\n"


@pytest.mark.parametrize("command", [None, *app.commands])
def test_every_command_has_its_help(
    command: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*([command] if command else []), "--help"]) == 0
    assert "Usage: aioproducer" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_its_packages_the_command_line_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [each for each in sys.modules if each.startswith("aioproducer.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    for module in [each for each in sys.modules if each.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, module)
    assert main(["--version"]) == WRONG_USE
    assert 'pip install "aioproducer[cli]"' in capsys.readouterr().err


def test_the_command_is_installed_under_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"aioproducer": "aioproducer.cli:main"}
    assert {"cli", "prometheus", "otel"} <= project["optional-dependencies"].keys()
