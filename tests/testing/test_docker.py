"""Containers for the tests, as far as they can be judged without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aioproducer.testing import admin, docker
from aioproducer.testing.cluster import KafkaUnavailableError
from aioproducer.testing.docker import (
    DockerCluster,
    DockerListener,
    environment_name,
    node_environment,
    require_engine,
)


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
    environment = node_environment(2, 3, {"HOST": 20001})
    assert environment["KAFKA_LISTENERS"].endswith("HOST://:20001")
    assert environment["KAFKA_ADVERTISED_LISTENERS"].endswith("HOST://127.0.0.1:20001")
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].count("@kafka-") == 3


def test_further_listeners_have_ports_and_users_of_their_own() -> None:
    external = DockerListener("EXTERNAL", users={"alice": "secret", "bob": "word"})
    environment = node_environment(
        1, 1, {"HOST": 1, "EXTERNAL": 2, "OTHER": 3}, [external, DockerListener("OTHER")]
    )
    assert environment["KAFKA_LISTENERS"] == (
        "INTERNAL://:19092,CONTROLLER://:9093,HOST://:1,EXTERNAL://:2,OTHER://:3"
    )
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == (
        "INTERNAL://kafka-1:19092,HOST://127.0.0.1:1,EXTERNAL://127.0.0.1:2,OTHER://127.0.0.1:3"
    )
    protocols = environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    assert protocols[-2:] == ["EXTERNAL:SASL_PLAINTEXT", "OTHER:PLAINTEXT"]
    login = environment["KAFKA_LISTENER_NAME_EXTERNAL_PLAIN_SASL_JAAS_CONFIG"]
    assert login.endswith('required user_alice="secret" user_bob="word";')
    assert not [name for name in environment if "OTHER" in name]


@pytest.mark.parametrize("name", ["SASL_OUT", "EXTERNALSSL", "lower", "HOST", ""])
def test_names_that_the_image_would_mistake_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="listener"):
        DockerListener(name)


@pytest.mark.parametrize("users", [{"a b": "word"}, {"a": 'wo"rd'}, {"a": "wo\\rd"}, {"": "word"}])
def test_users_that_would_break_the_login_line_are_refused(users: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="quotation marks"):
        DockerListener("EXTERNAL", users=users)


def test_two_listeners_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="name of its own"):
        DockerCluster(listeners=[DockerListener("EXTERNAL"), DockerListener("EXTERNAL")])


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("log.retention.ms", "KAFKA_LOG_RETENTION_MS"),
        ("a_b.c-d", "KAFKA_A__B_C___D"),
    ],
)
def test_broker_properties_become_variables(key: str, name: str) -> None:
    assert environment_name(key) == name
    assert node_environment(1, 1, {"HOST": 1}, configs={key: "5"})[name] == "5"


def test_each_listener_has_addresses_and_each_node_its_ports(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Mapping[str, int]] = []

    def container(
        _self: DockerCluster, _node: int, ports: Mapping[str, int], _network: object
    ) -> FakeContainer:
        made.append(dict(ports))
        return FakeContainer()

    monkeypatch.setattr(DockerCluster, "_container", container)
    with DockerCluster(2, listeners=[DockerListener("EXTERNAL")]) as cluster:
        servers = {name: cluster.servers_of(name) for name in ("HOST", "EXTERNAL")}
        for name, addresses in servers.items():
            assert addresses == ",".join(f"127.0.0.1:{ports[name]}" for ports in made)
        assert cluster.bootstrap_servers == servers["HOST"]
        assert cluster.internal_bootstrap_servers == "kafka-1:19092,kafka-2:19092"
        assert cluster.network is network  # type: ignore[comparison-overlap]
    assert len({port for ports in made for port in ports.values()}) == 4


def test_a_network_that_was_given_is_used_and_left(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Any = FakeNetwork()
    monkeypatch.setattr(DockerCluster, "_container", lambda *_: FakeContainer())
    monkeypatch.setattr(admin, "broker_ids", lambda _servers: frozenset({1}))
    with DockerCluster(1, network=given) as cluster:
        assert cluster.network is given
    assert not given.is_removed


def test_a_container_gets_image_environment_ports_and_alias(
    network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told to testcontainers, as far as that goes without an engine."""
    told: dict[str, Any] = {"env": {}}

    class Container:
        def __init__(self, image: str) -> None:
            told["image"] = image
            self.ports: dict[str, Any] = {}
            told["ports"] = self.ports

        def with_env(self, name: str, value: str) -> None:
            told["env"][name] = value

        def with_network(self, network: object) -> None:
            told["network"] = network

        def with_network_aliases(self, alias: str) -> None:
            told["alias"] = alias

        def start(self) -> None: ...

        def stop(self) -> None: ...

    monkeypatch.setattr("testcontainers.core.container.DockerContainer", Container)
    monkeypatch.setattr(admin, "broker_ids", lambda _servers: frozenset({1}))
    with DockerCluster(
        1, "3.9.1", image="apache/kafka-native", configs={"num.io.threads": "3"}
    ) as cluster:
        port = int(cluster.bootstrap_servers.rpartition(":")[2])
        assert told["image"] == "apache/kafka-native:3.9.1"
        assert told["ports"] == {f"{port}/tcp": ("127.0.0.1", port)}
        assert told["env"]["KAFKA_NUM_IO_THREADS"] == "3"
        assert told["env"]["KAFKA_NODE_ID"] == "1"
        assert (told["alias"], told["network"]) == ("kafka-1", network)
