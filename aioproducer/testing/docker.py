"""Kafka in containers: the same images as docker-compose.yml."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, ClassVar, cast

from aioproducer.testing import admin
from aioproducer.testing.cluster import (
    ClusterStartError,
    KafkaCluster,
    KafkaUnavailableError,
    wait_until,
)
from aioproducer.testing.java_cluster import free_ports
from aioproducer.testing.releases import CURRENT

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.network import Network

START_SECONDS = 120.0
# Any 22-character base64 uuid: the nodes have to agree on one.
_CLUSTER_ID = "YWlvcHJvZHVjZXItdGVzdA"


class DockerCluster(KafkaCluster):
    """KRaft nodes in `apache/kafka` containers, published on loopback.

    testcontainers' reaper removes them when this process dies.
    """

    kind: ClassVar[str] = "docker"

    def __init__(self, nodes: int = 3, version: str = CURRENT) -> None:
        self.version = version
        self._size = nodes
        self._network: Network | None = None
        self._containers: dict[int, DockerContainer] = {}

    @property
    def node_ids(self) -> tuple[int, ...]:
        return tuple(self._containers)

    def describe(self) -> str:
        return f"Apache Kafka {self.version}, {self._size} nodes in Docker containers"

    def start(self) -> None:
        require_engine()
        try:
            self._start_containers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._bootstrap_servers = ""
        containers, self._containers = self._containers, {}
        for container in containers.values():
            # The engine may have removed it already; the others must still go.
            with contextlib.suppress(_engine_error()):
                container.stop()
        network, self._network = self._network, None
        if network is not None:
            with contextlib.suppress(_engine_error()):
                network.remove()

    def kill(self, node_id: int) -> None:
        self._wrapped(node_id).kill()

    def terminate(self, node_id: int) -> None:
        self._wrapped(node_id).stop(timeout=30)

    def pause(self, node_id: int) -> None:
        self._wrapped(node_id).pause()

    def resume(self, node_id: int) -> None:
        self._wrapped(node_id).unpause()

    def restart(self, node_id: int) -> None:
        self._wrapped(node_id).start()
        self._wait_until_listed({node_id})

    def restore(self) -> None:
        for node_id in self.node_ids:
            container = self._wrapped(node_id)
            container.reload()
            if container.status == "paused":
                self.resume(node_id)
            elif container.status != "running":
                self.restart(node_id)
        self._wait_until_listed(set(self._containers))
        wait_until(
            lambda: admin.all_in_sync(self.bootstrap_servers),
            START_SECONDS,
            "all replicas in sync",
        )

    def _start_containers(self) -> None:
        from testcontainers.core.network import Network

        ports = dict(enumerate(free_ports(self._size), start=1))
        self._network = Network().create()
        for node_id, port in ports.items():
            self._containers[node_id] = self._container(node_id, port, self._network)
            self._containers[node_id].start()
        self._bootstrap_servers = ",".join(f"127.0.0.1:{port}" for port in ports.values())
        try:
            self._wait_until_listed(set(self._containers))
        except ClusterStartError as error:
            raise ClusterStartError(f"{error}\n{self._logs()}") from None

    def _container(self, node_id: int, port: int, network: Network) -> DockerContainer:
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(f"apache/kafka:{self.version}")
        for name, value in node_environment(node_id, self._size, port).items():
            container.with_env(name, value)
        # The port is chosen before the start, because a broker advertises it.
        published = cast("dict[str, Any]", container.ports)
        published[f"{port}/tcp"] = ("127.0.0.1", port)
        container.with_network(network)
        container.with_network_aliases(f"kafka-{node_id}")
        return container

    def _wait_until_listed(self, wanted: set[int]) -> None:
        wait_until(
            lambda: wanted <= admin.broker_ids(self._bootstrap_servers),
            START_SECONDS,
            "every node is listed",
        )

    def _wrapped(self, node_id: int) -> Any:
        return self._containers[node_id].get_wrapped_container()

    def _logs(self) -> str:
        return "\n".join(
            f"  node {node_id}:\n{self._wrapped(node_id).logs(tail=15).decode(errors='replace')}"
            for node_id in self.node_ids
        )


def require_engine() -> None:
    """
    Raises:
        KafkaUnavailableError: testcontainers is not installed or no Docker engine answers.
    """
    try:
        import docker
        from testcontainers.core.docker_client import get_docker_host
    except ImportError:
        raise KafkaUnavailableError(
            'testcontainers is not installed: pip install "aioproducer[testing]"'
        ) from None
    address = get_docker_host() or "unix:///var/run/docker.sock"
    try:
        _knock(address)
        with contextlib.closing(docker.DockerClient(base_url=address, timeout=5)) as client:
            client.ping()
    except (docker.errors.DockerException, OSError):
        raise KafkaUnavailableError(f"no Docker engine answers at {address}") from None


def _knock(address: str) -> None:
    """Connect to the engine's Unix socket, because docker's client leaks its own when refused."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(5)
            knock.connect(address.removeprefix("unix://"))


def node_environment(node_id: int, nodes: int, port: int) -> dict[str, str]:
    """What the image's start script turns into server.properties."""
    voters = ",".join(f"{i}@kafka-{i}:9093" for i in range(1, nodes + 1))
    replicas, in_sync = str(min(3, nodes)), str(min(2, nodes))
    return {
        "CLUSTER_ID": _CLUSTER_ID,
        "KAFKA_NODE_ID": str(node_id),
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": voters,
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
        "KAFKA_LISTENERS": f"INTERNAL://:19092,CONTROLLER://:9093,HOST://:{port}",
        "KAFKA_ADVERTISED_LISTENERS": f"INTERNAL://kafka-{node_id}:19092,HOST://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,HOST:PLAINTEXT"
        ),
        "KAFKA_DEFAULT_REPLICATION_FACTOR": replicas,
        "KAFKA_MIN_INSYNC_REPLICAS": in_sync,
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": replicas,
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "5",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": replicas,
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": in_sync,
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "5",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": replicas,
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": in_sync,
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_BROKER_SESSION_TIMEOUT_MS": "3000",
        "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
        "KAFKA_LOG_RETENTION_MS": "-1",
    }


def _engine_error() -> type[Exception]:
    from docker.errors import DockerException

    return cast("type[Exception]", DockerException)
