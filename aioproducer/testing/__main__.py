"""Kafka at hand: `python -m aioproducer.testing where | up | fetch`."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TextIO

from aioproducer.testing import maven
from aioproducer.testing.cluster import ClusterStartError, KafkaUnavailableError
from aioproducer.testing.registry import registry_jar
from aioproducer.testing.releases import RELEASES
from aioproducer.testing.where import BOOTSTRAP_VARIABLE, VERSIONS, start_kafka

_ENDING = {signal.SIGINT, signal.SIGTERM}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m aioproducer.testing", description=__doc__)
    parser.add_argument(
        "command",
        choices=("where", "up", "fetch"),
        help="say which Kafka there is, keep one running, or download all jars beforehand",
    )
    parser.add_argument("--kafka-version", choices=VERSIONS, default=None)
    parser.add_argument("--nodes", type=int, default=3)
    arguments = parser.parse_args()
    try:
        if arguments.command == "fetch":
            _fetch()
        else:
            _run(arguments.kafka_version, arguments.nodes, stay=arguments.command == "up")
    except (KafkaUnavailableError, ClusterStartError) as error:
        _say(str(error), sys.stderr)
        return 1
    return 0


def _fetch() -> None:
    for release in RELEASES.values():
        _say(f"Kafka {release.version}: {maven.jars(release.artifacts)}")
    _say(f"the schema registry: {registry_jar()}")


def _run(version: str | None, nodes: int, *, stay: bool) -> None:
    found = start_kafka(version, nodes)
    try:
        for reason in found.passed_over:
            _say(f"passed over: {reason}")
        _say(found.cluster.describe())
        if stay:
            _say(f"{BOOTSTRAP_VARIABLE}={found.cluster.bootstrap_servers}")
            # Blocked first: a signal that Python handles is not waited for.
            signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
            signal.sigwait(_ENDING)
    finally:
        found.cluster.stop()


def _say(line: str, stream: TextIO = sys.stdout) -> None:
    stream.write(f"{line}\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
