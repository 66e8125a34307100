"""The alerts and the dashboard speak of metrics that exist, under the names that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aioproducer.observe.exporters.names import ACK_TIMES, BUILD_INFO, CIPHERS, EXPORTED
from aioproducer.observe.thresholds import Thresholds

DEPLOY = Path(__file__).parent.parent / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "aioproducer.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
_NAME = re.compile(r"\b(?:kafka_producer|aioproducer)_\w+")

KNOWN = {each.name for each in EXPORTED.values()} | {
    BUILD_INFO,
    CIPHERS,
    *(ACK_TIMES + suffix for suffix in ("_bucket", "_sum", "_count")),
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return read


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_metrics_or_records_that_exist(rule: dict[str, Any]) -> None:
    recorded = {each["record"] for each in rules() if "record" in each}
    named = set(_NAME.findall(rule["expr"]))
    assert named <= KNOWN
    assert set(re.findall(r"aioproducer:[\w:]+", rule["expr"])) <= recorded


@pytest.mark.parametrize("query", queries())
def test_a_query_of_the_dashboard_names_metrics_that_exist(query: str) -> None:
    named = set(_NAME.findall(query))
    assert named
    assert named <= KNOWN
    assert 'client_id=~"$client_id"' in query


def test_every_alert_has_a_severity_words_and_a_test() -> None:
    tests = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) == 6
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} <= alert["annotations"].keys()
        name = alert["alert"]
        assert f"alertname: {name}\n        exp_alerts:\n" in tests, "it fires"
        assert f"alertname: {name}, exp_alerts: []" in tests, "and it does not"


@pytest.mark.parametrize(
    ("alert", "threshold", "lasting", "severity"),
    [
        ("KafkaProducerErrors", "> 0.01", "5m", "critical"),
        ("KafkaProducerBufferLow", "< 10e6", "2m", "critical"),
        ("KafkaProducerRequestTimeouts", "> 0.001", "5m", "critical"),
        ("KafkaProducerSendsLess", "< 0.7 *", "10m", "warning"),
        ("KafkaProducerSlow", "> 0.1", "5m", "warning"),
        ("KafkaProducerPoorBatching", "< 10 ", "15m", "warning"),
    ],
)
def test_the_thresholds_are_those_of_the_documents(
    alert: str, threshold: str, lasting: str, severity: str
) -> None:
    [rule] = [each for each in rules() if each.get("alert") == alert]
    assert threshold in rule["expr"]
    assert (rule["for"], rule["labels"]["severity"]) == (lasting, severity)


def test_the_thresholds_are_those_of_diagnose() -> None:
    """What wakes somebody is what the producer itself calls wrong."""
    usual = Thresholds()
    expressions = {rule["alert"]: rule["expr"] for rule in rules() if "alert" in rule}
    assert f"> {usual.error_rate:g}" in expressions["KafkaProducerErrors"]
    assert f"> {usual.timeout_rate:g}" in expressions["KafkaProducerRequestTimeouts"]
    assert f"< {usual.throughput_share:g} *" in expressions["KafkaProducerSendsLess"]
    seconds = usual.request_latency_critical_ms / 1000
    assert f"> {seconds:g}" in expressions["KafkaProducerSlow"]
    assert f"< {usual.records_per_request:g} " in expressions["KafkaProducerPoorBatching"]


def test_the_panels_stand_side_by_side() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in dashboard()["panels"]]
    assert len(set(places)) == len(places)
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids) >= 16
