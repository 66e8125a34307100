"""The lab as its users start it: a process of its own, with uvicorn on a free port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from aioproducer.testing import KafkaCluster
from aioproducer.testing.java_cluster import free_ports
from examples.lab.service import BENCHMARK, EVENTS, ORDERS, PARTITIONS

ROOT = Path(__file__).parents[3]
PATIENCE = 240.0
# For how long a button of the lab waits for the cluster, unless that is to be away.
BUTTONS = 60


@contextmanager
def lab_on(bootstrap: str, folder: Path, *options: str) -> Iterator[str]:
    """Run the lab on a cluster that need not answer, and give its URL once it does itself."""
    # A connection of somebody else's could take one that the kernel gives.
    (port,) = free_ports(1)
    log = folder / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-m", "examples.lab"),
                *("--bootstrap", bootstrap, "--port", str(port), *options),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _serves(url) or process.poll() is not None, "the lab serves")
        assert process.poll() is None, log.read_text()
        yield url
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def _serves(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: object, what: str) -> None:
    """Wait until a function says so."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def lab(kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a lab on the cluster of this run, ready."""
    if not kafka.is_real:
        # Mock brokers let nobody create a topic through the protocol.
        for topic in (EVENTS, ORDERS, BENCHMARK):
            kafka.create_topic(topic, PARTITIONS)
    folder = tmp_path_factory.mktemp("lab")
    with lab_on(kafka.bootstrap_servers, folder, "--patience", str(BUTTONS)) as url:
        wait_for(lambda: _orders_are_taken(url), "an order is taken")
        yield url


def _orders_are_taken(url: str) -> bool:
    order = {"orderId": "first", "customerId": "ada", "priority": "LOW", "amount": 1}
    answer = httpx.post(f"{url}/api/producer/priority-order", json=order, timeout=PATIENCE)
    return answer.status_code == 201
