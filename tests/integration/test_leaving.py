"""Programs that end: by a signal, by Ctrl-C, by forgetting; none hangs, none loses silently."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory

_START = """
import asyncio, logging, signal, sys
from aioproducer import AsyncProducer, ProducerClosedError

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
# Under load asyncio's debug mode has something to say about slow callbacks.
logging.getLogger("asyncio").setLevel(logging.ERROR)
bootstrap, topic, loop = sys.argv[1:]

def run(main):
    if loop == "uvloop":
        import uvloop
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)

async def send_for_ever(producer, going=lambda: True):
    count = 0
    while going():
        try:
            producer.send(topic, b"%d" % count)
        except ProducerClosedError:
            break
        count += 1
        if count == 500:
            print("READY", flush=True)
        await producer.drain()
        await asyncio.sleep(0.001)
    return count
"""

_NOWHERE = "127.0.0.1:1"

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


class Program:
    """A Python program in a process of its own, on one of the loops."""

    def __init__(self, text: str, bootstrap: str, topic: str, loop: str) -> None:
        if loop == "uvloop":
            pytest.importorskip("uvloop")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "dev",
                "-W",
                "error",
                "-c",
                _START + text,
                bootstrap,
                topic,
                loop,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self._said: list[str] = []

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def until(self, word: str) -> None:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, f"ended before it said {word}: {self._process.communicate()}"
            self._said.append(line)
            if word in line:
                return

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, seconds: float = 200) -> tuple[int, str, str]:
        out, errors = self._process.communicate(timeout=seconds)
        return self._process.returncode, "".join(self._said) + out, errors


def number_in(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, text
    return int(found[1])


@pytest.mark.core
@LOOPS
def test_sigterm_closes_gracefully(bootstrap: str, topic: TopicFactory, loop: str) -> None:
    """As a container does it: everything sent is in the log, and the exit is clean."""
    name = topic()
    text = """
async def main():
    async with AsyncProducer(bootstrap, linger_ms=50) as producer:
        drain = producer.install_signal_drain(timeout=100)
        count = await send_for_ever(producer, lambda: drain.received is None)
    report = await producer.close()
    print("sent", count, "delivered", report.delivered, "abandoned", report.abandoned)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

run(main())
"""
    with Program(text, bootstrap, name, loop) as program:
        program.until("READY")
        program.tell(signal.SIGTERM)
        code, out, errors = program.end()
    assert (code, errors) == (0, ""), out
    sent = number_in(r"sent (\d+)", out)
    assert f"delivered {sent} abandoned 0" in out
    assert "SIGTERM: closing within 100 s" in out
    assert [read.value for read in read_topic(bootstrap, name)] == [b"%d" % n for n in range(sent)]


@LOOPS
def test_a_second_sigterm_forces_and_says_what_is_lost(loop: str) -> None:
    """Without a cluster the first would wait for its whole time."""
    text = """
async def main():
    async with AsyncProducer(bootstrap) as producer:
        producer.install_signal_drain(timeout=600)
        deliveries = [producer.send(topic, b"v") for _ in range(7)]
        print("READY", flush=True)
        outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
    print({type(outcome).__name__ for outcome in outcomes})

run(main())
"""
    with Program(text, _NOWHERE, "lost", loop) as program:
        program.until("READY")
        program.tell(signal.SIGTERM)
        program.until("closing within")
        program.tell(signal.SIGTERM)
        code, out, errors = program.end()
    assert (code, errors) == (0, ""), out
    assert "SIGTERM again: closing at once" in out
    assert "closed with 7 records undelivered: lost 7" in out
    assert "{'ProducerClosedError'}" in out


@pytest.mark.core
@LOOPS
def test_ctrl_c_in_the_block_drains(bootstrap: str, topic: TopicFactory, loop: str) -> None:
    """asyncio.run() cancels the main task; leaving the block delivers what was sent."""
    name = topic()
    text = """
async def main():
    async with AsyncProducer(bootstrap, linger_ms=200) as producer:
        try:
            await send_for_ever(producer)
        finally:
            print("sent", producer.metrics().record_ack_total, flush=True)

try:
    run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
    with Program(text, bootstrap, name, loop) as program:
        program.until("READY")
        program.tell(signal.SIGINT)
        code, out, errors = program.end()
    assert (code, errors) == (0, ""), out
    assert "interrupted" in out
    assert "undelivered" not in out
    values = [int(read.value or b"-1") for read in read_topic(bootstrap, name)]
    assert values == list(range(len(values)))
    assert len(values) >= 500
    assert len(values) >= number_in(r"sent (\d+)", out)


@LOOPS
@pytest.mark.parametrize("moment", ["pass", "import time; time.sleep(1)"])
def test_ctrl_c_twice_reports_what_is_lost(loop: str, moment: str) -> None:
    """The first waits for a cluster that is not there; the second ends that at once.

    It may come while the loop waits, or while the program itself runs.
    """
    text = """
async def main():
    async with AsyncProducer(bootstrap) as producer:
        # Held, so that nobody is told of them at the loop's exception handler.
        failures = producer.failures()
        for _ in range(3):
            producer.send(topic, b"v")
        print("READY", flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            print("LEAVING", flush=True)
            MOMENT

try:
    run(main())
except KeyboardInterrupt:
    print("interrupted")
""".replace("MOMENT", moment)
    with Program(text, _NOWHERE, "lost", loop) as program:
        program.until("READY")
        program.tell(signal.SIGINT)
        program.until("LEAVING")
        # Into the sleep of the program, or into the wait of the loop.
        time.sleep(0.5)
        program.tell(signal.SIGINT)
        # Without the second the records would fail by their own clocks, and none be undelivered.
        code, out, errors = program.end()
    assert (code, errors) == (0, ""), out
    assert "closed with 3 records undelivered: lost 3" in out
    assert "interrupted" in out


def printed(out: str) -> list[str]:
    """Return what a program printed itself: lines of the log begin with the client id, or ours."""
    return [line for line in out.splitlines() if not line.startswith(("[", "aioproducer "))]


@pytest.mark.core
@LOOPS
def test_the_interpreter_exits_without_a_close(
    bootstrap: str, topic: TopicFactory, loop: str
) -> None:
    """No hang and no traceback: one warning that names the producer, if warnings are shown."""
    text = """
import warnings
warnings.simplefilter("always")
producer = AsyncProducer(bootstrap, client_id="forgetful")

async def main():
    await producer.start()
    print((await producer.send(topic, b"v")).offset)

run(main())
"""
    with Program(text, bootstrap, topic(), loop) as program:
        code, out, errors = program.end()
    # Whatever had been queued would have failed with the loop, and not in silence.
    assert (code, printed(out)[0]) == (0, "0"), errors
    assert out.count("cancelled from outside before close()") == 1, out
    assert errors.count("ResourceWarning") == 1, errors
    assert "forgetful" in errors
    assert "was not closed" in errors
    assert "Traceback" not in errors


@pytest.mark.core
@LOOPS
def test_one_that_is_dropped_delivers_and_lets_go(
    bootstrap: str, topic: TopicFactory, loop: str
) -> None:
    """Nobody can close it any more, so it closes itself."""
    text = """
import gc, warnings
warnings.simplefilter("ignore")

async def main():
    producer = AsyncProducer(bootstrap, linger_ms=300)
    await producer.start()
    delivery = producer.send(topic, b"v")
    del producer
    gc.collect()
    print((await delivery).offset)
    for _ in range(1200):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.05)
    print("tasks", len(asyncio.all_tasks()))

run(main())
"""
    with Program(text, bootstrap, topic(), loop) as program:
        code, out, errors = program.end()
    assert (code, printed(out), errors) == (0, ["0", "tasks 1"], "")
