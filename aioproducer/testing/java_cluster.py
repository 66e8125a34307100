"""Real Kafka brokers as child processes: what KRaft and ZooKeeper clusters have in common."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aioproducer.testing import admin, maven
from aioproducer.testing.cluster import (
    ClusterStartError,
    KafkaCluster,
    KafkaUnavailableError,
    wait_until,
)
from aioproducer.testing.java import REQUIRED_JAVA, java_program, java_release
from aioproducer.testing.releases import CURRENT, RELEASES, Release
from aioproducer.testing.supervision import Supervisor, tail

START_SECONDS = 180.0
STOP_SECONDS = 120.0
_START_ATTEMPTS = 3
_MAY_PASS = ("BindException", "SessionExpiredException")

_JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


@dataclass(slots=True)
class Node:
    """One broker process: where it listens and works."""

    node_id: int
    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.directory / "output.log"

    @property
    def properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class JavaCluster(KafkaCluster):
    """Brokers on loopback in a temporary directory, ended with this process however it ends.

    Args:
        nodes: how many brokers; their ids are 1, 2, ...
        version: one of `releases.RELEASES`.
        configs: further broker properties, for every node.
        jvm_flags: further flags for every node.
        measured: let Java compile fully and give it more memory, for throughput measurements;
            otherwise everything is chosen for a quick start.
    """

    def __init__(
        self,
        nodes: int = 3,
        version: str = CURRENT,
        *,
        configs: Mapping[str, str] | None = None,
        jvm_flags: Sequence[str] = (),
        measured: bool = False,
    ) -> None:
        self.version = version
        self._release = RELEASES[version]
        self._size = nodes
        self._configs = dict(configs or {})
        self._extra_flags = tuple(jvm_flags)
        self._measured = measured
        self._jars = Path()
        self._supervisor: Supervisor | None = None
        self._nodes: dict[int, Node] = {}

    @property
    def node_ids(self) -> tuple[int, ...]:
        return tuple(self._nodes)

    @property
    def release(self) -> Release:
        return self._release

    def node(self, node_id: int) -> Node:
        return self._nodes[node_id]

    def describe(self) -> str:
        plural = "s" if self._size > 1 else ""
        return (
            f"Apache Kafka {self.version}, {self._size} {self.kind} node{plural}"
            f" on loopback (Java {java_release()})"
        )

    def start(self) -> None:
        require_java()
        self._jars = maven.jars(self._release.artifacts)
        for attempt in range(_START_ATTEMPTS):
            try:
                self._start_once()
                return
            except ClusterStartError as error:
                self.stop()
                # Another process may take a port between our looking and the broker's binding.
                may_pass = any(words in str(error) for words in _MAY_PASS)
                if not may_pass or attempt == _START_ATTEMPTS - 1:
                    raise
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        self._nodes = {}
        self._bootstrap_servers = ""
        if self._supervisor is not None:
            supervisor, self._supervisor = self._supervisor, None
            supervisor.close()

    def kill(self, node_id: int) -> None:
        process = self._running(node_id)
        process.kill()
        process.wait(timeout=STOP_SECONDS)

    def terminate(self, node_id: int) -> None:
        process = self._running(node_id)
        process.terminate()
        process.wait(timeout=STOP_SECONDS)

    def pause(self, node_id: int) -> None:
        self._running(node_id).send_signal(signal.SIGSTOP)

    def resume(self, node_id: int) -> None:
        self._running(node_id).send_signal(signal.SIGCONT)

    def restart(self, node_id: int) -> None:
        node = self._nodes[node_id]
        if node.is_running:
            raise RuntimeError(f"node {node_id} is running")
        self._launch(node)
        self._wait_until_listening([node])
        self._wait_until_listed([node])

    def restore(self) -> None:
        for node in self._nodes.values():
            if node.is_running:
                self.resume(node.node_id)
        # All at once: with a majority down, no node is listed before the others are back too.
        ended = [node for node in self._nodes.values() if not node.is_running]
        for node in ended:
            self._launch(node)
        if ended:
            self._wait_until_listening(ended)
        self._wait_until_listed(list(self._nodes.values()))
        self.wait_in_sync()

    def wait_in_sync(self, timeout: float = START_SECONDS) -> None:
        """Wait until each replica of each partition is in sync and each partition has a leader."""
        # Each node by itself: one that is behind tells of a state that has passed.
        running = [f"127.0.0.1:{node.port}" for node in self._nodes.values() if node.is_running]
        wait_until(
            lambda: all(admin.all_in_sync(address) for address in running),
            timeout,
            "all replicas in sync",
        )

    def run_tool(self, main_class: str, *arguments: str, timeout: float = 180.0) -> str:
        """Run a Java main class of this release to its end and return what it printed.

        Raises:
            RuntimeError: it ended with another code than 0; its output is in the message.
            subprocess.TimeoutExpired: it took longer than `timeout` seconds.
        """
        done = subprocess.run(
            self._java_command("-Xmx256m", "-XX:TieredStopAtLevel=1", main_class, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{main_class} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    @abstractmethod
    def _prepare(self, supervisor: Supervisor) -> None:
        """Write the nodes' files and start whatever they need to be there first."""

    @abstractmethod
    def _properties(self, node: Node) -> dict[str, str]:
        """The broker properties that differ by how the brokers find each other."""

    def _start_once(self) -> None:
        self._supervisor = supervisor = Supervisor()
        ports = free_ports(self._size)
        self._nodes = {
            node_id: Node(node_id, port, supervisor.directory / f"node-{node_id}")
            for node_id, port in enumerate(ports, start=1)
        }
        for node in self._nodes.values():
            node.directory.mkdir()
        self._prepare(supervisor)
        for node in self._nodes.values():
            self._launch(node)
        self._wait_until_listening(list(self._nodes.values()))
        self._bootstrap_servers = ",".join(f"127.0.0.1:{port}" for port in ports)
        self._wait_until_listed(list(self._nodes.values()))

    def _write_properties(self, node: Node) -> None:
        replicas = str(min(3, self._size))
        properties = {
            "log.dirs": str(node.data),
            "default.replication.factor": replicas,
            "min.insync.replicas": str(min(2, self._size)),
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": str(min(2, self._size)),
            # The defaults of 50 cost seconds and files.
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.num.partitions": "5",
            "group.initial.rebalance.delay.ms": "0",
            "log.cleaner.enable": "false",
            # Records with old timestamps would vanish under a reader.
            "log.retention.ms": "-1",
            "num.network.threads": "2",
            "num.io.threads": "4",
            # Otherwise 10 MB are reserved for each index file.
            "log.index.size.max.bytes": "1048576",
            **self._properties(node),
            **self._configs,
        }
        node.properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))

    def _launch(self, node: Node) -> None:
        assert self._supervisor is not None
        command = self._java_command(
            *self._jvm_flags(node), *self._extra_flags, "kafka.Kafka", str(node.properties)
        )
        node.process = self._supervisor.spawn(command, node.log, cwd=node.directory)

    def _jvm_flags(self, node: Node) -> list[str]:
        if self._measured:
            return ["-Xmx512m"]
        return ["-Xmx256m", "-XX:TieredStopAtLevel=1"]

    def _java_command(self, *arguments: str) -> list[str]:
        program = java_program()
        assert program is not None
        # Sorted and spelt out: a class data archive belongs to one exact class path.
        class_path = os.pathsep.join(str(jar) for jar in sorted(self._jars.glob("*.jar")))
        return [program, *_JVM_FLAGS, "-cp", class_path, *arguments]

    def _running(self, node_id: int) -> subprocess.Popen[bytes]:
        process = self._nodes[node_id].process
        if process is None or process.poll() is not None:
            raise RuntimeError(f"node {node_id} is not running")
        return process

    def _wait_until_listening(self, nodes: Sequence[Node]) -> None:
        self._wait_for_nodes(
            nodes,
            lambda: all(accepts_connections(node.port) for node in nodes),
            "every node listens",
        )

    def _wait_until_listed(self, nodes: Sequence[Node]) -> None:
        wanted = {node.node_id for node in nodes}
        self._wait_for_nodes(
            nodes,
            lambda: all(
                wanted <= admin.broker_ids(f"127.0.0.1:{node.port}")
                for node in self._nodes.values()
                if node.is_running
            ),
            "every node is listed",
        )

    def _wait_for_nodes(
        self, nodes: Sequence[Node], condition: Callable[[], bool], what: str
    ) -> None:
        def holds() -> bool:
            # A node that lost its port ends, although somebody listens there.
            for node in nodes:
                if not node.is_running:
                    raise ClusterStartError(f"node {node.node_id} ended")
            return condition()

        try:
            wait_until(holds, START_SECONDS, what)
        except ClusterStartError as error:
            logs = "\n".join(f"  node {node.node_id}:\n{tail(node.log)}" for node in nodes)
            raise ClusterStartError(f"{error}\n{logs}") from None


def require_java() -> None:
    """
    Raises:
        KafkaUnavailableError: there is no Java that can run Kafka 4.
    """
    release = java_release()
    if release is None:
        raise KafkaUnavailableError("Java is not installed")
    if release < REQUIRED_JAVA:
        raise KafkaUnavailableError(
            f"Java {release} is too old: {REQUIRED_JAVA} or newer is needed"
        )


def accepts_connections(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, outside the range that outgoing connections take theirs from.

    A port inside that range could be lost to any client while its broker is down for a restart.
    """
    chosen: list[int] = []
    candidates = random.SystemRandom()
    while len(chosen) < count:
        port = candidates.randrange(15000, _first_ephemeral_port())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in chosen:
            chosen.append(port)
    return chosen


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 32768
    return first if first > 16000 else 32768
