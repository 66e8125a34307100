"""A proxy on a thread of its own: for programs and fixtures that have no loop, or several."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

# How often a caller looks whether there is still a thread to answer, in seconds.
_LOOK = 0.5


class Runnable(Protocol):
    """What is run: a FaultProxy."""

    async def _open(self) -> None: ...

    async def _end(self) -> None: ...


class ProxyThread:
    """Runs a proxy on a loop and a thread of its own."""

    def __init__(self, proxy: Runnable) -> None:
        self._proxy = proxy
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="fault-proxy", daemon=True)

    @property
    def is_current(self) -> bool:
        """Whether the caller is on that thread."""
        return threading.current_thread() is self._thread

    def start(self) -> None:
        """Return once the proxy listens; raises what it raised."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop(self) -> None:
        """Return once nothing of it is left."""
        loop, over = self._loop, self._over
        if loop is not None and over is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(over.set)
        self._thread.join()

    def call(self, call: Callable[[], object]) -> None:
        """Have it called on the thread and return when that is done, or the thread has ended."""
        done = threading.Event()

        def run() -> None:
            try:
                call()
            finally:
                done.set()

        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError:
            # Somebody has stopped it meanwhile.
            return
        while not done.wait(_LOOK) and self._thread.is_alive():
            pass

    def _main(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._proxy._open()
        except BaseException as error:  # noqa: BLE001 - raised where it was started
            self._error = error
            return
        finally:
            self._ready.set()
        await self._over.wait()
        await self._proxy._end()
