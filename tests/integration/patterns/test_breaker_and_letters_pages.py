"""The pages about circuit breakers and dead letters say what runs: each snippet is run."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

import aioproducer
from aioproducer.patterns import CircuitState
from aioproducer.testing.judge import read_topic
from tests.conftest import TopicFactory

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("circuit-breaker.md", "dead-letters.md")


def _snippets() -> list[tuple[str, int, str]]:
    return [
        (page, number, source)
        for page in PAGES
        for number, source in enumerate(
            re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
        )
    ]


@pytest.mark.parametrize(
    ("page", "source"),
    [pytest.param(page, source, id=f"{page}-{number}") for page, number, source in _snippets()],
)
async def test_a_snippet_does_what_the_page_says(
    page: str,
    source: str,
    bootstrap: str,
    topic: TopicFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    orders = topic()
    names: dict[str, Any] = {name: getattr(aioproducer, name) for name in aioproducer.__all__}
    for there, here in (
        ("localhost:9092", bootstrap),
        ('"orders"', repr(orders)),
        ("/var/spool/", f"{tmp_path}/"),
        # A slow machine's.
        ("max_block_ms=20_000", "max_block_ms=200_000"),
    ):
        source = source.replace(there, here)
    if "spool.read" in source:
        (tmp_path / "orders.spool").touch()
    body = textwrap.indent(source, "    ")
    exec(compile(f"async def snippet():\n{body}\n    return locals()\n", page, "exec"), names)
    left = await names["snippet"]()
    if "spool.read" in source:
        assert left["report"].replayed == 0
        return
    (record,) = read_topic(bootstrap, orders)
    assert record.value == b"one espresso machine"
    if "breaker" in left:
        assert left["breaker"].circuits[""] is CircuitState.CLOSED
    if "registered" in source:
        assert "circuit-state" in capsys.readouterr().out
