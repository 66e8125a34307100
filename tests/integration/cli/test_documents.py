"""Every command and program of docs/cli.md runs as it is written there."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from aioproducer import Record
from aioproducer.patterns import DeadLetter
from aioproducer.patterns.spool_file import SpoolFile
from aioproducer.patterns.spool_format import encode
from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory

# Each command is a process, and comparing clients takes many.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "cli.md").read_text()
BLOCKS = [
    textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", TEXT, re.M)
]
ENOUGH = 500
SECTIONS = ("produce", "perf", "topics", "dlq replay")


def commands(section: str) -> str:
    """The shell commands of a section, as they stand there."""
    body = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = map(textwrap.dedent, re.findall(r"(?:^    .*\n)+", body, re.M))
    return "\n".join(each for each in blocks if re.search(r"(^|\| )aioproducer ", each, re.M))


class Shell:
    """A shell in an empty directory in which `aioproducer` is this one."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        self._folder = folder
        self._bootstrap = bootstrap
        self._mark = f"-{uuid.uuid4().hex[:8]}"
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "aioproducer"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aioproducer "$@"\n')
        program.chmod(0o755)
        self._environment = {
            **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def topic(self, name: str) -> str:
        """What a topic of the page is called here: others use the cluster, too."""
        return name + self._mark

    def ours(self, text: str) -> str:
        """The text with this cluster and topics of our own, and without an end that never comes."""
        text = text.replace("localhost:9092", self._bootstrap).replace("tail -f", "cat")
        text = text.replace("/var/spool/", f"{self._folder}/")
        text = text.replace(" orders.dead-letters", f" {self.topic('orders.dead-letters')}")
        text = re.sub(r"(--num-records) \d+", rf"\1 {ENOUGH}", text)
        text = re.sub(r"(aioproducer topics \w+)", r"\1 --timeout 200", text)
        return re.sub(
            r"(?<=[ \"])(orders|others|logs|load)(?=[ \"\n])", lambda m: self.topic(m[1]), text
        )

    def run(self, text: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.ours(text)],
            cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(self.ours(text))


@pytest.fixture
def shell(tmp_path: Path, bootstrap: str) -> Shell:
    assert shutil.which("bash")
    return Shell(tmp_path, bootstrap)


# Plain functions: the commands run loops of their own.
def test_the_commands_of_produce(shell: Shell, bootstrap: str) -> None:
    [objects] = [block for block in BLOCKS if block.startswith('{"key"')]
    shell.write("orders.jsonl", objects)
    shell.write("app.log", "started\nstopped\n")
    shell.write("producer.properties", "bootstrap.servers = localhost:9092\nacks = all\n")
    told = shell.run(commands("produce"))
    assert "#1: " in told
    values = {record.value for record in read_topic(bootstrap, shell.topic("logs"))}
    assert values == {b"started", b"stopped"}
    orders = read_topic(bootstrap, shell.topic("orders"))
    assert sorted((record.key or b"", record.value or b"") for record in orders) == [
        (b"k1", b""), (b"k1", b""), (b"k1", b"one"), (b"k1", b'{"id":7}'), (b"k2", b"two"),
    ]  # fmt: skip
    [other] = read_topic(bootstrap, shell.topic("others"))
    assert (other.value, other.headers) == (b"\0\xff", (("a", b"1"), ("a", b"\0\xff")))


def test_the_commands_of_perf(shell: Shell, bootstrap: str) -> None:
    told = shell.run(commands("perf"))
    assert "99.9th." in told
    assert "aioproducer / aiokafka: " in told
    # One load, and three rounds of two clients.
    assert len(read_topic(bootstrap, shell.topic("load"))) == ENOUGH * (1 + 3 * 2)


def test_the_commands_of_topics(shell: Shell) -> None:
    told = shell.run(commands("topics"))
    assert f"{shell.topic('orders')}: 6 partitions, 3 replicas" in told
    assert "min.insync.replicas=2" in told


def test_the_commands_of_dlq(shell: Shell, tmp_path: Path, bootstrap: str) -> None:
    spool = SpoolFile(tmp_path / "orders.spool")
    spool.append([encode(DeadLetter(Record("orders", b"spooled"), None, 1, "late", "X"))])
    spool.close()
    shell.write("producer.properties", "bootstrap.servers = localhost:9092\n")
    orders = shell.topic("orders")
    letter = ["-H", f"original.topic={orders}", "-H", "failure.persisted=no"]
    there = "produce orders.dead-letters -b localhost:9092"
    shell.run(f"echo dead | aioproducer {there} {shlex.join(letter)}")
    told = shell.run(commands("dlq replay"))
    assert told.startswith("1 dead letters would be sent\n  1 to orders\n")
    assert [record.value for record in read_topic(bootstrap, orders)] == [b"dead"]


def test_the_program_about_topics(bootstrap: str, topic: TopicFactory) -> None:
    [program] = [block for block in BLOCKS if "TopicClient" in block]
    name = topic() + "-new"
    program = program.replace("localhost:9092", bootstrap).replace('"orders"', repr(name))
    found: dict[str, object] = {}
    source = f"async def program():\n{textwrap.indent(program, '    ')}"
    exec(f"from aioproducer.topics import NewTopic, TopicClient\n{source}", found)
    asyncio.run(found["program"]())  # type: ignore[operator]


def test_every_block_is_run_or_is_what_is_printed() -> None:
    """A command that is added to the page is run, too."""
    run = "\n".join(commands(section) for section in SECTIONS)
    for line in TEXT.splitlines():
        if re.match(r"    (.*\| )?aioproducer (?!--help)", line):
            assert line.strip() in run
