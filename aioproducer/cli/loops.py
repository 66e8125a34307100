"""Which event loop a command runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aioproducer.cli.settings import SettingsError

_T = TypeVar("_T")

Factory = Callable[[], asyncio.AbstractEventLoop]


def run_on(name: str, coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on the loop that is named: "asyncio", "uvloop", or "auto" for the best here.

    Raises:
        SettingsError: uvloop was named and is not installed.
    """
    try:
        factory = _factory(name)
    except SettingsError:
        coroutine.close()
        raise
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coroutine)


def _factory(name: str) -> Factory | None:
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError as error:
        if name == "uvloop":
            words = 'uvloop is not installed: pip install "aioproducer[uvloop]"'
            raise SettingsError(words) from error
        return None
    factory: Factory = uvloop.new_event_loop
    return factory
