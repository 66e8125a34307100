"""Closing a producer when the process is told to end, as containers do with SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

from aioproducer.errors import ProducerStateError

logger = logging.getLogger("aioproducer")


class SignalDrain:
    """The signals that close a producer, from ``install_signal_drain()`` to the end of its close.

    The first one closes it within the given time, another one at once.
    """

    def __init__(
        self,
        signals: Iterable[int],
        begin_close: Callable[[float], object],
        timeout: float,
        client_id: str,
    ) -> None:
        self.received: signal.Signals | None = None
        self._begin_close = begin_close
        self._timeout = timeout
        self._client_id = client_id
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._replaced: dict[signal.Signals, Any] = {}
        for number in signals:
            self._install(signal.Signals(number))

    async def wait(self) -> signal.Signals | None:
        """Return the first signal once it came, or ``None`` once the producer closed without one.

        Cancelling abandons the wait only.
        """
        if self.received is None:
            await asyncio.shield(self._over)
        return self.received

    def uninstall(self) -> None:
        """Give the signals back to whoever handled them before; a close under way goes on."""
        replaced, self._replaced = self._replaced, {}
        for number, handler in replaced.items():
            self._loop.remove_signal_handler(number)
            if handler is not None:
                # remove_signal_handler() knows Python's own handlers only, asyncio.run() has one.
                signal.signal(number, handler)
        if not self._over.done():
            self._over.set_result(None)

    def _install(self, number: signal.Signals) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.uninstall()
            raise ProducerStateError(
                "signals reach the main thread only, and this event loop runs in another",
                what_next="Handle the signal in the main thread and have close() called here.",
            )
        before = signal.getsignal(number)
        try:
            self._loop.add_signal_handler(number, self._on_signal, number)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            self.uninstall()
            raise ProducerStateError(
                f"this event loop cannot handle {number.name}: {error!r}",
                what_next="Call close() where the application learns that it has to end.",
            ) from error
        self._replaced[number] = before

    def _on_signal(self, number: signal.Signals) -> None:
        if self.received is None:
            self.received = number
            logger.info("[%s] %s: closing within %g s", self._client_id, number.name, self._timeout)
            self._begin_close(self._timeout)
            if not self._over.done():
                self._over.set_result(None)
        else:
            logger.warning("[%s] %s again: closing at once", self._client_id, number.name)
            self._begin_close(0)
