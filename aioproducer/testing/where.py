"""Where Kafka comes from: the one answer that tests, demo, benchmark and examples share.

1. The cluster that AIOPRODUCER_BOOTSTRAP names; unreachable is a failure.
2. `apache/kafka` containers, where a Docker engine answers.
3. Kafka's own jars as child processes, where there are Java 17 and Maven.
4. The embedded cluster.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from aioproducer.testing import admin
from aioproducer.testing.cluster import (
    ClusterStartError,
    KafkaCluster,
    KafkaUnavailableError,
    wait_until,
)
from aioproducer.testing.docker import DockerCluster
from aioproducer.testing.embedded import EmbeddedCluster
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.kraft import KraftCluster
from aioproducer.testing.releases import CURRENT, RELEASES
from aioproducer.testing.zookeeper import ZookeeperCluster

BOOTSTRAP_VARIABLE = "AIOPRODUCER_BOOTSTRAP"
REQUIRE_VARIABLE = "REQUIRE_KAFKA"
EMBEDDED = "embedded"
VERSIONS = (*RELEASES, EMBEDDED)

REACHABLE_SECONDS = 15.0


class NamedCluster(KafkaCluster):
    """Somebody else's cluster: used, never started nor stopped."""

    kind: ClassVar[str] = "named"

    def __init__(self, bootstrap_servers: str) -> None:
        self.version = "unknown"
        self._named = bootstrap_servers

    def start(self) -> None:
        try:
            wait_until(
                lambda: bool(admin.broker_ids(self._named)), REACHABLE_SECONDS, "a broker answers"
            )
        except ClusterStartError as error:
            raise ClusterStartError(f"{BOOTSTRAP_VARIABLE}={self._named}: {error}") from None
        self._bootstrap_servers = self._named

    def stop(self) -> None:
        self._bootstrap_servers = ""

    def describe(self) -> str:
        return f"the cluster at {self._named}, named by {BOOTSTRAP_VARIABLE}"


@dataclass(frozen=True, slots=True)
class Found:
    """A started cluster, and why the better ones were not to be had."""

    cluster: KafkaCluster
    passed_over: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether it is a real cluster that can do what the current release can."""
        return self.cluster.is_real and self.cluster.version in (CURRENT, "unknown")


def candidates(
    version: str | None = None, nodes: int = 3, *, measured: bool = False
) -> list[KafkaCluster]:
    """The clusters to try, best first; none of them is started.

    Args:
        version: a release or "embedded", and nothing else is tried; the best of all when None.
        measured: real nodes are tuned for throughput instead of for a quick start.
    """
    if version == EMBEDDED:
        return [EmbeddedCluster(nodes)]
    if version is not None:
        return [java_cluster(version, nodes, measured=measured)]
    named = os.environ.get(BOOTSTRAP_VARIABLE)
    if named:
        return [NamedCluster(named)]
    return [
        DockerCluster(nodes),
        KraftCluster(nodes, measured=measured),
        EmbeddedCluster(nodes),
    ]


def java_cluster(version: str, nodes: int = 3, *, measured: bool = False) -> JavaCluster:
    """Real brokers of one release as child processes; not started yet."""
    if version not in RELEASES:
        raise ValueError(f"unknown release {version!r}: one of {', '.join(RELEASES)}")
    if RELEASES[version].needs_zookeeper:
        return ZookeeperCluster(nodes, version, measured=measured)
    return KraftCluster(nodes, version, measured=measured)


def start_kafka(
    version: str | None = None,
    nodes: int = 3,
    *,
    measured: bool = False,
    require_real: bool | None = None,
) -> Found:
    """Start the best cluster that can be had here. The caller stops it.

    Args:
        require_real: refuse the embedded cluster unless it is asked for by name;
            REQUIRE_KAFKA=1 in the environment when None.

    Raises:
        KafkaUnavailableError: none can be had; the message names what is missing for each.
        ClusterStartError: the cluster that should be there does not answer or come up.
    """
    if require_real is None:
        require_real = os.environ.get(REQUIRE_VARIABLE, "") not in ("", "0")
    passed_over: list[str] = []
    for cluster in candidates(version, nodes, measured=measured):
        if require_real and not cluster.is_real and version is None:
            passed_over.append(f"{cluster.kind}: {REQUIRE_VARIABLE} asks for a real cluster")
            continue
        try:
            cluster.start()
        except KafkaUnavailableError as error:
            passed_over.append(f"{cluster.kind}: {error}")
            continue
        return Found(cluster, tuple(passed_over))
    raise KafkaUnavailableError("no Kafka here\n" + "\n".join(f"  {each}" for each in passed_over))
