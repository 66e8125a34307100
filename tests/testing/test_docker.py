"""Containers for the tests, as far as they can be judged without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioproducer.testing import admin, docker
from aioproducer.testing.cluster import KafkaUnavailableError
from aioproducer.testing.docker import DockerCluster, node_environment, require_engine


class FakeNetwork:
    def __init__(self) -> None:
        self.is_removed = False

    def create(self) -> FakeNetwork:
        return self

    def remove(self) -> None:
        self.is_removed = True


class FakeContainer:
    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")
        if self.breaks:
            raise RuntimeError("no such image")

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    network = FakeNetwork()
    monkeypatch.setattr(docker, "require_engine", lambda: None)
    monkeypatch.setattr("testcontainers.core.network.Network", lambda: network)
    monkeypatch.setattr(admin, "broker_ids", lambda _servers: frozenset({1, 2}))
    return network


def test_without_an_engine_the_address_that_was_tried_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(KafkaUnavailableError, match=r"no Docker engine answers at .*docker\.sock"):
        require_engine()


def test_all_containers_start_and_stop_together(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = [FakeContainer(), FakeContainer()]
    waiting = iter(containers)
    monkeypatch.setattr(DockerCluster, "_container", lambda *_: next(waiting))
    with DockerCluster(nodes=2) as cluster:
        assert cluster.node_ids == (1, 2)
        assert cluster.bootstrap_servers.count("127.0.0.1:") == 2
    assert [container.calls for container in containers] == [["start", "stop"]] * 2
    assert network.is_removed


def test_a_start_that_fails_half_way_ends_what_it_started(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = [FakeContainer(), FakeContainer(breaks=True)]
    waiting = iter(containers)
    monkeypatch.setattr(DockerCluster, "_container", lambda *_: next(waiting))
    with pytest.raises(RuntimeError, match="no such image"):
        DockerCluster(nodes=2).start()
    assert [container.calls[-1] for container in containers] == ["stop", "stop"]
    assert network.is_removed


def test_a_node_advertises_where_it_is_published() -> None:
    environment = node_environment(2, nodes=3, port=20001)
    assert environment["KAFKA_LISTENERS"].endswith("HOST://:20001")
    assert environment["KAFKA_ADVERTISED_LISTENERS"].endswith("HOST://127.0.0.1:20001")
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].count("@kafka-") == 3
