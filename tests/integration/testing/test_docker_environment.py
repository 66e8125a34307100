"""What containers are told makes a broker: tried with the image's own program, without an engine.

The image hands its environment to `kafka.docker.KafkaDockerWrapper`, which writes server.properties
and formats the disk. That class is in Kafka's jar; the images' shell script before it is not run.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess

import pytest

from aioproducer import AsyncProducer, AuthenticationError
from aioproducer.testing import DockerListener, KafkaUnavailableError, KraftCluster
from aioproducer.testing.docker import node_environment
from aioproducer.testing.java_cluster import Node, free_ports
from aioproducer.testing.supervision import Supervisor
from tests.conftest import skip_or_fail

pytestmark = pytest.mark.own_cluster
PATIENCE = 120
EXTERNAL = DockerListener("EXTERNAL", users={"alice": "alice secret", "bob": "word"})


class LikeAContainer(KraftCluster):
    """One node that is set up as the image sets it up."""

    def __init__(self) -> None:
        super().__init__(1)
        self.external = ""

    def _prepare(self, supervisor: Supervisor) -> None:
        (node,) = self._nodes.values()
        internal, controller, external = free_ports(3)
        self.external = f"127.0.0.1:{external}"
        environment = node_environment(
            1, 1, {"HOST": node.port, "EXTERNAL": external}, [EXTERNAL],
            configs={"log.dirs": str(node.data), "num.io.threads": "3"},
        )  # fmt: skip
        # Where containers have names and networks of their own, one machine has ports.
        here = {"kafka-1": "127.0.0.1", ":19092": f":{internal}", ":9093": f":{controller}"}
        for name, value in environment.items():
            if "LISTENERS" in name or "VOTERS" in name:
                environment[name] = re.sub(
                    r"kafka-1|:19092\b|:9093\b", lambda there: here[there[0]], value
                )
        self._set_up(node, environment)

    def _set_up(self, node: Node, environment: dict[str, str]) -> None:
        defaults, mounted = node.directory / "defaults", node.directory / "mounted"
        defaults.mkdir()
        mounted.mkdir()
        for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
            (defaults / name).write_text("")
        command = self._java_command(
            "-Xmx256m", "-XX:TieredStopAtLevel=1", "kafka.docker.KafkaDockerWrapper", "setup",
            "--default-configs-dir", str(defaults), "--mounted-configs-dir", str(mounted),
            "--final-configs-dir", str(node.directory),
        )  # fmt: skip
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_broker_of_that_environment_lets_in_whom_it_should() -> None:

    cluster = LikeAContainer()
    try:
        cluster.start()
    except KafkaUnavailableError as error:
        skip_or_fail("kafka", str(error))
    try:
        told = cluster.node(1).properties.read_text()
        assert "num.io.threads=3" in told
        asyncio.run(_send(cluster), debug=True)
    finally:
        cluster.stop()


async def _send(cluster: LikeAContainer) -> None:
    async with asyncio.timeout(PATIENCE), AsyncProducer(cluster.bootstrap_servers) as producer:
        assert (await producer.send("orders", b"open")).offset == 0
    login = {"security_protocol": EXTERNAL.security, "sasl_mechanism": "PLAIN"}
    for user, word in EXTERNAL.users.items():
        async with (
            asyncio.timeout(PATIENCE),
            AsyncProducer(
                cluster.external, sasl_username=user, sasl_password=word, config=login
            ) as producer,
        ):
            assert (await producer.send("orders", b"let in")).offset > 0
    async with (
        asyncio.timeout(PATIENCE),
        AsyncProducer(
            cluster.external, sasl_username="alice", sasl_password="wrong", config=login
        ) as producer,
    ):
        with pytest.raises(AuthenticationError):
            await producer.send("orders", b"not let in")
