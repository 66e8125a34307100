"""Changes of circuits, for those who read them as they come."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aioproducer import ProducerError
from aioproducer.patterns.circuit import CircuitState

MOST_UNREAD = 1_000


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """A circuit went from one state to another.

    ``circuit`` is the topic's or broker's name, empty for a producer's only one. ``at`` is in
    seconds since 1970, ``retry_after`` the seconds until a probe may pass, once open. ``error`` is
    the failure that made it.
    """

    circuit: str
    before: CircuitState
    after: CircuitState
    at: float
    retry_after: float
    reason: str
    error: ProducerError | None


class _Reader(AsyncIterator[CircuitChange]):
    def __init__(self) -> None:
        self._unread: deque[CircuitChange] = deque(maxlen=MOST_UNREAD)
        self._news = asyncio.Event()
        self._ended = False

    async def __anext__(self) -> CircuitChange:
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._unread.popleft()

    def add(self, change: CircuitChange) -> None:
        self._unread.append(change)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()


class CircuitChanges:
    """Hands changes to readers."""

    def __init__(self) -> None:
        self._readers: weakref.WeakSet[_Reader] = weakref.WeakSet()
        self._ended = False

    def reader(self) -> AsyncIterator[CircuitChange]:
        """Return a new reader of all that changes from now on."""
        reader = _Reader()
        self._readers.add(reader)
        if self._ended:
            reader.end()
        return reader

    def add(self, change: CircuitChange) -> None:
        """Hand over one change."""
        for reader in list(self._readers):
            reader.add(change)

    def end(self) -> None:
        """Let every reader end after what it has not read yet, and those who come later at once."""
        self._ended = True
        for reader in list(self._readers):
            reader.end()
