"""What outlives the request that began it: its tasks, and who is told of records that fail."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

from aioproducer import (
    AsyncProducer,
    ProducerClosedError,
    ProducerError,
    Record,
    RecordMetadata,
)
from aioproducer.patterns import ProducerWrapper

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")

AnyProducer: TypeAlias = AsyncProducer[K, V] | ProducerWrapper[K, V]
"""A producer, or what stands in front of one: a circuit breaker, dead letters."""

OnFailure: TypeAlias = Callable[[Record[Any, Any], ProducerError], Awaitable[None] | None]
"""Told of each record that failed while nobody waited for it, with its error."""

Outcomes: TypeAlias = Sequence[RecordMetadata | ProducerError]


class Background:
    """The tasks of one service, and the hook for failures; ``finish()`` ends them all."""

    def __init__(self, on_failure: OnFailure | None, name: str) -> None:
        self.failed = 0
        self._on_failure = on_failure
        self._name = name
        self._tasks: set[asyncio.Future[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Outcomes], what: str) -> asyncio.Task[Outcomes]:
        """Run ``work`` in a task of its own, which no end of a request cancels."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}:{what}")
        self._own(task)
        return task

    def adopt(self, task: asyncio.Task[Outcomes], records: Sequence[Record[Any, Any]]) -> None:
        """Have the hook told what becomes of records that nobody waits for any more."""
        task.add_done_callback(lambda done: self._look_at(done, records))

    def fail(self, record: Record[Any, Any], error: ProducerError) -> None:
        """Count a record as failed, say so in the log, and tell the hook."""
        self.failed += 1
        logger.error(
            "[%s] a record for %s failed with nobody waiting (persisted: %s): %s",
            self._name, record.topic, error.persisted, error,
        )  # fmt: skip
        if self._on_failure is None:
            return
        try:
            told = self._on_failure(record, error)
        except Exception:
            logger.exception("[%s] the failure hook failed, too", self._name)
            return
        if inspect.isawaitable(told):
            self._own(
                asyncio.get_running_loop().create_task(
                    self._tell(told), name=f"{self._name}:failure-hook"
                )
            )

    async def finish(self, timeout: float) -> None:
        """Wait for what runs for up to ``timeout`` seconds, then cancel it.

        Cancelling the call cancels it at once.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            logger.error("[%s] %d tasks ran out of time", self._name, len(self._tasks))
        finally:
            await self._cancel()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    async def _tell(self, told: Awaitable[None]) -> None:
        try:
            await told
        except Exception:
            logger.exception("[%s] the failure hook failed, too", self._name)

    def _own(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look_at(self, task: asyncio.Task[Outcomes], records: Sequence[Record[Any, Any]]) -> None:
        if task.cancelled():
            error = ProducerClosedError("the service ended first", persisted="maybe")
            outcomes: Outcomes = [error] * len(records)
        elif (raised := task.exception()) is not None:
            error = ProducerClosedError(f"the record was not taken: {raised!r}")
            error.__cause__ = raised
            outcomes = [error] * len(records)
        else:
            outcomes = task.result()
        for record, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, ProducerError):
                self.fail(record, outcome)
