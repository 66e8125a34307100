"""A Flask application that gunicorn loads before it forks: workers make their own producers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory

# Nothing here is quick on a slow machine.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]
PATIENCE = 200
_APP = """
import os
from functools import partial

from flask import Flask, request

from aioproducer import AsyncProducer
from aioproducer.patterns import ThreadPortal

app = Flask(__name__)
topic = os.environ["TOPIC"]
make = partial(AsyncProducer, os.environ["BOOTSTRAP"], linger_ms=60_000)
portal = ThreadPortal(make, exit_timeout=100)
# Used before the fork, so that there is a thread and a loop which the workers do not get.
portal.send_and_wait(topic, b"master")


@app.post("/wait")
def wait():
    portal.send_and_wait(topic, request.get_data())
    return str(os.getpid())


@app.post("/leave")
def leave():
    # It lingers until the worker ends.
    portal.send(topic, request.get_data())
    return str(os.getpid())
"""


@contextmanager
def gunicorn(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run it on a free port, which is told; whatever happens it is gone afterwards."""
    (folder / "orders_app.py").write_text(_APP)
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"]
    # It kills a worker that is silent for 30 s, or takes as long to end.
    command += ["--timeout", "240", "--graceful-timeout", "150"]
    command += ["--bind", "127.0.0.1:0", "--chdir", str(folder), "orders_app:app"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Listening at: (http://\S+)", line):
                yield process, found[1]
                return
        raise AssertionError("gunicorn did not begin to listen")
    finally:
        process.kill()
        process.communicate()


def post(url: str, data: bytes) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


def test_workers_of_a_preloaded_application_deliver_and_drain(
    bootstrap: str, topic: TopicFactory, tmp_path: Path
) -> None:
    name = topic()
    workers = set()
    sent = [b"master"]
    with gunicorn(tmp_path, TOPIC=name, BOOTSTRAP=bootstrap) as (process, url):
        # Until each of the two has had one: the kernel chooses.
        deadline = time.monotonic() + PATIENCE
        while len(workers) < 2 and time.monotonic() < deadline:
            sent.append(b"%d" % len(sent))
            workers.add(post(f"{url}/wait", sent[-1]))
        for _ in range(4):
            sent.append(b"%d" % len(sent))
            post(f"{url}/leave", sent[-1])
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)

    assert len(workers) == 2
    assert process.returncode == 0, log
    assert "Traceback" not in log, log
    values = [record.value for record in read_topic(bootstrap, name)]
    assert sorted(v for v in values if v is not None) == sorted(sent)
