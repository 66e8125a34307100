"""The programs of docs/migrating.md run, and print what stands below them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TopicFactory

PAGE = (Path(__file__).parents[3] / "docs" / "migrating.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == PAGE.count("```python\n") == 3


# Plain functions: each program runs a loop of its own.
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_it_runs(number: int, bootstrap: str, topic: TopicFactory) -> None:
    program, printed = PROGRAMS[number]
    name = topic()
    program = program.replace('"orders"', repr(name)).replace("localhost:9092", bootstrap)
    names: dict[str, Any] = {}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, f"docs/migrating.md, program {number}", "exec"), names)
        if "asyncio.run" not in program:
            # A program of aiokafka's, whose last line is left to the reader.
            asyncio.run(names["main"]())
    assert output.getvalue() == printed.replace("orders", name)
