"""ThreadPortal: a producer for code that is not async, and for many threads at once."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from aioproducer import (
    AsyncProducer,
    CloseReport,
    DeliveryTimeoutError,
    FlushTimeoutError,
    Header,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
    ProducerTimeoutError,
    RecordMetadata,
)
from aioproducer.patterns import portal_process
from aioproducer.patterns.portal_jobs import CallJob, CallLateError, PortalFuture, SendJob
from aioproducer.patterns.portal_session import PortalSession
from aioproducer.patterns.portal_thread import begin_thread, uvloop_factory

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
P = ParamSpec("P")

_numbers = itertools.count(1)

# What a record is taken to need beside its key and value, and what is of no known size.
_OVERHEAD = 100
# How long after its timeout close() waits for a loop that somebody holds up, in seconds.
_PATIENCE = 5.0


class ThreadPortal(Generic[K, V]):
    """Sends the records of any thread through one producer, each in the order of its thread.

    ``ThreadPortal(partial(AsyncProducer, "localhost:9092"))`` has a producer of its own, in a loop
    of its own, on a daemon thread that begins with the first use. After a fork the child makes all
    of that anew, so a portal may be made before it. ``ThreadPortal.of(producer)``, in a coroutine,
    is a portal to a producer that runs already.

    Threads may hand over ``max_backlog`` records, of ``buffer.memory`` bytes in all, that the
    producer has no room for yet. Then ``send()`` holds its thread up, for ``block_timeout`` seconds
    at most (default: ``max.block.ms``; 0 never waits), and raises :exc:`BufferExhaustedError`.

    Close it, or use it as ``with ThreadPortal(...) as portal``. One that is not closed delivers
    what it has when the interpreter ends, for ``exit_timeout`` seconds at most.

    Args:
        make: makes the producer, at once and again in every forked child.
        max_backlog: records.
        block_timeout: seconds.
        exit_timeout: seconds.
        uvloop: whether the loop is uvloop's (extra ``uvloop``).

    Raises:
        ConfigurationError: what ``make`` raises, or uvloop is not there.
    """

    def __init__(
        self,
        make: Callable[[], AsyncProducer[K, V]],
        *,
        max_backlog: int = 10_000,
        block_timeout: float | None = None,
        exit_timeout: float = 10.0,
        uvloop: bool = False,
    ) -> None:
        if not callable(make):
            raise TypeError(
                "ThreadPortal takes a function that makes the producer, as in"
                f" partial(AsyncProducer, ...), not {type(make).__name__};"
                " for a running producer there is ThreadPortal.of()"
            )
        self._make: Callable[[], AsyncProducer[K, V]] | None = make
        self._prepare(max_backlog, block_timeout, exit_timeout)
        self._loop_factory = uvloop_factory() if uvloop else None
        # Made now, so that a wrong configuration is told here; started by the first use.
        self._producer: AsyncProducer[K, V] | None = make()
        portal_process.know(self)

    def _prepare(self, max_backlog: int, block_timeout: float | None, exit_timeout: float) -> None:
        if max_backlog < 1:
            raise ValueError(f"max_backlog must be at least 1, not {max_backlog}")
        for name, seconds in (("block_timeout", block_timeout), ("exit_timeout", exit_timeout)):
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must be 0 or more seconds, not {seconds}")
        self._max_backlog = max_backlog
        self._block_timeout = block_timeout
        self._exit_timeout = exit_timeout
        self._lock = threading.Lock()
        self._session: PortalSession[K, V] | None = None
        self._closed: ProducerError | None = None
        self._serving: asyncio.Task[None] | None = None
        self.name = f"thread-portal-{next(_numbers)}"

    @classmethod
    def of(
        cls,
        producer: AsyncProducer[K, V],
        *,
        max_backlog: int = 10_000,
        block_timeout: float | None = None,
    ) -> ThreadPortal[K, V]:
        """Return a portal to ``producer``, whose loop must be the running one.

        It ends with ``aclose()``, ``async with``, or the loop; the producer stays open. Raises
        :exc:`ProducerStateError` outside of a loop.
        """
        portal: ThreadPortal[K, V] = cls.__new__(cls)
        portal._make = portal._producer = portal._loop_factory = None
        portal._prepare(max_backlog, block_timeout, 0.0)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ProducerStateError(
                "ThreadPortal.of() is called in the producer's running event loop",
                what_next="Elsewhere, ThreadPortal(make) has a loop and a producer of its own.",
            ) from None
        session = PortalSession(producer, portal.name, max_backlog, owned=False)
        session.bind()
        portal._session = session
        portal._serving = loop.create_task(session.live(), name=portal.name)
        portal._serving.add_done_callback(_ended_with(session))
        portal_process.know(portal)
        return portal

    # Sending

    def send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> PortalFuture[RecordMetadata]:
        """Hand one record over and return the future of its metadata.

        The arguments are those of :meth:`AsyncProducer.send`; serializers run in the loop, so a
        value must not be changed any more. The thread waits for room only, within ``timeout``.
        Callbacks of the future run in the loop's thread and must be short. Cancelling the future
        withdraws the record until the loop has taken it; later it answers ``False``.

        Raises :exc:`BufferExhaustedError`, :exc:`ProducerClosedError`, and
        :exc:`WrongLoopError` in the thread of the loop. Everything else, misuse too, arrives in the
        future, as the :exc:`ProducerError` that the record has met.
        """
        session = self._require_session()
        session.require_another_thread("send()")
        if isinstance(value, bytearray | memoryview):
            value = bytes(value)  # type: ignore[assignment]
        options: dict[str, Any] = {}
        if partition is not None:
            options["partition"] = partition
        if timestamp_ms is not None:
            options["timestamp_ms"] = timestamp_ms
        if headers:
            options["headers"] = headers
        limit = self._limit(session)
        deadline = None
        if timeout is not None:
            limit = min(limit, timeout)
            deadline = monotonic() + timeout
        size = _OVERHEAD + _size(key) + _size(value)
        job = SendJob(session, topic, value, key, options, deadline, size)
        session.put(job, limit)
        return job.future

    def send_and_wait(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> RecordMetadata:
        """Send one record without lingering, wait for it and return its metadata.

        Raises what :meth:`AsyncProducer.send_and_wait` raises, the record's error too. Ctrl-C ends
        the wait: a record that waits for room is withdrawn, another one is delivered all the same.
        """

        deadline = None if timeout is None else monotonic() + timeout

        async def expedited(producer: AsyncProducer[K, V]) -> RecordMetadata:
            return await producer.send_and_wait(
                topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
                headers=headers, timeout=_left(deadline),
            )  # fmt: skip

        return self._call(expedited, deadline, DeliveryTimeoutError, needs_room=True)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all that was handed over before is settled, as :meth:`AsyncProducer.flush`.

        Never raises a record's failure. Raises :exc:`FlushTimeoutError` after ``timeout`` seconds.
        """
        if self._session is None:
            return
        deadline = None if timeout is None else monotonic() + timeout

        async def flushed(producer: AsyncProducer[K, V]) -> None:
            await producer.flush(_left(deadline))

        self._call(flushed, deadline, FlushTimeoutError, needs_room=False)

    def run(
        self,
        function: Callable[Concatenate[AsyncProducer[K, V], P], Awaitable[T]],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Await ``function(producer, ...)`` in the loop and return its result.

        For all that a producer can do beside sending, such as a transaction. It begins behind what
        this thread has handed over. Raises what it raises; Ctrl-C cancels it.
        """

        async def call(producer: AsyncProducer[K, V]) -> T:
            return await function(producer, *arguments, **options)

        return self._call(call, None, ProducerTimeoutError, needs_room=True)

    # Life

    def close(self, timeout: float | None = None) -> CloseReport | None:
        """Take no more, deliver what was handed over within ``timeout`` seconds, end the thread.

        The default is the delivery timeout plus a second. Everything that is still open then fails
        with :exc:`ProducerClosedError`. May be called again, and brings the end nearer with a
        shorter timeout. Ctrl-C forces the end. Returns the producer's report; ``None`` for a
        producer that was never used, or is not the portal's: then it returns when everything is
        with that producer, which stays open. Raises :exc:`WrongLoopError` in the loop's own thread.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be 0 or more seconds, not {timeout}")
        with self._lock:
            if self._closed is None:
                self._closed = ProducerClosedError(f"{self.name} is closed")
            session = self._session
        if session is None:
            return None
        session.require_another_thread("close()")
        limit = session.patience() if timeout is None else timeout
        session.close(limit)
        try:
            session.wait_for_end(limit + _PATIENCE)
        except BaseException:
            session.close(0)
            raise
        return session.report

    async def aclose(self, timeout: float | None = None) -> None:
        """Close a portal of a running producer, in its loop: all goes to the producer first.

        Within ``timeout`` seconds, by default the delivery timeout plus a second; what the producer
        has had no room for then fails with :exc:`ProducerClosedError`. The producer stays open.
        Cancelling abandons the wait only.
        """
        session, serving = self._session, self._serving
        if session is None or serving is None:
            raise ProducerStateError("this portal has a thread of its own: close() ends it")
        session.close(session.patience() if timeout is None else timeout)
        await asyncio.wait([serving])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<ThreadPortal {self.name} {'open' if self._closed is None else 'closed'}>"

    # Helpers

    def _call(
        self,
        function: Callable[[AsyncProducer[K, V]], Awaitable[T]],
        deadline: float | None,
        late: type[ProducerTimeoutError],
        *,
        needs_room: bool,
    ) -> T:
        """Await ``function(producer)`` in the loop; raise ``late`` if it has not begun in time."""
        session = self._require_session()
        session.require_another_thread("waiting for the loop")
        job = CallJob(session, function)
        left = _left(deadline)
        try:
            if needs_room:
                limit = self._limit(session)
                session.put(job, limit if left is None else min(limit, left))
            else:
                session.put(job, None)
            result: T = job.future.result_by(_left(deadline))
        except CallLateError:
            raise late(f"the loop of {self.name} was not ready for it in time") from None
        except BaseException:
            job.stop()
            raise
        return result

    def _limit(self, session: PortalSession[K, V]) -> float:
        if self._block_timeout is not None:
            return self._block_timeout
        return session.producer.config.max_block_ms / 1000

    def _require_session(self) -> PortalSession[K, V]:
        """Return the session, begun anew where there is none: at first use, and after a fork."""
        session = self._session
        if session is not None and not session.ended.is_set():
            return session
        with self._lock:
            if self._closed is not None:
                raise self._closed.replica()
            session = self._session
            if session is None or (session.ended.is_set() and self._make is not None):
                session = self._session = self._begin()
            return session

    def _begin(self) -> PortalSession[K, V]:
        assert self._make is not None
        producer, self._producer = self._producer, None
        session = PortalSession(producer or self._make(), self.name, self._max_backlog, owned=True)
        portal_process.hold(self)
        begin_thread(session, self._loop_factory, partial(portal_process.let_go, self))
        return session

    def _exit(self) -> None:
        """Deliver what is there when the interpreter ends."""
        session = self._session
        if session is not None and session.owned and not session.ended.is_set():
            logger.info("[%s] closing it at the end of the program", self.name)
            self.close(self._exit_timeout)

    def _leave_to_the_parent(self) -> None:
        """In a forked child: the thread, the loop and what is under way are the parent's."""
        session, self._session = self._session, None
        self._lock = threading.Lock()
        if session is None:
            return
        why = ProducerStateError(
            "this record was handed over before the fork: its parent process sends it"
        )
        portal_process.leave_behind(session)
        for job in session.jobs():
            job.future._leave_to_the_parent(why)
        if self._make is None and self._closed is None:
            self._closed = ProducerStateError(
                "the loop of this portal is the parent process's",
                what_next="Make a portal in this process: ThreadPortal(make) does so by itself.",
            )


def _ended_with(session: PortalSession[Any, Any]) -> Callable[[asyncio.Task[None]], None]:
    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            # What the producer has taken, it settles.
            session.ended.set()
            return
        session.end(ProducerClosedError(f"the event loop of {session.name} has ended"))

    return ended


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - monotonic())


def _size(value: object) -> int:
    return len(value) if isinstance(value, bytes | str) else 0
