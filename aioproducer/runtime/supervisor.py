"""The owner of every background task: each has a name and an end, and none dies silently."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from aioproducer.runtime.events import event

logger = logging.getLogger("aioproducer")

P = ParamSpec("P")


class Supervisor:
    """Starts tasks, keeps them referenced, tells when one dies, ends them all."""

    def __init__(self, client_id: str, on_crash: Callable[[str, BaseException], None]) -> None:
        self._client_id = client_id
        self._on_crash = on_crash
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._dismissed: set[asyncio.Task[None]] = set()
        self._may_be_cancelled = False
        self._closing = False

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run ``work`` as a task of this producer."""
        # An explicit Task: an eager task factory of the application would run `work` at once, in
        # the middle of the caller.
        task = asyncio.Task(work, loop=self._loop, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        was_dismissed = task in self._dismissed
        self._dismissed.discard(task)
        if task.cancelled():
            if not self._may_be_cancelled and not was_dismissed:
                self._cancelled_by_others(task)
            return
        error = task.exception()
        if error is not None:
            logger.error(
                "[%s] background task %s died",
                self._client_id,
                task.get_name(),
                exc_info=error,
                extra=event("task.died", self._client_id, task=task.get_name()),
            )
            if not self._closing:
                self._on_crash(task.get_name(), error)

    def _cancelled_by_others(self, task: asyncio.Task[None]) -> None:
        """Say so, once: the end of the loop cancels them all."""
        self._may_be_cancelled = True
        name = task.get_name()
        logger.warning(
            "[%s] background task %s was cancelled from outside before close()",
            self._client_id,
            name,
            extra=event("task.cancelled", self._client_id, task=name),
        )
        self._on_crash(name, asyncio.CancelledError("cancelled from outside"))

    def dismiss(self, task: asyncio.Task[None]) -> None:
        """End one task that is not needed any more."""
        if not task.done():
            self._dismissed.add(task)
            task.cancel()

    def expect_cancelling(self) -> None:
        """From now on a cancelled task is no surprise: the producer is closing."""
        self._may_be_cancelled = True

    async def close(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self._closing = self._may_be_cancelled = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def weakly(method: Callable[P, None]) -> Callable[P, None]:
    """Return a call of ``method`` that keeps its object no longer alive than others do.

    The loop keeps the tasks, and the tasks the engine: held strongly, a producer that nobody holds
    any more would never be collected, and never say that it was not closed.
    """
    reference = weakref.WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        found = reference()
        if found is not None:
            found(*args, **kwargs)

    return call
