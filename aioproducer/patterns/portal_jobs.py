"""What threads hand over to a portal's loop, and the futures they get for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from aioproducer import Delivery, ProducerClosedError, ProducerError

if TYPE_CHECKING:
    from aioproducer.patterns.portal_session import PortalSession

T = TypeVar("T")
R = TypeVar("R")

# How often a thread that waits looks whether there is still a loop to answer it, in seconds.
_LOOK = 1.0


class CallLateError(Exception):
    """What was to be called had not begun when its time was over, and never will."""


class PortalFuture(concurrent.futures.Future[T]):
    """The outcome of what a thread has handed over; waits for it only where that can end."""

    def __init__(self, session: PortalSession[Any, Any]) -> None:
        super().__init__()
        self._session = session

    def result(self, timeout: float | None = None) -> T:
        """Return the outcome, waiting up to ``timeout`` seconds; raises the record's error.

        Raises :exc:`TimeoutError`, :exc:`concurrent.futures.CancelledError`, and
        :exc:`WrongLoopError` on the loop's own thread, where waiting would never end.
        """
        return self._waiting(super().result, timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error, or ``None``; waits and raises as ``result()``."""
        return self._waiting(super().exception, timeout)

    def _waiting(self, ask: Callable[[float], R], timeout: float | None) -> R:
        if not self.done():
            self._session.require_another_thread("waiting for a record")
        end = None if timeout is None else monotonic() + timeout
        while True:
            left = _LOOK if end is None else max(0.0, min(_LOOK, end - monotonic()))
            try:
                return ask(left)
            except TimeoutError:
                # Or this is the record's own error.
                if self.done() or (end is not None and monotonic() >= end):
                    raise
                self._session.look()

    def result_by(self, timeout: float | None) -> T:
        """Return the outcome; raise :exc:`CallLateError` if ``timeout`` passes before it begins.

        Once it has begun it ends by itself, with its own error if it is late.
        """
        if timeout is not None:
            try:
                return self.result(timeout)
            except TimeoutError:
                if not self.done() and self.cancel():
                    raise CallLateError from None
        return self.result()

    def _leave_to_the_parent(self, error: ProducerError) -> None:
        """Fail, in a forked child: whoever held the lock does not exist here."""
        self._condition = threading.Condition()
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.set_exception(error)


class Job:
    """One thing handed over. ``begin()`` runs in the loop, and settles the future by and by."""

    __slots__ = ("begun", "future", "session", "size")

    future: PortalFuture[Any]

    def __init__(self, session: PortalSession[Any, Any], size: int) -> None:
        self.session = session
        self.size = size
        self.begun = False
        self.future = PortalFuture(session)

    def begin(self) -> None:
        raise NotImplementedError

    def taken(self) -> bool:
        """Return whether the job is to be done; else it was cancelled, or has failed."""
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            self.session.forget(self)
            return False
        self.begun = True
        return True

    def succeed(self, result: Any) -> None:
        self.session.forget(self)
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        self.session.forget(self)
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.future.set_exception(error)

    def abandon(self, why: ProducerError) -> None:
        """Fail because the loop has ended: what had begun may have reached the log."""
        error = why.replica()
        error.persisted = "maybe" if self.begun else "no"
        self.fail(error)


class SendJob(Job):
    """One record."""

    __slots__ = ("deadline", "key", "options", "topic", "value")

    def __init__(
        self,
        session: PortalSession[Any, Any],
        topic: str,
        value: Any,
        key: Any,
        options: dict[str, Any],
        deadline: float | None,
        size: int,
    ) -> None:
        super().__init__(session, size)
        self.topic = topic
        self.value = value
        self.key = key
        self.options = options
        self.deadline = deadline

    def begin(self) -> None:
        if self.deadline is not None:
            self.session.deadlines.forget(self)
        if not self.taken():
            return
        if self.deadline is not None:
            self.options["timeout"] = max(0.0, self.deadline - monotonic())
        try:
            delivery = self.session.producer.send(
                self.topic, self.value, key=self.key, **self.options
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread gets it
            self.fail(error)
            return
        self.value = self.key = None
        delivery.add_done_callback(self._settled)

    def _settled(self, delivery: Delivery) -> None:
        try:
            metadata = delivery.result()
        except asyncio.CancelledError:
            self.abandon(ProducerClosedError("the loop of the portal cancelled the record"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread gets it
            self.fail(error)
        else:
            self.succeed(metadata)


class CallJob(Job):
    """A coroutine function to be run with the producer, behind all that was handed over before."""

    __slots__ = ("function", "task")

    def __init__(
        self, session: PortalSession[Any, Any], function: Callable[[Any], Awaitable[Any]]
    ) -> None:
        super().__init__(session, 0)
        self.function = function
        self.task: asyncio.Task[Any] | None = None

    def begin(self) -> None:
        if self.taken():
            self.task = asyncio.create_task(self._run(), name=f"{self.session.name}:call")
            self.session.calls.add(self.task)
            self.task.add_done_callback(self._done)

    async def _run(self) -> Any:
        return await self.function(self.session.producer)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.session.calls.discard(task)
        if task.cancelled():
            self.abandon(ProducerClosedError("the call was cancelled in the loop of the portal"))
        elif (error := task.exception()) is not None:
            self.fail(error)
        else:
            self.succeed(task.result())

    def stop(self) -> None:
        """Cancel what runs, from another thread; the future is told by its end."""
        if not self.future.done() and not self.future.cancel():
            self.session.call_soon(self._stop)

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
