"""Closing a producer when the process is told to end, as containers do with SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from aioproducer.errors import ProducerStateError

logger = logging.getLogger("aioproducer")

_LOOPS_OWN = ("asyncio.unix_events", "uvloop.loop")
"""Modules of the functions by which event loops take a signal for their own handlers."""


class _Shared:
    """One signal of one loop: who handled it before, and the drains that want it now."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.drains: list[SignalDrain] = []

    def deliver(self, number: signal.Signals) -> None:
        for drain in list(self.drains):
            drain._on_signal(number)


# A loop has room for one handler of each signal, and a process may have several producers.
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[signal.Signals, _Shared]] = (
    WeakKeyDictionary()
)


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
        self._installed: list[signal.Signals] = []
        for number in dict.fromkeys(signals):
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
        installed, self._installed = self._installed, []
        for number in installed:
            shared = _shared[self._loop][number]
            shared.drains.remove(self)
            if shared.drains:
                continue
            del _shared[self._loop][number]
            self._loop.remove_signal_handler(number)
            if shared.before is not None:
                # remove_signal_handler() knows Python's own handlers only, asyncio.run() has one.
                signal.signal(number, shared.before)
        if not self._over.done():
            self._over.set_result(None)

    def _install(self, number: signal.Signals) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.uninstall()
            raise ProducerStateError(
                "signals reach the main thread only, and this event loop runs in another",
                what_next="Handle the signal in the main thread and have close() called here.",
            )
        shared = _shared.setdefault(self._loop, {}).get(number)
        if shared is None:
            shared = self._take_over(number)
            _shared[self._loop][number] = shared
        shared.drains.append(self)
        self._installed.append(number)

    def _take_over(self, number: signal.Signals) -> _Shared:
        """Have the loop handle the signal for us, unless the application had it do so."""
        shared = _Shared(signal.getsignal(number))
        if getattr(shared.before, "__module__", None) in _LOOPS_OWN:
            self.uninstall()
            raise ProducerStateError(
                f"the application has a handler for {number.name} on this event loop",
                what_next="Call close() in that handler: the loop has room for one.",
            )
        try:
            self._loop.add_signal_handler(number, shared.deliver, number)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            # What loops raise that cannot: on Windows, outside the main thread, for such a signal.
            self.uninstall()
            raise ProducerStateError(
                f"this event loop cannot handle {number.name}: {error!r}",
                what_next="Call close() where the application learns that it has to end.",
            ) from error
        return shared

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
