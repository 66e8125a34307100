"""A container's end: SIGTERM to a real server, and nothing that it had taken is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from aioproducer.testing.java_cluster import free_ports
from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory

# Nothing here is quick on a slow machine.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]


def test_sigterm_drains_what_the_outbox_holds(
    bootstrap: str, topic: TopicFactory, tmp_path: Path
) -> None:
    name = topic()
    # A connection of somebody else's could take one that the kernel gives.
    (port,) = free_ports(1)
    log = tmp_path / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "--port", str(port)),
                "tests.integration.integrations.served_app:app",
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BOOTSTRAP": bootstrap, "TOPIC": name},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, server)
        for number in range(50):
            assert httpx.post(f"{url}/clicks/{number}", timeout=60).status_code == 202
        assert httpx.get(f"{url}/health/ready", timeout=60).json()["outbox_records"] == 50
        assert read_topic(bootstrap, name) == []
        server.send_signal(signal.SIGTERM)
        server.wait(200)
    finally:
        server.kill()
        server.wait()
    assert "Application shutdown complete" in log.read_text()
    assert [record.value for record in read_topic(bootstrap, name)] == [
        b"%d" % n for n in range(50)
    ]


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert server.poll() is None
        try:
            if httpx.get(f"{url}/health/ready", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the app never became ready")
