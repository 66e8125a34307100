"""The line of progress is for terminals."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from aioproducer.cli.live import live_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def shown(monkeypatch: pytest.MonkeyPatch, stderr: Any, stdin: Any) -> list[str]:
    import asyncio

    from aioproducer.cli import live

    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(live, "_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    asked: list[str] = []

    def words() -> str:
        asked.append("a line")
        return "a line"

    async with live_line(words):
        for _ in range(20):
            await asyncio.sleep(0)
    return asked


async def test_a_terminal_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    assert await shown(monkeypatch, terminal, io.StringIO())
    assert "a line" in terminal.getvalue()


async def test_a_pipe_or_file_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    assert not await shown(monkeypatch, pipe, io.StringIO())
    assert pipe.getvalue() == ""


async def test_whoever_types_the_input_is_not_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    assert not await shown(monkeypatch, terminal, Terminal())
    assert terminal.getvalue() == ""
