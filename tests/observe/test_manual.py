"""docs/observability.md: its programs run, and its tables are complete."""

from __future__ import annotations

import ast
import asyncio
import re
from dataclasses import fields
from typing import Any

import pytest

from aioproducer import Thresholds, errors
from aioproducer.config_table import BY_NAME
from aioproducer.observe.findings import NAMES
from tests.fake_broker import FakeCluster
from tests.named_tests import ROOT
from tests.runtime.world import running
from tests.virtual_clock import VirtualClockLoop

PAGE = (ROOT / "docs" / "observability.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_each_program_runs(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        cluster = FakeCluster()
        cluster.add_topic("orders")
        async with running(cluster) as producer:
            await producer.send("orders", b"v")
            names: dict[str, Any] = {"producer": producer}
            code = compile(program, "program", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running_program = eval(code, names)
            if running_program is not None:
                await running_program

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())
    assert capsys.readouterr().out or "print" not in program or "def " in program


def test_the_table_of_thresholds_is_complete() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) to (\S+) \|", PAGE, re.MULTILINE)
    assert rows == [
        (
            each.name,
            "unset" if each.default is None else format(each.default, "g"),
            format(each.metadata["low"], "g"),
            format(each.metadata["high"], "g"),
        )
        for each in fields(Thresholds)
    ]


TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text()
# Of brokers and topics; an attribute and an event.
_NOT_OURS = {
    "auto.create.topics.enable", "advertised.listeners", "max.message.bytes",
    "min.insync.replicas", "replica.lag.time.max.ms", "error.persisted", "records.failed",
}  # fmt: skip


def test_each_finding_has_its_chapter_with_cause_and_change() -> None:
    chapters = TROUBLES.partition("## By what `diagnose()` finds")[2].partition("\n## ")[0]
    parts = re.split(r"^### ", chapters, flags=re.MULTILINE)[1:]
    assert sorted(part.partition("\n")[0] for part in parts) == sorted(NAMES)
    for part in parts:
        assert "- Cause: " in part
        assert "- Change: " in part


def test_each_setting_that_is_named_exists() -> None:
    words = re.findall(r"`([a-z]+(?:\.[a-z]+)+)(?:=[^`]*)?`", TROUBLES)
    unknown = {word for word in words if word not in BY_NAME} - _NOT_OURS
    assert {word for word in unknown if not word.endswith(".md")} == set()


def test_each_error_that_is_named_exists() -> None:
    for name in set(re.findall(r"`(\w+Error)`", TROUBLES)):
        assert hasattr(errors, name), name


def test_each_chapter_that_is_pointed_to_exists() -> None:
    chapters = {
        re.sub(r"[^a-z0-9_ -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", TROUBLES, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([a-z0-9_-]+)\)", TROUBLES)) <= chapters
