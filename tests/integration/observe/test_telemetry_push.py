"""Metrics pushed to a real broker, as OpenTelemetry's own classes read what its receiver gets."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from aioproducer import AsyncProducer
from aioproducer.testing.kraft import KraftCluster
from tests.conftest import skip_or_fail

pytestmark = pytest.mark.own_cluster

SOURCE = Path(__file__).parent / "TelemetryReceiver.java"
SENT = "org.apache.kafka.producer.record.send.total"
PATIENCE = 90.0


class CollectingCluster(KraftCluster):
    """A broker with a receiver for the metrics of clients, compiled beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "pushes.tsv"
        super().__init__(
            1,
            configs={"metric.reporters": "TelemetryReceiver"},
            jvm_flags=[f"-Dtelemetry.file={self.file}"],
        )

    def _java_command(self, *arguments: str) -> list[str]:
        command = super()._java_command(*arguments)
        at = command.index("-cp") + 1
        if not (self.folder / "TelemetryReceiver.class").exists():
            self._compile(command[at])
        command[at] = os.pathsep.join((command[at], str(self.folder)))
        return command

    def _compile(self, class_path: str) -> None:
        command = ["javac", "-cp", class_path, "-d", str(self.folder), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr

    def subscribe(self, name: str, metrics: str, interval_ms: int, *more: str) -> None:
        """Ask clients for metrics, as an operator would."""
        command = super()._java_command(
            "org.apache.kafka.tools.ClientMetricsCommand",
            *("--bootstrap-server", self.bootstrap_servers),
            *("--alter", "--name", name, "--metrics", metrics),
            *("--interval", str(interval_ms), *more),
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout + done.stderr

    def pushes(self, client_id: str) -> list[Push]:
        text = self.file.read_text() if self.file.exists() else ""
        # The last line may still be being written.
        whole, _, _ = text.rpartition("\n")
        found = [Push.of(line) for line in whole.splitlines()]
        return [push for push in found if push.client_id == client_id]


class Push(NamedTuple):
    client_id: str
    instance: str
    terminating: bool
    metrics: dict[str, Any]

    @classmethod
    def of(cls, line: str) -> Push:
        client_id, instance, terminating, content_type, data = line.split("\t")
        assert content_type == "OTLP"
        message = MetricsData.FromString(bytes.fromhex(data))
        metrics = {
            metric.name: metric
            for resource in message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        return cls(client_id, instance, terminating == "true", metrics)

    @property
    def sent(self) -> int:
        points = self.metrics[SENT].sum.data_points
        return sum(point.as_int for point in points)


@pytest.fixture(scope="module")
def collecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectingCluster]:
    if shutil.which("javac") is None:
        skip_or_fail("toolchains", "javac is not installed: no receiver can be compiled")
    with CollectingCluster(tmp_path_factory.mktemp("telemetry")) as cluster:
        cluster.create_topic("orders", 1)
        cluster.subscribe("sends", "org.apache.kafka.producer.record.", 300)
        yield cluster


async def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        await asyncio.sleep(0.05)


async def test_a_broker_that_asks_gets_what_it_asked_for(collecting: CollectingCluster) -> None:
    name = f"pushing-{uuid.uuid4().hex[:8]}"
    servers = collecting.bootstrap_servers
    async with AsyncProducer(servers, client_id=name) as producer:
        await asyncio.gather(*(producer.send("orders", b"%d" % n) for n in range(100)))
        instance = await producer.client_instance_id(timeout=PATIENCE)
        await eventually(lambda: len(collecting.pushes(name)) >= 3, "three pushes")
        await asyncio.gather(*(producer.send("orders", b"%d" % n) for n in range(50)))
    pushes = collecting.pushes(name)
    assert [push.terminating for push in pushes] == [False] * (len(pushes) - 1) + [True]
    # Kafka writes a UUID in base64.
    assert len({push.instance for push in pushes}) == 1
    assert uuid.UUID(bytes=_from_base64(pushes[0].instance)) == instance
    assert sum(push.sent for push in pushes) == 150, "sums since the push before"
    for push in pushes:
        assert all(each.startswith("org.apache.kafka.producer.record.") for each in push.metrics)
    # The first push may have come before the first record.
    told = {each for push in pushes for each in push.metrics}
    assert "org.apache.kafka.producer.record.queue.time.avg" in told


async def test_a_subscription_that_changes_is_followed(collecting: CollectingCluster) -> None:
    """The broker refuses the old one; the producer asks at once what is wanted now."""
    name = f"changing-{uuid.uuid4().hex[:8]}"
    async with AsyncProducer(collecting.bootstrap_servers, client_id=name) as producer:
        await producer.send("orders", b"v")
        await eventually(lambda: collecting.pushes(name), "a push")
        assert "org.apache.kafka.producer.batch.size.avg" not in collecting.pushes(name)[0].metrics
        await asyncio.to_thread(
            collecting.subscribe,
            *(f"more-{name}", "org.apache.kafka.producer.batch.", 300),
            *("--match", f"client_id={name}"),
        )

        def followed() -> bool:
            metrics = collecting.pushes(name)[-1].metrics
            return "org.apache.kafka.producer.batch.size.avg" in metrics and SENT in metrics

        await eventually(followed, "a push of what is wanted now")
    pushes = collecting.pushes(name)
    assert len({push.instance for push in pushes}) == 1
    assert sum(push.sent for push in pushes) == 1, "nothing is counted twice over the change"


async def test_switched_off_nothing_is_pushed(collecting: CollectingCluster) -> None:
    name = f"silent-{uuid.uuid4().hex[:8]}"
    options = {"client_id": name, "enable_metrics_push": False}
    async with AsyncProducer(collecting.bootstrap_servers, config=options) as producer:
        await producer.send("orders", b"v")
        await asyncio.sleep(1)
    assert not collecting.pushes(name)


def _from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
