"""The cluster of a benchmark, in a process of its own, so that its CPU time is not a client's.

    with ClusterProcess("embedded") as cluster:
        cluster.create_topic("t", 12)

Requests and answers are lines of JSON. The child ends with the end of its standard input, hence
also when its owner is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from aioproducer.testing.judge import end_offsets
from aioproducer.testing.where import BOOTSTRAP_VARIABLE, EMBEDDED, start_kafka

Source = Literal["stand-in", "embedded", "real"]

_STOP_SECONDS = 60
_COUNT_SECONDS = 15


class ClusterError(RuntimeError):
    """The cluster cannot be had, or refused a request."""


class ChildCluster:
    """A cluster in a child that answers each line with a line of JSON."""

    command: Sequence[str]
    environment: Mapping[str, str] | None = None

    def __init__(self) -> None:
        self.bootstrap_servers = ""
        self.description = ""

    def _ask(self, *request: str | int) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(self._line(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _line(self, request: tuple[str | int, ...]) -> str:
        return " ".join(map(str, request))

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ClusterError("the process of the cluster has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise ClusterError(answer["error"])
        return answer["result"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        )
        try:
            self.bootstrap_servers, self.description = self._answer()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class ClusterProcess(ChildCluster):
    """A cluster to measure against: embedded, real, or the one at ``bootstrap_servers``."""

    def __init__(
        self, source: Source, *, nodes: int = 3, bootstrap_servers: str | None = None
    ) -> None:
        super().__init__()
        environment = dict(os.environ)
        if bootstrap_servers is not None:
            source = "real"
            environment[BOOTSTRAP_VARIABLE] = bootstrap_servers
        self.command = [sys.executable, "-m", "benchmarks.cluster", source, str(nodes)]
        self.environment = environment

    def _line(self, request: tuple[str | int, ...]) -> str:
        return json.dumps(request)

    def create_topic(self, name: str, partitions: int) -> None:
        self._ask("create", name, partitions)

    def delete_topic(self, name: str) -> None:
        self._ask("delete", name)

    def record_count(self, topic: str) -> int:
        """Return the sum of the end offsets."""
        count: int = self._ask("count", topic)
        return count

    def check(self) -> None:
        """Real brokers refuse what is wrong; nothing is to be asked afterwards."""


def serve(source: str, nodes: int) -> None:
    """Start the cluster and answer requests until nobody asks any more."""
    try:
        if source == EMBEDDED:
            cluster = start_kafka(EMBEDDED, nodes).cluster
        else:
            cluster = start_kafka(None, nodes, measured=True, require_real=True).cluster
    except Exception as error:  # noqa: BLE001 - whatever it is, the owner has to hear of it
        _say(error=str(error))
        return
    try:
        _say(result=[cluster.bootstrap_servers, cluster.describe()])
        for line in sys.stdin:
            request, topic, *rest = json.loads(line)
            try:
                if request == "create":
                    cluster.create_topic(topic, *rest)
                elif request == "delete" and cluster.is_real:
                    cluster.delete_topic(topic)
                elif request == "count":
                    _say(result=_count(cluster.bootstrap_servers, topic))
                    continue
            except Exception as error:  # noqa: BLE001 - as above
                _say(error=f"{request} {topic}: {error}")
                continue
            _say(result=None)
    finally:
        cluster.stop()


def _count(bootstrap_servers: str, topic: str) -> int:
    from confluent_kafka import KafkaException

    deadline = time.monotonic() + _COUNT_SECONDS
    while True:
        try:
            return sum(end_offsets(bootstrap_servers, topic).values())
        except KafkaException:
            # A broker may not know yet that it leads a partition that was just created.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _say(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Control-C reaches the whole process group; the owner closes the pipe when it is ready.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.argv[1], int(sys.argv[2]))
