"""Runs an example that ends itself as kill -9 would, at a point that the environment names.

    CRASH=module:qualified.name:before:3 python -m tests.integration.examples.crashing MODULE ARG...

dies at the third call of that function, before or after its work; "amid" lets it begin and dies a
moment later. END=SIGSTOP freezes it instead. SLOW=module:name:0.5 lets each call of a coroutine
function take that many seconds more.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

# How long a request may be under way before the end, in seconds.
_AMID = 0.003


def die() -> None:
    os.kill(os.getpid(), signal.Signals[os.environ.get("END", "SIGKILL")])


def owner_of(place: str) -> tuple[Any, str]:
    """Return the module or class, and the name in it, of ``module:qualified.name``."""
    module, _, name = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, last


def crash_at(place: str, when: str, count: int) -> None:
    owner, name = owner_of(place)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def comes_now() -> bool:
        nonlocal calls
        calls += 1
        if calls == count and when == "before":
            die()
        return calls == count

    @functools.wraps(original)
    def plain(*arguments: Any, **options: Any) -> Any:
        now = comes_now()
        result = original(*arguments, **options)
        if now:
            die()
        return result

    @functools.wraps(original)
    async def coroutine(*arguments: Any, **options: Any) -> Any:
        now = comes_now()
        if now and when == "amid":
            asyncio.get_running_loop().call_later(_AMID, die)
            return await original(*arguments, **options)
        result = await original(*arguments, **options)
        if now:
            die()
        return result

    setattr(owner, name, coroutine if inspect.iscoroutinefunction(original) else plain)


def slow_down(place: str, seconds: float) -> None:
    owner, name = owner_of(place)
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    async def slow(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(seconds)
        return await original(*arguments, **options)

    setattr(owner, name, slow)


def run() -> None:
    del sys.argv[0]
    example = importlib.import_module(sys.argv[0])
    if "CRASH" in os.environ:
        place, when, count = os.environ["CRASH"].rsplit(":", 2)
        crash_at(place, when, int(count))
    if "SLOW" in os.environ:
        place, seconds = os.environ["SLOW"].rsplit(":", 1)
        slow_down(place, float(seconds))
    example.command()


if __name__ == "__main__":
    run()
