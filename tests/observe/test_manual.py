"""docs/observability.md: its programs run, and its tables are complete."""

from __future__ import annotations

import ast
import asyncio
import re
from dataclasses import fields
from typing import Any

import pytest

from aioproducer import Thresholds
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
