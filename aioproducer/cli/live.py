"""A line that shows how far a command has come; only where a person looks at it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.text import Text

_SECONDS = 0.1


@asynccontextmanager
async def live_line(words: Callable[[], str]) -> AsyncIterator[None]:
    """Show ``words()`` at the bottom of the terminal, ten times a second; nothing elsewhere.

    It goes to standard error, and is gone at the end. Whoever types the input is not disturbed.
    """
    console = Console(stderr=True)
    if not console.is_terminal or sys.stdin is None or sys.stdin.isatty():
        yield
        return
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:

        async def keep_showing() -> None:
            while True:
                await asyncio.sleep(_SECONDS)
                live.update(Text(words(), no_wrap=True, overflow="ellipsis"), refresh=True)

        task = asyncio.create_task(keep_showing(), name="cli:progress")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
