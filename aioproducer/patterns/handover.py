"""Handover: what many threads put and one event loop takes, bounded and in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from aioproducer import BufferExhaustedError, ProducerError

T = TypeVar("T")


class Handover(Generic[T]):
    """A queue with room for so many items and bytes; who finds no room waits in a line.

    ``wake`` is called once for each burst: by the put that finds nothing waiting to be taken.
    """

    def __init__(self, most_items: int, most_bytes: int, wake: Callable[[], None]) -> None:
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._wake = wake
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._queue: deque[T] = deque()
        self._items = 0
        self._bytes = 0
        self._line: deque[object] = deque()
        self._error: ProducerError | None = None

    @property
    def refusal(self) -> ProducerError | None:
        """Why nothing is taken any more; ``None`` while it is."""
        return self._error

    def put(self, item: T, size: int, timeout: float | None) -> None:
        """Queue ``item``, waiting for up to ``timeout`` seconds for room; ``None`` needs none.

        Raises :exc:`BufferExhaustedError` then, and the error of ``refuse()`` after that.
        """
        with self._lock:
            if timeout is not None and (self._line or not self._fits(size)):
                self._wait_for_room(size, timeout)
            if self._error is not None:
                raise self._error.replica()
            idle = not self._queue
            self._queue.append(item)
            self._items += 1
            self._bytes += size
        if idle:
            self._wake()

    def take(self) -> list[T]:
        """Return all that was put, oldest first; its room is still held."""
        with self._lock:
            taken, self._queue = self._queue, deque()
        return list(taken)

    def release(self, items: int, size: int) -> None:
        """Give back the room of what was taken and is dealt with."""
        with self._lock:
            self._items -= items
            self._bytes -= size
            self._room.notify_all()

    def refuse(self, error: ProducerError) -> None:
        """Take nothing more; who waits for room, and who comes later, gets ``error``."""
        with self._lock:
            if self._error is None:
                self._error = error
            self._room.notify_all()
        self._wake()

    def _wait_for_room(self, size: int, timeout: float) -> None:
        end = monotonic() + timeout
        place = object()
        self._line.append(place)
        try:
            while self._error is None and not (self._line[0] is place and self._fits(size)):
                left = end - monotonic()
                if left <= 0:
                    raise BufferExhaustedError(
                        f"{self._items} records of threads wait for the producer; there was no"
                        f" room for another within {timeout:g} s",
                        what_next="Wait for some of the futures, or send less.",
                    )
                self._room.wait(left)
        finally:
            self._line.remove(place)
            # The next in line may fit as well, or instead.
            self._room.notify_all()

    def _fits(self, size: int) -> bool:
        if not self._items:
            return True
        return self._items < self._most_items and self._bytes + size <= self._most_bytes
