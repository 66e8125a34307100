"""ThreadPortal on a real cluster: what many threads sent, and what a program leaves behind."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
import types
from functools import partial
from pathlib import Path

import pytest

from aioproducer import AsyncProducer
from aioproducer.patterns import ThreadPortal
from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory
from tests.integration.complaints import complaints

pytestmark = pytest.mark.timeout(900)

PATIENCE = 240
PAGE = Path(__file__).parents[3] / "docs" / "threads.md"
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_every_program_of_the_page_says_what_it_prints() -> None:
    assert len(PROGRAMS) == PAGE.read_text().count("```python\n") >= 4


# Plain functions: nothing here is a coroutine but what the portal runs.
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_page_runs(
    number: int, bootstrap: str, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, printed = PROGRAMS[number]
    for name in ("orders", "inventory"):
        if f'"{name}"' in program:
            real = topic()
            program = program.replace(f'"{name}"', repr(real))
            printed = printed.replace(name, real)
    program = program.replace("localhost:9092", bootstrap).replace('"orders-1"', repr(topic()))
    # A slow machine's.
    program = program.replace("block_timeout=0.5", f"block_timeout={PATIENCE}")
    program = program.replace(", timeout=5)", f", timeout={PATIENCE})")
    # Django imports a program for its addresses.
    page = types.ModuleType(f"page_{number}")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, f"docs/threads.md, program {number}", "exec"), page.__dict__)
    assert output.getvalue() == printed


@pytest.mark.parametrize("uvloop", [False, True])
def test_records_of_many_threads_arrive_once_and_each_thread_s_in_order(
    uvloop: bool, bootstrap: str, topic: TopicFactory
) -> None:
    name, threads, each = topic(3), 12, 400
    make = partial(AsyncProducer, bootstrap, buffer_memory=200_000)
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            futures = [
                portal.send(name, b"%d" % place, key=b"thread %d" % number) for place in range(each)
            ]
            offsets = [future.result(PATIENCE).offset for future in futures]
            assert offsets == sorted(offsets)
        except Exception as error:  # noqa: BLE001 - for the main thread
            errors.append(error)

    with ThreadPortal(make, max_backlog=100, uvloop=uvloop) as portal:
        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        report = portal.close()

    assert errors == []
    assert report is not None
    assert (report.delivered, report.failed, report.abandoned) == (threads * each, 0, 0)
    records = read_topic(bootstrap, name)
    assert len(records) == threads * each
    for number in range(threads):
        mine = [record.value for record in records if record.key == b"thread %d" % number]
        assert mine == [b"%d" % place for place in range(each)]


_HEAD = """
import multiprocessing, os, sys, threading
from functools import partial
from aioproducer import AsyncProducer
from aioproducer.patterns import ThreadPortal

bootstrap, topic = sys.argv[1:]
make = partial(AsyncProducer, bootstrap, linger_ms=500, compression_type="gzip")
portal = ThreadPortal(make, exit_timeout=200)
"""

_ENDS = """
def work():
    for number in range(2000):
        portal.send(topic, b"%05d" % number * 100)

threading.Thread(target=work).start()
"""

_FORKS = """
make = partial(make, linger_ms=3_600_000, delivery_timeout_ms=7_200_000)
portal = ThreadPortal(make, exit_timeout=200)
# Open for as long as nobody asks for it, however long the fork takes.
open_in_parent = portal.send(topic, b"parent")
child = os.fork()
if child == 0:
    try:
        open_in_parent.result(200)
    except Exception as error:
        print(error, flush=True)
    portal.send_and_wait(topic, b"child")
    portal.close()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
portal.flush()
print(open_in_parent.result(200).topic == topic, flush=True)
portal.send(topic, b"parent again")
"""

_PROCESSES = """
def work(number):
    portal.send(topic, b"%d" % number)

portal.send(topic, b"parent").result(200)
context = multiprocessing.get_context("fork")
processes = [context.Process(target=work, args=(number,)) for number in range(3)]
for process in processes:
    process.start()
for process in processes:
    process.join(240)
    assert process.exitcode == 0
"""

_OF = """
import asyncio
from aioproducer import ProducerStateError

async def main():
    async with AsyncProducer(bootstrap) as producer:
        async with ThreadPortal.of(producer) as bound:
            await asyncio.to_thread(bound.send_and_wait, topic, b"parent")
            child = os.fork()
            if child == 0:
                try:
                    bound.send(topic, b"child")
                except ProducerStateError as error:
                    print(error, flush=True)
                os._exit(0)
            os.waitpid(child, 0)

asyncio.run(main())
"""


# Newer interpreters warn of every fork where there are threads.
_WARNINGS = ["-W", "ignore::DeprecationWarning", "-W", "error::ResourceWarning"]


def run(program: str, bootstrap: str, topic: str) -> str:
    done = subprocess.run(
        [sys.executable, *_WARNINGS, "-c", _HEAD + program, bootstrap, topic],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env=os.environ | {"PYTHONPATH": str(PAGE.parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == []
    return done.stdout


def test_the_end_of_the_program_delivers_what_its_threads_sent(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Nobody closes the portal; the codec finds no threads to work on any more."""
    name = topic()
    run(_ENDS, bootstrap, name)

    values = [record.value for record in read_topic(bootstrap, name)]
    assert values == [b"%05d" % number * 100 for number in range(2000)]


def test_a_forked_child_makes_its_own_and_leaves_the_parent_s_alone(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    printed = run(_FORKS, bootstrap, name)

    assert printed.splitlines() == [
        "this record was handed over before the fork: its parent process sends it",
        "True",
    ]
    values = [record.value for record in read_topic(bootstrap, name)]
    assert sorted(v for v in values if v is not None) == [b"child", b"parent", b"parent again"]


def test_processes_of_multiprocessing_deliver_when_they_end(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    run(_PROCESSES, bootstrap, name)

    values = [record.value for record in read_topic(bootstrap, name)]
    assert sorted(v for v in values if v is not None) == [b"0", b"1", b"2", b"parent"]


def test_a_portal_of_somebody_else_s_producer_says_in_a_child_what_to_do(
    bootstrap: str, topic: TopicFactory
) -> None:
    printed = run(_OF, bootstrap, topic())

    assert "the loop of this portal is the parent process's" in printed
