"""`aioproducer produce` with a real cluster: what it says is what lies in Kafka."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aioproducer.cli.exit_status import Exit
from aioproducer.cli.produce import ProduceOptions, run_produce
from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory

# Nothing here is quick on a slow machine.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]


@pytest.mark.core
def test_lines_become_records_and_the_slowest_tell_their_story(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, out = topic(2), io.StringIO()
    lines = b"\n".join(b"line %d" % n for n in range(500))
    options = ProduceOptions(topic=name, slowest=2)
    settings = {"bootstrap.servers": bootstrap}
    assert run_produce(settings, options, out, io.BytesIO(lines)) == Exit.OK
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
        [*command, "-X", "linger.ms=100", "--drain-seconds", "120"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(b"first\nsecond\n")
            process.stdin.flush()
            deadline = time.monotonic() + 120
            while len(read_topic(bootstrap, name)) < 2:
                assert time.monotonic() < deadline
            # Nothing more is typed, and the pipe stays open.
            process.send_signal(signal.SIGINT)
            assert process.wait(200) == Exit.INTERRUPTED
        finally:
            process.kill()
    assert [record.value for record in read_topic(bootstrap, name)] == [b"first", b"second"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nothing_depends_on_descriptors_that_are_open(
    bootstrap: str, topic: TopicFactory, loop: str
) -> None:
    """A service manager may start it without any; the loop then gets their numbers."""
    name = topic()
    command = f'"{sys.executable}" -m aioproducer produce {name} -b {bootstrap} --loop {loop}'
    script = f"{command} <&-; echo $?; echo one | {command} >&- 2>&-; echo $?"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout.split() == [str(Exit.WRONG_USE.value), "0"]
    assert done.stderr == "aioproducer: there is no standard input to read\n"
    assert [record.value for record in read_topic(bootstrap, name)] == [b"one"]


def test_objects_become_records_with_all_their_parts(
    bootstrap: str, topic: TopicFactory, tmp_path: Path
) -> None:
    name, other, out = topic(2), topic(), io.StringIO()
    lines = [
        {"key": "k", "value": {"id": 7}, "headers": {"a": "x", "b": None}, "partition": 1,
         "timestamp": 1_700_000_000_000},
        {"key_base64": "/w==", "value": None, "partition": 0},
        {"topic": other, "value_base64": "AP8="},
    ]  # fmt: skip
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\nnonsense\n")
    options = ProduceOptions(
        topic=name, files=(file,), json_lines=True, headers=(("h", b"v"),), as_json=True
    )
    status = run_produce({"bootstrap.servers": bootstrap}, options, out)
    assert status == Exit.MALFORMED
    told = json.loads(out.getvalue())
    assert (told["delivered"], told["malformed"]) == (3, 1)
    assert told["malformed_lines"][0].startswith(f"{file}:4: no JSON")
    first, second = sorted(read_topic(bootstrap, name), key=lambda record: -record.partition)
    assert (first.key, first.value, first.partition) == (b"k", b'{"id":7}', 1)
    assert list(first.headers) == [("h", b"v"), ("a", b"x"), ("b", None)]
    assert first.timestamp_ms == 1_700_000_000_000
    assert (second.key, second.value) == (b"\xff", None)
    [third] = read_topic(bootstrap, other)
    assert third.value == b"\0\xff"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_all_that_a_pipe_gave_before_ctrl_c_is_delivered_and_reported(
    bootstrap: str, topic: TopicFactory, loop: str
) -> None:
    """While lines pour in: what the command has taken out of the pipe is in Kafka, in order."""
    name = topic()
    command = [sys.executable, "-m", "aioproducer", "produce", name, "-b", bootstrap, "--json"]
    reading, writing = os.pipe()
    with (
        open(writing, "wb", buffering=0) as pipe,
        open(reading, "rb", buffering=0) as left,
        subprocess.Popen(
            [*command, "--drain-seconds", "120", "--loop", loop],
            cwd=ROOT,
            stdin=left,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        try:
            written = 0
            while written < 100_000:
                pipe.write(b"".join(b"%08d\n" % n for n in range(written, written + 1000)))
                written += 1000
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=200)
        finally:
            process.kill()
        os.set_blocking(reading, False)
        unread = left.read(1 << 20) or b""
    assert process.returncode == Exit.INTERRUPTED
    told = json.loads(out)
    assert (told["failed"], told["interrupted"]) == (0, True)
    values = [record.value for record in read_topic(bootstrap, name)]
    assert values == [b"%08d" % n for n in range(told["delivered"])]
    assert sum(place["records"] for place in told["partitions"]) == told["delivered"]
    # Every line is either in Kafka or still in the pipe, but for the one cut in two.
    in_the_pipe = len(unread) // 9
    assert told["delivered"] + in_the_pipe in (written - 1, written)
