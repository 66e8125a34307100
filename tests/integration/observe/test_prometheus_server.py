"""A real Prometheus scrapes the example service, and answers every query of the dashboard."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from aioproducer.testing import KafkaCluster
from aioproducer.testing.java_cluster import accepts_connections, free_ports
from aioproducer.testing.supervision import Supervisor, tail
from tests.conftest import skip_or_fail
from tests.test_deploy import ALERTS, DEPLOY, queries, rules

EXAMPLE = Path(__file__).parents[3] / "examples" / "observed_service.py"
PATIENCE = 90.0


class Observed(NamedTuple):
    service: str
    prometheus: str
    topic: str

    def api(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"{self.prometheus}/api/v1/{path}"
        body: dict[str, Any] = httpx.get(url, params=parameters, timeout=PATIENCE).json()
        return body

    def answers(self, expression: str) -> list[dict[str, Any]]:
        """Return what there is, once there is some: a scrape that was late leaves a gap."""
        found: list[dict[str, Any]] = []

        def asked() -> bool:
            found[:] = self.query(expression)
            return bool(found)

        eventually(asked, f"an answer to {expression}")
        return found

    def query(self, expression: str) -> list[dict[str, Any]]:
        body = self.api("query", query=expression)
        assert body["status"] == "success", f"{expression}: {body}"
        result: list[dict[str, Any]] = body["data"]["result"]
        return result


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        skip_or_fail("prometheus", f"{name} is not installed (Debian's package prometheus)")
    return found


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def observed(kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The service under some load, and a Prometheus that has scraped it a few times."""
    prometheus = program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    service_port, prometheus_port = free_ports(2)
    topic = f"observed-{service_port}"
    kafka.create_topic(topic, 3)
    supervisor = Supervisor()
    try:
        environment = {
            "AIOPRODUCER_BOOTSTRAP": kafka.bootstrap_servers,
            "TOPIC": topic,
            "PORT": str(service_port),
            "PYTHONPATH": str(EXAMPLE.parents[1]),
        }
        service = folder / "service.log"
        supervisor.spawn(
            ["env", *(f"{key}={value}" for key, value in environment.items()),
             sys.executable, str(EXAMPLE)],
            service,
        )  # fmt: skip
        log = folder / "prometheus.log"
        supervisor.spawn(
            [prometheus, f"--config.file={_config(folder, service_port)}",
             f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{prometheus_port}"],
            log,
        )  # fmt: skip
        for port, its_log in ((service_port, service), (prometheus_port, log)):
            eventually(lambda port=port: accepts_connections(port), tail(its_log))  # type: ignore[misc]
        observed = Observed(
            f"http://127.0.0.1:{service_port}", f"http://127.0.0.1:{prometheus_port}", topic
        )
        _load(observed)
        yield observed
    finally:
        supervisor.close()


def _config(folder: Path, service_port: int) -> Path:
    """Return the deployed configuration with other addresses and shorter times."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{service_port}"]
    shutil.copy(ALERTS, folder / "alerts.yml")
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return file


def _load(observed: Observed) -> None:
    """Post orders until a few scrapes have seen them."""
    with httpx.Client() as client:

        def seen_growing() -> bool:
            order = {"customer": "c", "item": "i"}
            answer = client.post(f"{observed.service}/orders", json=order, timeout=PATIENCE)
            answer.raise_for_status()
            samples = "count_over_time(aioproducer_ack_time_seconds_count[5m])"
            counts = observed.query(f"{samples} > 4 and aioproducer_ack_time_seconds_count > 5")
            return bool(counts)

        eventually(seen_growing, "Prometheus has scraped the service")


def test_the_service_is_up_and_counts_what_it_was_posted(observed: Observed) -> None:
    [up] = observed.answers("up == 1")
    assert up["value"][1] == "1"
    [sent] = observed.answers("kafka_producer_record_send_total")
    assert sent["metric"]["client_id"] == "orders-api"
    assert float(sent["value"][1]) >= 5
    [by_topic] = observed.answers("kafka_producer_topic_record_ack_total")
    assert by_topic["metric"]["topic"] == observed.topic


def test_types_and_words_arrive(observed: Observed) -> None:
    answer = observed.api("metadata")["data"]
    assert answer["kafka_producer_record_send_total"][0]["type"] == "counter"
    assert answer["aioproducer_ack_time_seconds"][0]["type"] == "histogram"
    assert "broker" in answer["kafka_producer_record_send_total"][0]["help"]


def test_every_query_of_the_dashboard_has_an_answer(observed: Observed) -> None:
    for query in queries():
        spelt = query.replace("$client_id", ".*").replace("$__rate_interval", "1m")
        assert observed.answers(spelt), spelt
    labels = observed.api("label/client_id/values")["data"]
    assert labels == ["orders-api"], "what the dashboard offers to choose from"


def test_the_rules_are_taken_and_quiet(observed: Observed) -> None:
    def evaluated() -> list[dict[str, Any]]:
        groups = observed.api("rules")["data"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    eventually(evaluated, "every rule has been evaluated")
    found = evaluated()
    assert len(found) == len(rules())
    for rule in found:
        assert rule["health"] == "ok", rule
        assert rule.get("state", "inactive") != "firing", rule


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(arguments: list[str]) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_does_not_fire_fails_its_test(tmp_path: Path) -> None:
    """The rule tests can fail."""
    folder = tmp_path / "rules"
    shutil.copytree(DEPLOY / "prometheus", folder)
    changed = (folder / "alerts.yml").read_text().replace("> 0.01", "> 0.5")
    (folder / "alerts.yml").write_text(changed)
    done = subprocess.run(
        [program("promtool"), "test", "rules", "alerts_test.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode != 0
    assert "KafkaProducerErrors" in done.stdout + done.stderr


def test_the_service_ends_when_it_is_told(kafka: KafkaCluster) -> None:
    """A container that is stopped must not be killed."""
    [port] = free_ports(1)
    environment = {
        **os.environ,
        "AIOPRODUCER_BOOTSTRAP": kafka.bootstrap_servers,
        "PORT": str(port),
        "PYTHONPATH": str(EXAMPLE.parents[1]),
    }
    with subprocess.Popen([sys.executable, str(EXAMPLE)], env=environment) as process:
        try:
            eventually(lambda: accepts_connections(port), "the service listens")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
        finally:
            process.kill()
