"""Kafka without ZooKeeper: every node is broker and controller."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from aioproducer.testing import maven
from aioproducer.testing.cluster import ClusterStartError
from aioproducer.testing.java import java_banner
from aioproducer.testing.java_cluster import STOP_SECONDS, JavaCluster, Node, free_ports
from aioproducer.testing.releases import CURRENT
from aioproducer.testing.supervision import Supervisor, tail


class KraftCluster(JavaCluster):
    """A real KRaft cluster, ready in about four seconds with three nodes.

    Args:
        format_arguments: further arguments for `StorageTool format`, such as `--add-scram`.
    """

    kind: ClassVar[str] = "kraft"

    def __init__(
        self,
        nodes: int = 3,
        version: str = CURRENT,
        *,
        configs: Mapping[str, str] | None = None,
        jvm_flags: Sequence[str] = (),
        format_arguments: Sequence[str] = (),
        measured: bool = False,
    ) -> None:
        super().__init__(nodes, version, configs=configs, jvm_flags=jvm_flags, measured=measured)
        self._format_arguments = tuple(format_arguments)
        self._controller_ports: dict[int, int] = {}
        self._new_archive: Path | None = None

    def stop(self) -> None:
        try:
            self._keep_class_archive()
        finally:
            super().stop()

    def _prepare(self, supervisor: Supervisor) -> None:
        ports = free_ports(self._size)
        self._controller_ports = dict(zip(self._nodes, ports, strict=True))
        for node in self._nodes.values():
            self._write_properties(node)
        first, *others = self._nodes.values()
        self._format(supervisor, first)
        for node in others:
            _copy_formatted(first, node)
        if not self._measured and not self._class_archive().exists():
            self._new_archive = supervisor.directory / "kafka.jsa"

    def _properties(self, node: Node) -> dict[str, str]:
        voters = ",".join(f"{i}@127.0.0.1:{port}" for i, port in self._controller_ports.items())
        plaintext = f"PLAINTEXT://127.0.0.1:{node.port}"
        controller = f"CONTROLLER://127.0.0.1:{self._controller_ports[node.node_id]}"
        return {
            "process.roles": "broker,controller",
            "node.id": str(node.node_id),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": f"{plaintext},{controller}",
            "advertised.listeners": plaintext,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "share.coordinator.state.topic.replication.factor": str(min(3, self._size)),
            "share.coordinator.state.topic.min.isr": str(min(2, self._size)),
            # A dead node is noticed after six seconds instead of nine and more; one that gets no
            # CPU for three, on a busy machine, is not dead.
            "broker.session.timeout.ms": "6000",
            "broker.heartbeat.interval.ms": "500",
            # A broker that is not registered by then ends: a minute otherwise.
            "initial.broker.registration.timeout.ms": "240000",
        }

    def _format(self, supervisor: Supervisor, node: Node) -> None:
        command = self._java_command(
            *self._jvm_flags(node),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            _random_id(),
            "-c",
            str(node.properties),
            *self._format_arguments,
        )
        log = node.directory / "format.log"
        process = supervisor.spawn(command, log)
        try:
            failed = process.wait(timeout=STOP_SECONDS) != 0
        except subprocess.TimeoutExpired:
            failed = True
        if failed:
            raise ClusterStartError(f"formatting node {node.node_id} failed:\n{tail(log)}")

    def _jvm_flags(self, node: Node) -> list[str]:
        flags = super()._jvm_flags(node)
        if self._measured:
            return flags
        if self._new_archive is None:
            return [*flags, f"-XX:SharedArchiveFile={self._class_archive()}"]
        if self._writes_archive(node):
            return [*flags, f"-XX:ArchiveClassesAtExit={self._new_archive}"]
        return flags

    def _class_archive(self) -> Path:
        # Valid for one Java build and one class path; with another one Java would start slowly.
        key = hashlib.sha256(f"{self._jars}\n{java_banner()}".encode()).hexdigest()[:16]
        return maven.cache_directory() / "class-archives" / f"{key}.jsa"

    def _writes_archive(self, node: Node) -> bool:
        return node.process is None and node.node_id == max(self._nodes)

    def _keep_class_archive(self) -> None:
        """Keep the class data archive of a machine's first cluster, for all later ones.

        Java writes it on a clean exit, so one node is ended gracefully while the others still hold
        the quorum that its controlled shutdown asks.
        """
        archive, self._new_archive = self._new_archive, None
        if archive is None or not self._nodes or not self._nodes[max(self._nodes)].is_running:
            return
        try:
            self.terminate(max(self._nodes))
        except subprocess.TimeoutExpired:
            return
        if archive.exists():
            target = self._class_archive()
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f".{uuid.uuid4().hex}.jsa")
            shutil.copyfile(archive, aside)
            aside.rename(target)


def _random_id() -> str:
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # StorageTool would take it for an option.
        if not text.startswith("-"):
            return text


def _copy_formatted(source: Node, target: Node) -> None:
    # Formatting costs a second of Java per node, and differs in two lines.
    shutil.copytree(source.data, target.data)
    meta = target.data / "meta.properties"
    lines = []
    for line in meta.read_text().splitlines():
        key, _, _ = line.partition("=")
        own = {"node.id": str(target.node_id), "directory.id": _random_id()}.get(key)
        lines.append(line if own is None else f"{key}={own}")
    meta.write_text("\n".join(lines) + "\n")
