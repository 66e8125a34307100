"""The doctor's report in words, in JSON and as an exit status."""

from __future__ import annotations

import io
import json
import re

import pytest

from aioproducer.cli import doctor as doctor_module
from aioproducer.cli.doctor import (
    ALL_WELL,
    FINDINGS,
    INCOMPLETE,
    DoctorOptions,
    exit_status,
    run_doctor,
    text_lines,
)
from aioproducer.doctor.report import SetupReport, Severity, Unchecked
from tests.doctor.test_report import finding, report

GAP = (Unchecked("the cluster", "cannot connect to [::1]:9092", ("topic-missing", "min-insync-1")),)


class Terminal(io.StringIO):
    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("fail_on", "statuses"),
    [
        ("error", (ALL_WELL, ALL_WELL, ALL_WELL, FINDINGS)),
        ("warning", (ALL_WELL, ALL_WELL, FINDINGS, FINDINGS)),
        ("info", (ALL_WELL, FINDINGS, FINDINGS, FINDINGS)),
        ("never", (ALL_WELL, ALL_WELL, ALL_WELL, ALL_WELL)),
    ],
)
def test_the_exit_status_tells_a_pipeline_how_it_went(
    fail_on: str, statuses: tuple[int, ...]
) -> None:
    reports = [report(), *(report(findings=(finding("a", each),)) for each in Severity)]
    assert tuple(exit_status(each, fail_on) for each in reports) == statuses


def test_a_gap_fails_a_pipeline_too_but_less_than_a_finding() -> None:
    assert exit_status(report(unchecked=GAP), "warning") == INCOMPLETE
    bad = (finding("a", Severity.ERROR),)
    assert exit_status(report(findings=bad, unchecked=GAP), "warning") == FINDINGS


def test_the_text_has_everything_in_it() -> None:
    full = report(
        findings=(finding("acks-0", Severity.ERROR), finding("min-insync-1", Severity.INFO, "x")),
        unchecked=GAP,
        checked=("acks-0",),
        notes=("a note",),
    )
    assert list(text_lines(full)) == [
        "cluster: could not be asked",
        "",
        "ERROR      acks-0",
        "  symptom  s",
        "  cause    c",
        "  remedy   r",
        "",
        "INFO       min-insync-1  topic x",
        "  symptom  s",
        "  cause    c",
        "  remedy   r",
        "",
        "UNCHECKED  the cluster",
        "  why      cannot connect to [::1]:9092",
        "  so not   topic-missing, min-insync-1",
        "",
        "note: a note",
        "1 error, 1 info; 1 things looked for; 2 could not be looked for",
    ]


def test_nothing_found_is_said() -> None:
    assert list(text_lines(report(cluster="abc", checked=("a", "b"))))[-1] == (
        "nothing found; 2 things looked for"
    )


class Asked:
    """Stands for check_setup()."""

    def __init__(self, answer: SetupReport) -> None:
        self.answer = answer
        self.given: list[object] = []

    async def __call__(self, settings: object, topics: object, **more: object) -> SetupReport:
        self.given += [settings, topics, more]
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = (finding("acks-0", Severity.ERROR, "[orders]"),)
    stand_in = Asked(report(findings=found, unchecked=GAP, notes=("[a] note",)))
    monkeypatch.setattr(doctor_module, "check_setup", stand_in)
    return stand_in


def test_what_was_asked_for_is_asked(asked: Asked) -> None:
    options = DoctorOptions(topics=("orders",), bytes_per_second=5.0, timeout=3.0)
    assert run_doctor({"acks": "0"}, options, io.StringIO()) == FINDINGS
    more = {"bytes_per_second": 5.0, "timeout": 3.0}
    assert asked.given == [{"acks": "0"}, ("orders",), more]


def test_a_pipe_gets_plain_text(asked: Asked) -> None:
    out = io.StringIO()
    assert run_doctor({}, DoctorOptions(), out) == FINDINGS
    assert out.getvalue().splitlines() == list(text_lines(asked.answer))
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("wanted", [True, False])
def test_colours_can_be_turned_off(
    wanted: bool, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As https://no-color.org has it."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not wanted:
        monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    run_doctor({}, DoctorOptions(), out)
    assert bool(re.search("\x1b\\[[0-9;]*3[0-7]m", out.getvalue())) == wanted


def test_a_terminal_gets_a_table(asked: Asked) -> None:
    """Addresses in brackets are no markup."""
    out = Terminal()
    assert run_doctor({}, DoctorOptions(), out) == FINDINGS
    for words in ("acks-0", "topic [orders]", "[::1]:9092", "[a] note", "┃"):
        assert words in out.getvalue()


def test_json_is_one_document(asked: Asked) -> None:
    out = io.StringIO()
    run_doctor({}, DoctorOptions(as_json=True), out)
    read = json.loads(out.getvalue())
    assert read["complete"] is False
    assert read["unchecked"][0]["what"] == "the cluster"


def test_every_choice_of_fail_on_is_a_severity() -> None:
    assert set(doctor_module.FAIL_ON.values()) == {*Severity, None}
