"""Where exporters read: a producer held weakly, asked on the thread that it lives on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from typing import Protocol

from aioproducer.observe.snapshot import MetricsSnapshot

_PATIENCE_S = 5.0
"""How long a scraping thread waits for a loop that is busy."""


class Measured(Protocol):
    """A producer, as far as it is looked at here."""

    client_id: str

    def metrics(self) -> MetricsSnapshot: ...


class Source:
    """A producer and its loop; made where that loop runs."""

    def __init__(self, producer: Measured) -> None:
        self._producer = weakref.ref(producer)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @property
    def producer(self) -> Measured | None:
        """The producer, ``None`` after it was collected."""
        return self._producer()

    def snapshot(self) -> MetricsSnapshot | None:
        """Take a snapshot, from any thread; ``None`` if the loop does not get to it.

        A producer's figures change on its own thread alone, and are read there.
        """
        producer = self._producer()
        if producer is None:
            return None
        if threading.get_ident() == self._thread or not self._loop.is_running():
            return producer.metrics()
        answer: concurrent.futures.Future[MetricsSnapshot] = concurrent.futures.Future()

        def take() -> None:
            try:
                answer.set_result(producer.metrics())
            except Exception as error:  # noqa: BLE001 - goes to the scraping thread
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(take)
            return answer.result(_PATIENCE_S)
        except (RuntimeError, concurrent.futures.TimeoutError):
            return None
