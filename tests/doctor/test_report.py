from __future__ import annotations

import json
from typing import Any

from aioproducer.doctor.report import (
    Finding,
    SetupReport,
    Severity,
    Unchecked,
    sorted_findings,
)


def finding(name: str, severity: Severity, topic: str | None = None) -> Finding:
    return Finding(name=name, severity=severity, symptom="s", cause="c", remedy="r", topic=topic)


def report(**given: Any) -> SetupReport:
    empty: dict[str, Any] = {"findings": (), "unchecked": (), "checked": (), "notes": ()}
    return SetupReport(**{**empty, "cluster": None, **given})


def test_the_worst_findings_come_first_and_the_rest_keep_their_order() -> None:
    rows = [
        finding("a", Severity.INFO),
        finding("b", Severity.ERROR),
        finding("c", Severity.INFO),
        finding("d", Severity.ERROR),
    ]
    assert [each.name for each in sorted_findings(rows)] == ["b", "d", "a", "c"]


def test_a_report_knows_its_worst_and_its_gaps() -> None:
    assert report().worst is None
    assert report().is_complete
    both = (finding("a", Severity.INFO), finding("b", Severity.WARNING))
    gaps = (Unchecked("the topics", "no right", ("topic-missing",)),)
    full = report(findings=both, unchecked=gaps)
    assert full.worst is Severity.WARNING
    assert not full.is_complete


def test_findings_are_found_by_their_name() -> None:
    rows = (
        finding("a", Severity.INFO, "x"),
        finding("b", Severity.INFO),
        finding("a", Severity.INFO, "y"),
    )
    assert [each.topic for each in report(findings=rows).named("a")] == ["x", "y"]
    assert report(findings=rows).named("c") == ()


def test_json_holds_all_of_it() -> None:
    full = report(
        findings=(finding("a", Severity.ERROR, "orders"),),
        unchecked=(Unchecked("the brokers", "asleep", ("x", "y")),),
        checked=("b",),
        notes=("n",),
        cluster="abc, 3 broker(s)",
    )
    read = json.loads(json.dumps(full.as_dict()))
    assert read == {
        "cluster": "abc, 3 broker(s)",
        "complete": False,
        "findings": [
            {
                "name": "a", "severity": "error", "symptom": "s", "cause": "c", "remedy": "r",
                "topic": "orders",
            }
        ],
        "unchecked": [{"what": "the brokers", "why": "asleep", "findings": ["x", "y"]}],
        "checked": ["b"],
        "notes": ["n"],
    }  # fmt: skip
