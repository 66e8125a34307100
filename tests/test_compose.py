"""docker-compose.yml, the tests and the documents name the same Kafka."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aioproducer.testing.docker import node_environment
from aioproducer.testing.registry import APICURIO
from aioproducer.testing.releases import CURRENT

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services: dict[str, Any] = compose["services"]
    return {name: each for name, each in services.items() if "profiles" not in each}


@pytest.fixture(scope="module")
def nodes(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name.startswith("kafka-")}


@pytest.fixture(scope="module")
def observers() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return {name: each for name, each in compose["services"].items() if "profiles" in each}


def documents() -> dict[Path, str]:
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.py")]
    return {file.relative_to(ROOT): file.read_text() for file in files}


def test_every_container_runs_the_release_that_the_tests_run(services: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    assert images.pop("registry") == f"apicurio/apicurio-registry-mem:{APICURIO}"
    assert set(images.values()) == {f"apache/kafka:{CURRENT}"}


def test_the_registry_is_published_on_loopback_only_where_documents_say(
    services: dict[str, Any],
) -> None:
    assert services["registry"]["ports"] == ["127.0.0.1:8081:8080"]
    named = {
        found
        for text in documents().values()
        for found in re.findall(r"http://localhost:8081\S*?/v\d", text)
    }
    assert named <= {"http://localhost:8081/apis/ccompat/v7"}


def test_documents_name_the_image_that_compose_starts() -> None:
    named = {
        (str(path), version)
        for path, text in documents().items()
        for version in re.findall(r"apache/kafka:([\w.]+)", text)
    }
    assert {version for _, version in named} <= {CURRENT}, named


def test_three_nodes_are_published_on_loopback_only(nodes: dict[str, Any]) -> None:
    assert [node["ports"] for node in nodes.values()] == [
        ["127.0.0.1:9092:9092"],
        ["127.0.0.1:9093:9093"],
        ["127.0.0.1:9094:9094"],
    ]


def test_documents_name_ports_that_compose_publishes(
    nodes: dict[str, Any], observers: dict[str, Any]
) -> None:
    all_of_them = [*nodes.values(), *observers.values()]
    published = {port.rsplit(":", 1)[1] for each in all_of_them for port in each["ports"]}
    named = {
        (str(path), port)
        for path, text in documents().items()
        for port in re.findall(r"(?:localhost|127\.0\.0\.1):(909\d)\b", text)
    }
    assert {port for _, port in named} <= published, named


def test_each_node_advertises_the_port_that_is_published(nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        port = node["ports"][0].rsplit(":", 1)[1]
        environment = node["environment"]
        assert environment["KAFKA_LISTENERS"].endswith(f"HOST://:{port}")
        assert environment["KAFKA_ADVERTISED_LISTENERS"].endswith(f"HOST://localhost:{port}")
        assert f"INTERNAL://{name}:" in environment["KAFKA_ADVERTISED_LISTENERS"]


def test_all_nodes_vote_and_have_a_health_check(nodes: dict[str, Any]) -> None:
    voters = {node["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"] for node in nodes.values()}
    assert voters == {"1@kafka-1:19093,2@kafka-2:19093,3@kafka-3:19093"}
    for name, node in nodes.items():
        assert f"kafka-{node['environment']['KAFKA_NODE_ID']}" == name
        assert "localhost:19092" in node["healthcheck"]["test"][1]


def test_topics_of_the_readme_exist(services: dict[str, Any]) -> None:
    created = set(re.findall(r"--topic (\w+)", services["topics"]["command"]))
    readme = documents().get(Path("README.md"), "")
    named = set(re.findall(r'\bsend(?:_and_wait)?\(\s*"([^"]+)"', readme))
    assert named <= created


def test_the_topics_wait_until_every_node_is_healthy(
    services: dict[str, Any], nodes: dict[str, Any]
) -> None:
    awaited = services["topics"]["depends_on"]
    assert awaited == {name: {"condition": "service_healthy"} for name in nodes}


def test_containers_of_the_tests_are_set_up_alike(nodes: dict[str, Any]) -> None:
    in_tests = node_environment(1, 3, {"HOST": 9092})
    in_compose = {key: str(value) for key, value in nodes["kafka-1"]["environment"].items()}
    differing = {
        key
        for key in in_tests.keys() & in_compose.keys()
        if in_tests[key] != in_compose[key] and "LISTENERS" not in key and "VOTERS" not in key
    }
    assert not differing


def test_prometheus_and_grafana_start_only_when_asked_for(observers: dict[str, Any]) -> None:
    assert {name: each["profiles"] for name, each in observers.items()} == {
        "prometheus": ["observe"], "grafana": ["observe"],
    }  # fmt: skip
    for each in observers.values():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", each["image"])
        assert all(port.startswith("127.0.0.1:") for port in each["ports"])


def test_what_they_mount_is_there(observers: dict[str, Any]) -> None:
    mounted = [mount.split(":") for each in observers.values() for mount in each["volumes"]]
    for here, there, mode in mounted:
        assert (ROOT / here).is_dir(), there
        assert mode == "ro"


def test_grafana_finds_prometheus_and_its_dashboards(observers: dict[str, Any]) -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    providers = yaml.safe_load((folder / "dashboards" / "aioproducer.yml").read_text())
    path = providers["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in observers["grafana"]["volumes"]
