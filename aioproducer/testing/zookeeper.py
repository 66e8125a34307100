"""Kafka as it was before KRaft: brokers beside one ZooKeeper, for releases up to 2.8."""

from __future__ import annotations

from typing import ClassVar

from aioproducer.testing.cluster import ClusterStartError, wait_until
from aioproducer.testing.java_cluster import (
    START_SECONDS,
    JavaCluster,
    Node,
    accepts_connections,
    free_ports,
)
from aioproducer.testing.supervision import Supervisor, tail


class ZookeeperCluster(JavaCluster):
    """Real brokers of an old release."""

    kind: ClassVar[str] = "zookeeper"
    _zookeeper_port = 0

    def _prepare(self, supervisor: Supervisor) -> None:
        (self._zookeeper_port,) = free_ports(1)
        self._start_zookeeper(supervisor)
        for node in self._nodes.values():
            self._write_properties(node)

    def _properties(self, node: Node) -> dict[str, str]:
        listener = f"PLAINTEXT://127.0.0.1:{node.port}"
        return {
            "broker.id": str(node.node_id),
            "zookeeper.connect": f"127.0.0.1:{self._zookeeper_port}",
            # A broker that starts on a busy machine ends where its session does.
            "zookeeper.session.timeout.ms": "30000",
            "zookeeper.connection.timeout.ms": "60000",
            "listeners": listener,
            "advertised.listeners": listener,
        }

    def _start_zookeeper(self, supervisor: Supervisor) -> None:
        directory = supervisor.directory / "zookeeper"
        directory.mkdir()
        properties = directory / "zookeeper.properties"
        properties.write_text(
            f"dataDir={directory / 'data'}\n"
            f"clientPort={self._zookeeper_port}\n"
            "clientPortAddress=127.0.0.1\n"
            "maxClientCnxns=0\n"
            "admin.enableServer=false\n"
            # No session is longer than twenty of these.
            "tickTime=2000\n"
        )
        command = self._java_command(
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            # ZooKeeper 3.4 looks for log4j's classes in its JMX support and dies without them.
            "-Dzookeeper.jmx.log4j.disable=true",
            "-Dzookeeper.sasl.client=false",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(properties),
        )
        log = directory / "output.log"
        process = supervisor.spawn(command, log, cwd=directory)

        def listens() -> bool:
            if process.poll() is not None:
                raise ClusterStartError(f"ZooKeeper ended:\n{tail(log)}")
            return accepts_connections(self._zookeeper_port)

        wait_until(listens, START_SECONDS, "ZooKeeper listens")
