"""Interceptors: who may look at a record on its way out, and at what became of it (KIP-42).

Without any, ``send()`` costs nothing for them. With some, each record costs a ``Record`` and, if
one of them wants acknowledgements, a callback.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from aioproducer.checks import check_options, check_topic
from aioproducer.delivery import Delivery
from aioproducer.errors import ConfigurationError, ProducerError
from aioproducer.records import Record, RecordMetadata
from aioproducer.runtime.engine import Engine
from aioproducer.runtime.events import EventLog
from aioproducer.runtime.patience import Patience
from aioproducer.runtime.stall import StallWatch
from aioproducer.story import Waited

K = TypeVar("K")
V = TypeVar("V")

MOST_PENDING = 10_000
"""Acknowledgements that wait for asynchronous interceptors; what comes beyond is dropped."""

_AT_THE_END_S = 1.0
"""Seconds that an asynchronous interceptor has when the producer closes with no time left."""

_METHODS = ("on_send", "on_acknowledgement")

# What the user's code may raise. A cancellation is of something that it looked at or awaited.
_FAILURES = (Exception, asyncio.CancelledError)


class Interceptor(Generic[K, V]):
    """What an interceptor may do; any object with one of these methods serves.

    They are called in the order of the list. What one raises is logged now and then, counted
    (``interceptor-error-total``) and harms neither the record nor the interceptors behind.
    """

    def on_send(self, record: Record[K, V]) -> Record[K, V] | None:
        """Look at a record before it is serialized; return another to send that instead.

        A plain function: ``send()`` never waits. The next interceptor gets what this one returns;
        ``None`` leaves the record as it is.
        """
        return None

    def on_acknowledgement(
        self,
        record: Record[K, V],
        metadata: RecordMetadata | None,
        error: Exception | None,
    ) -> Awaitable[None] | None:
        """Learn what became of a record: its ``metadata``, or the ``error`` it failed with.

        ``record`` is as it was sent, headers included. An ``async def`` runs in a task of its own,
        one call after the other, and cannot slow anything down: at most 10 000 calls wait for it,
        what comes beyond is counted (``interceptor-dropped-total``) and dropped.
        """
        return None

    def close(self) -> Awaitable[None] | None:
        """Let go of what the interceptor holds; called once, when the producer is closed.

        Where several producers have it, when the last of them is closed.
        An ``async def`` has the time that is left for closing, and a second at least. A producer
        that was collected without ``close()`` closes its interceptors too.
        """
        return None


def check_interceptors(given: object) -> tuple[Any, ...]:
    """Return the configured interceptors.

    Raises :exc:`ConfigurationError` for a class name of Java's, an object without either method,
    and an ``on_send`` that is asynchronous.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigurationError(
            f"interceptors must be a list of objects, not {given!r}: class names are Java's"
        )
    for each in given:
        if not any(callable(getattr(each, name, None)) for name in _METHODS):
            raise ConfigurationError(
                f"{each!r} is no interceptor: it has neither on_send() nor on_acknowledgement()"
            )
        if inspect.iscoroutinefunction(getattr(each, "on_send", None)):
            raise ConfigurationError(
                f"{each!r}: on_send() must be a plain function, since send() never waits;"
                " on_acknowledgement() may be asynchronous"
            )
    return tuple(given)


class InterceptorChain:
    """The interceptors of one producer, in order."""

    def __init__(self, interceptors: Sequence[Any], client_id: str) -> None:
        self._all = interceptors
        with _lock:
            _alive.add(self)
        self._senders = [each for each in interceptors if _has(each, "on_send")]
        self._listeners = [each for each in interceptors if _has(each, "on_acknowledgement")]
        self._client_id = client_id
        self._engine: Engine | None = None
        self._events: EventLog | None = None
        self._pending: deque[tuple[object, Awaitable[Any]]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def bind(self, engine: Engine) -> None:
        """Count and log for ``engine`` from now on."""
        self._engine = engine
        self._events = engine.events
        engine.before_end = self._finish

    # On the way out

    def on_send(self, record: Record[Any, Any]) -> Record[Any, Any]:
        """Return the record that all interceptors made of ``record``."""
        for each in self._senders:
            try:
                changed = each.on_send(record)
                if changed is not None:
                    record = _checked(changed)
            except _FAILURES as error:
                self._note(each, "on_send", error)
        return record

    def sent(self, record: Record[Any, Any], delivery: Delivery) -> None:
        """Have the interceptors told what becomes of ``record``."""
        if self._listeners:
            delivery.add_done_callback(partial(self._settled, record))

    def refused(self, record: Record[Any, Any], error: Exception) -> None:
        """Tell that ``send()`` raised."""
        self._tell(record, None, error)

    # What became of it

    def _settled(self, record: Record[Any, Any], delivery: Delivery) -> None:
        fate = delivery._fate
        if delivery.cancelled():
            if isinstance(fate.waiting, Waited):
                error = ProducerError(
                    "the record was withdrawn: its Delivery was cancelled while it waited",
                    topic=fate.topic,
                    partition=fate.partition,
                )
                self._tell(record, None, error)
                return
            # Only the wait was cancelled. The record is on its way; another Delivery of it tells.
            twin = fate.delivery(
                delivery._index,
                delivery._timestamp_ms,
                delivery._key_size,
                delivery._value_size,
            )
            twin.add_done_callback(partial(self._settled, record))
            return
        # Not by result() or exception(): that would count as somebody's having looked.
        if fate.error is not None:
            self._tell(record, None, fate.error.replica())
        else:
            self._tell(record, delivery._make_metadata(), None)

    def _tell(
        self, record: Record[Any, Any], metadata: RecordMetadata | None, error: Exception | None
    ) -> None:
        for each in self._listeners:
            try:
                answer = each.on_acknowledgement(record, metadata, error)
                if answer is not None and inspect.isawaitable(answer):
                    self._later(each, answer)
            except _FAILURES as failure:
                self._note(each, "on_acknowledgement", failure)

    def _later(self, interceptor: object, answer: Awaitable[Any]) -> None:
        engine = self._engine
        assert engine is not None
        has_ended = self._task is not None and self._task.done()
        if has_ended or len(self._pending) >= MOST_PENDING:
            engine.meters.producer.at(engine.now()).interceptor_dropped += 1
            _let_go(answer)
            return
        self._pending.append((interceptor, answer))
        self._idle.clear()
        self._wake.set()
        if self._task is None:
            name = f"{self._client_id}:interceptors"
            self._task = engine.supervisor.start(self._run(), name=name)

    async def _run(self) -> None:
        """Await what interceptors returned, one after the other."""
        own = asyncio.current_task()
        assert own is not None
        try:
            while not own.cancelling():
                await self._wake.wait()
                self._wake.clear()
                # One may have swallowed the end of this task.
                while self._pending and not own.cancelling():
                    interceptor, answer = self._pending.popleft()
                    try:
                        await answer
                    except _FAILURES as error:
                        if own.cancelling():
                            raise
                        self._note(interceptor, "on_acknowledgement", error)
                self._idle.set()
        finally:
            while self._pending:
                _let_go(self._pending.popleft()[1])
            self._idle.set()

    async def _finish(self, patience: Patience) -> None:
        """Tell asynchronous interceptors the last outcomes, then close all, as time allows."""
        async with patience.step(_AT_THE_END_S):
            # The callbacks of the last deliveries run in the next turn.
            await asyncio.sleep(0)
            await self._idle.wait()
        if self._task is not None and self._engine is not None:
            self._engine.supervisor.dismiss(self._task)
            async with patience.step(_AT_THE_END_S):
                await asyncio.wait([self._task])
        await self._close(patience)

    async def close_unused(self) -> None:
        """Close the interceptors of a producer that never was started."""
        patience = Patience(StallWatch(self._client_id))
        patience.shorten(0)
        await self._close(patience)

    async def _close(self, patience: Patience) -> None:
        for each in self._no_longer_used():
            async with patience.step(_AT_THE_END_S) as clock:
                await self._close_one(each)
            if clock.expired():
                self._note(each, "close", TimeoutError("not done when the time was over"))

    def _no_longer_used(self) -> list[Any]:
        """Return those to close: no other producer has them."""
        with _lock:
            _alive.discard(self)
            others = {id(each) for chain in _alive for each in chain._all}
        return [
            each
            for each in self._all
            if id(each) not in others and callable(getattr(each, "close", None))
        ]

    async def _close_one(self, interceptor: Any) -> None:
        own = asyncio.current_task()
        assert own is not None
        cancelled = own.cancelling()
        try:
            answer = interceptor.close()
            if inspect.isawaitable(answer):
                await answer
        except asyncio.CancelledError as error:
            if own.cancelling() > cancelled:
                raise
            self._note(interceptor, "close", error)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._note(interceptor, "close", error)

    def _note(self, interceptor: object, method: str, error: BaseException) -> None:
        engine, events = self._engine, self._events
        if engine is None or events is None:
            return
        engine.meters.producer.at(engine.now()).interceptor_errors += 1
        name = type(interceptor).__name__
        events.repeat(
            logging.WARNING,
            "interceptor.failed",
            f"{name}.{method}() raised {error!r}",
            key=f"{name}.{method}",
            error=error,
            interceptor=name,
            method=method,
        )


_lock = threading.Lock()
# Of producers that are not closed: several may have the same interceptor.
_alive: weakref.WeakSet[InterceptorChain] = weakref.WeakSet()


def _has(interceptor: object, method: str) -> bool:
    """Return whether it has a method of its own, not just the one that does nothing."""
    own = getattr(type(interceptor), method, None) is not getattr(Interceptor, method)
    return own and callable(getattr(interceptor, method, None))


def _checked(record: object) -> Record[Any, Any]:
    """Return what an interceptor returned if it is a record that may be sent, else raise."""
    if not isinstance(record, Record):
        raise TypeError(f"on_send() returned {type(record).__name__} instead of a Record or None")
    topic = check_topic(record.topic)
    check_options(record.partition, record.timestamp_ms, record.headers)
    return record if topic is record.topic else replace(record, topic=topic)


def _let_go(answer: Awaitable[Any]) -> None:
    """Drop what will not be awaited, so that nobody is warned of that."""
    if inspect.iscoroutine(answer):
        answer.close()
    elif isinstance(answer, asyncio.Future):
        answer.cancel()
