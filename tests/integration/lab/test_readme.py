"""The commands for the lab that the README shows, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aioproducer.testing.judge import read_topic
from examples.lab.service import ORDERS

pytestmark = pytest.mark.timeout(900)

README = Path(__file__).parents[3] / "README.md"


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    (block,) = [each for each in blocks if "/api/producer/" in each]
    return [each.strip() for each in re.split(r"\n(?=curl )", block)]


def test_every_endpoint_is_shown() -> None:
    text = " ".join(commands())
    for path in (
        "high-throughput?count=",
        "low-latency?count=",
        "priority-order",
        "partition-stats",
        "benchmark?messages=",
        "/metrics",
    ):
        assert path in text
    assert all(command.startswith("curl ") for command in commands())


@pytest.fixture
def shell(lab: str, tmp_path: Path) -> Callable[[str], str]:
    # The lab of the tests has another port; curl is told so, the command stays as it is.
    lines = (f'connect-to = "localhost:8080:{lab.removeprefix("http://")}"', "fail-with-body")
    (tmp_path / ".curlrc").write_text("\n".join([*lines, "silent", "show-error", ""]))

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env={**os.environ, "CURL_HOME": str(tmp_path), "NO_PROXY": "localhost"},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_the_commands_do_what_they_say(shell: Callable[[str], str], bootstrap: str) -> None:
    answers = {command: shell(command) for command in commands()}
    found = {words: answers[c] for c in answers for words in _WORDS if words in c}
    assert '"records":10000,"failed":0' in found["high-throughput"]
    assert '"records":100,"failed":0' in found["low-latency"]
    assert '"records":50000,"failed":0' in found["benchmark"]
    assert '"linger_ms":5' in found["benchmark"]
    assert (
        '"orderId":"o-1","priority":"HIGH","topic":"lab-orders","partition":0'
        in (found["priority-order"])
    )
    assert '"lab-events":{"records":' in found["partition-stats"]
    assert 'kafka_producer_record_send_total{client_id="lab-throughput"}' in found["/metrics"]
    values = [record.value or b"" for record in read_topic(bootstrap, ORDERS)]
    assert any(b'"orderId":"o-1","customerId":"ada"' in value for value in values)


_WORDS = (
    "high-throughput",
    "low-latency",
    "benchmark",
    "priority-order",
    "partition-stats",
    "/metrics",
)
