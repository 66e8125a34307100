"""Kafka in containers: the same images as docker-compose.yml."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
_INTERNAL_PORT = 19092
_CONTROLLER_PORT = 9093
# Any 22-character base64 uuid: the nodes have to agree on one.
_CLUSTER_ID = "YWlvcHJvZHVjZXItdGVzdA"


_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_OWN_LISTENERS = frozenset({"INTERNAL", "CONTROLLER", "HOST"})


@dataclass(frozen=True, slots=True)
class DockerListener:
    """One more way from the host into the brokers, on ports of its own.

    Args:
        name: in capitals, as "EXTERNAL".
        users: names and passwords; with them it asks for SASL/PLAIN, without it is open.
    """

    name: str
    users: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The image's script takes what looks like a protocol in a name for one, and asks for
        # key stores and login files.
        if not re.fullmatch("[A-Z][A-Z0-9]*", self.name) or self.name.endswith("SSL"):
            raise ValueError(
                f"a listener's name is capitals and digits, without SSL at its end: {self.name!r}"
            )
        if self.name in _OWN_LISTENERS:
            raise ValueError(f"{self.name} is a listener that every cluster has")
        for name, word in self.users.items():
            # They stand in a line of JAAS, in a variable that a script makes a property of.
            if not re.fullmatch(r"[\w.@-]+", name) or re.search(r'["\\\n]', word):
                raise ValueError(
                    f"user {name!r}: names are letters, digits and ._@-, passwords have no"
                    " quotation marks, backslashes and line ends"
                )

    @property
    def security(self) -> str:
        """What clients set as security.protocol."""
        return "SASL_PLAINTEXT" if self.users else "PLAINTEXT"

    def environment(self) -> dict[str, str]:
        """Return the settings that only this listener has."""
        if not self.users:
            return {}
        users = " ".join(f'user_{name}="{word}"' for name, word in self.users.items())
        own = f"KAFKA_LISTENER_NAME_{self.name}"
        return {
            f"{own}_SASL_ENABLED_MECHANISMS": "PLAIN",
            f"{own}_PLAIN_SASL_JAAS_CONFIG": f"{_PLAIN} required {users};",
        }


class DockerCluster(KafkaCluster):
    """KRaft nodes in `apache/kafka` containers, published on loopback.

    testcontainers' reaper removes them when this process dies.

        listener = DockerListener("EXTERNAL", users={"alice": "secret"})
        with DockerCluster(nodes=1, listeners=[listener]) as kafka:
            kafka.bootstrap_servers               # from the host, open
            kafka.servers_of("EXTERNAL")          # from the host, with SASL/PLAIN
            kafka.internal_bootstrap_servers      # from containers in kafka.network

    Args:
        nodes: brokers that are controllers too; 1 and 3 make sense.
        version: a tag of the image.
        listeners: further ways into every node.
        network: one of testcontainers' that is there already; otherwise one is made, and removed.
        configs: further broker properties by Kafka's names.
        image: another one that is set up as `apache/kafka` is.
    """

    kind: ClassVar[str] = "docker"

    def __init__(
        self,
        nodes: int = 3,
        version: str = CURRENT,
        *,
        listeners: Sequence[DockerListener] = (),
        network: Network | None = None,
        configs: Mapping[str, str] | None = None,
        image: str = "apache/kafka",
    ) -> None:
        self.version = version
        self._size = nodes
        self._listeners = tuple(listeners)
        if len({listener.name for listener in listeners}) < len(self._listeners):
            raise ValueError("each listener needs a name of its own")
        self._given_network = network
        self._configs = dict(configs or {})
        self._image = image
        self._network: Network | None = None
        self._containers: dict[int, DockerContainer] = {}
        self._servers: dict[str, str] = {}

    @property
    def internal_bootstrap_servers(self) -> str:
        """Addresses for containers in the same network."""
        return ",".join(f"kafka-{node_id}:{_INTERNAL_PORT}" for node_id in self.node_ids)

    @property
    def network(self) -> Network:
        """The network that the nodes are in, for further containers."""
        network = self._given_network or self._network
        if network is None:
            raise RuntimeError("the cluster is not started")
        return network

    def servers_of(self, listener: str) -> str:
        """Return the addresses of one of ``listeners``, by its name."""
        return self._servers[listener]

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
        self._servers = {}
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

        names = ["HOST", *(listener.name for listener in self._listeners)]
        ports = free_ports(self._size * len(names))
        if self._given_network is None:
            self._network = Network().create()
        for node_id in range(1, self._size + 1):
            own = dict(zip(names, ports[(node_id - 1) * len(names) :], strict=False))
            self._containers[node_id] = self._container(node_id, own, self.network)
            self._containers[node_id].start()
        for number, name in enumerate(names):
            of_listener = ports[number :: len(names)]
            self._servers[name] = ",".join(f"127.0.0.1:{port}" for port in of_listener)
        self._bootstrap_servers = self._servers["HOST"]
        try:
            self._wait_until_listed(set(self._containers))
        except ClusterStartError as error:
            raise ClusterStartError(f"{error}\n{self._logs()}") from None

    def _container(
        self, node_id: int, ports: Mapping[str, int], network: Network
    ) -> DockerContainer:
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(f"{self._image}:{self.version}")
        environment = node_environment(
            node_id, self._size, ports, self._listeners, configs=self._configs
        )
        for name, value in environment.items():
            container.with_env(name, value)
        # Ports are chosen before the start, because a broker advertises them.
        published = cast("dict[str, Any]", container.ports)
        for port in ports.values():
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


def node_environment(
    node_id: int,
    nodes: int,
    ports: Mapping[str, int],
    listeners: Sequence[DockerListener] = (),
    *,
    configs: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What the image's start script turns into server.properties.

    Args:
        ports: that of HOST and of each of ``listeners``, by their names; the same in the container
            and outside.
        configs: further broker properties by Kafka's names.
    """
    voters = ",".join(f"{i}@kafka-{i}:{_CONTROLLER_PORT}" for i in range(1, nodes + 1))
    replicas, in_sync = str(min(3, nodes)), str(min(2, nodes))
    security = {
        "INTERNAL": "PLAINTEXT",
        "CONTROLLER": "PLAINTEXT",
        "HOST": "PLAINTEXT",
        **{listener.name: listener.security for listener in listeners},
    }
    from_host = [f"{name}://127.0.0.1:{port}" for name, port in ports.items()]
    advertised = [f"INTERNAL://kafka-{node_id}:{_INTERNAL_PORT}", *from_host]
    listening = [
        f"INTERNAL://:{_INTERNAL_PORT}",
        f"CONTROLLER://:{_CONTROLLER_PORT}",
        *(f"{name}://:{port}" for name, port in ports.items()),
    ]
    return {
        "CLUSTER_ID": _CLUSTER_ID,
        "KAFKA_NODE_ID": str(node_id),
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": voters,
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
        "KAFKA_LISTENERS": ",".join(listening),
        "KAFKA_ADVERTISED_LISTENERS": ",".join(advertised),
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": ",".join(
            f"{name}:{protocol}" for name, protocol in security.items()
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
        **{key: value for listener in listeners for key, value in listener.environment().items()},
        **{environment_name(key): value for key, value in (configs or {}).items()},
    }


def environment_name(key: str) -> str:
    """Return the variable that the image makes a broker property of."""
    return "KAFKA_" + key.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def _engine_error() -> type[Exception]:
    from docker.errors import DockerException

    return cast("type[Exception]", DockerException)
