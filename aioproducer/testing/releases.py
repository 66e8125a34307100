"""Which jars make which release of Kafka, and how its classes are called."""

from __future__ import annotations

from dataclasses import dataclass

from aioproducer.testing.maven import Artifact

CURRENT = "4.3.1"

_LOGGING = Artifact("org.slf4j:slf4j-simple:1.7.36")
# Other slf4j bindings would win or lose by the order of the class path and are silent unless
# configured: a broker that cannot start must say why.
_NO_OTHER_LOGGING = (
    "org.slf4j:slf4j-reload4j",
    "org.slf4j:slf4j-log4j12",
    "ch.qos.logback:logback-classic",
)


@dataclass(frozen=True, slots=True)
class Release:
    """One release of Kafka as it runs here."""

    version: str
    artifacts: tuple[Artifact, ...]
    needs_zookeeper: bool
    dump_log_class: str


def _kraft(version: str, dump_log_class: str) -> Release:
    artifacts = (
        Artifact(f"org.apache.kafka:kafka_2.13:{version}", _NO_OTHER_LOGGING),
        Artifact(f"org.apache.kafka:kafka-tools:{version}", _NO_OTHER_LOGGING),
        _LOGGING,
    )
    return Release(version, artifacts, False, dump_log_class)


def _with_zookeeper(version: str, scala: str, *pins: Artifact) -> Release:
    broker = Artifact(f"org.apache.kafka:kafka_{scala}:{version}", _NO_OTHER_LOGGING)
    return Release(version, (broker, *pins, _LOGGING), True, "kafka.tools.DumpLogSegments")


# ZooKeeper's 3.4.13 client cannot read the unresolved addresses that Java 14 and newer print.
_READABLE_ZOOKEEPER = Artifact("org.apache.zookeeper:zookeeper:3.4.10", _NO_OTHER_LOGGING)

RELEASES = {
    release.version: release
    for release in (
        _with_zookeeper("2.1.1", "2.12", _READABLE_ZOOKEEPER),
        _with_zookeeper("2.8.2", "2.13"),
        _kraft("3.9.1", "kafka.tools.DumpLogSegments"),
        _kraft(CURRENT, "org.apache.kafka.tools.DumpLogSegments"),
    )
}
