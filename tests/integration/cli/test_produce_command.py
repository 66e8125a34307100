"""`aioproducer produce` with a real cluster: what it says is what lies in Kafka."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aioproducer.cli.produce import ALL_DELIVERED, INTERRUPTED, ProduceOptions, run_produce
from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory

ROOT = Path(__file__).parents[3]


@pytest.mark.core
def test_lines_become_records_and_the_slowest_tell_their_story(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, out = topic(2), io.StringIO()
    lines = b"\n".join(b"line %d" % n for n in range(500))
    options = ProduceOptions(topic=name, slowest=2)
    settings = {"bootstrap.servers": bootstrap}
    assert run_produce(settings, options, out, io.BytesIO(lines)) == ALL_DELIVERED
    told = out.getvalue()
    assert told.startswith("#1: ")
    assert "#2: " in told
    assert "#3: " not in told
    assert "acknowledged" in told
    assert "sent to broker" in told
    values = {record.value for record in read_topic(bootstrap, name)}
    assert values == {b"line %d" % n for n in range(500)}


def test_failures_show_in_the_status_and_the_report(bootstrap: str, topic: TopicFactory) -> None:
    name, out = topic(), io.StringIO()
    settings = {"bootstrap.servers": bootstrap, "max.request.size": "1000"}
    options = ProduceOptions(topic=name, as_json=True)
    assert run_produce(settings, options, out, io.BytesIO(b"x" * 5000 + b"\ngood\n")) == 1
    told = json.loads(out.getvalue())
    assert (told["delivered"], told["failed"]) == (1, 1)
    assert "RecordTooLargeError" in next(iter(told["errors"]))


def test_an_interrupted_command_delivers_what_it_has_read(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    command = [sys.executable, "-m", "aioproducer", "produce", name, "-b", bootstrap]
    with subprocess.Popen(
        [*command, "-X", "linger.ms=100"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(b"first\nsecond\n")
            process.stdin.flush()
            deadline = time.monotonic() + 30
            while len(read_topic(bootstrap, name)) < 2:
                assert time.monotonic() < deadline
            # Nothing more is typed, and the pipe stays open.
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == INTERRUPTED
        finally:
            process.kill()
    assert [record.value for record in read_topic(bootstrap, name)] == [b"first", b"second"]
