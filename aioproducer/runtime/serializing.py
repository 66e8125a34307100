"""Serializers that answer later: a task for each such record, which keeps its place meanwhile."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from aioproducer.checks import as_buffer
from aioproducer.core.memory_budget import RECORD_OVERHEAD, MemoryBudget
from aioproducer.core.waiting_room import WaitingRecord
from aioproducer.errors import (
    BufferExhaustedError,
    ProducerError,
    SerializationError,
    SerializerTimeoutError,
    because,
)
from aioproducer.records import Header
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.wire.record_encoder import record_size_bound

logger = logging.getLogger("aioproducer")

Buffer = bytes | bytearray | memoryview

PENDING_CHARGE = 3_000
"""Bytes charged for a record whose serializer is at work: its task and what that keeps alive,
measured on CPython 3.11. What it will come to is charged once it is known."""


class Answer:
    """What a serializer gave where that is more than bytes: later, or with headers to add."""

    __slots__ = ("_data", "_later", "_to_error", "headers", "trouble")

    def __init__(
        self,
        answer: object,
        headers: list[Header],
        to_error: Callable[[Exception], ProducerError],
        trouble: Callable[[], BaseException | None],
    ) -> None:
        self._later: Awaitable[object] | None = answer if inspect.isawaitable(answer) else None
        self._data = None if self._later is not None else answer
        self._to_error = to_error
        # Filled by the serializer until it is done.
        self.headers = headers
        self.trouble = trouble

    @property
    def is_later(self) -> bool:
        """Whether the bytes have to be awaited."""
        return self._later is not None

    def now(self, field: str) -> bytes | None:
        """Return the bytes of the key or the value, which are there."""
        return None if self._data is None else bytes(as_buffer(self._data, field))

    async def later(self, field: str) -> bytes | None:
        """Return the bytes; raises the record's error. Cancelling cancels the serializer."""
        assert self._later is not None
        try:
            data = await self._later
            if data is None:
                return None
            if isinstance(data, (bytes, bytearray, memoryview)):
                # A copy: whoever made it may go on writing into it while the record waits.
                return bytes(as_buffer(data, field))
            raise SerializationError(
                f"the serializer returned {type(data).__name__} instead of bytes"
            )
        except Exception as error:
            # The user's code may raise anything; it fails this record alone.
            raise self._to_error(error) from error

    def discard(self) -> None:
        """Let go of what nobody will await, so that nobody is warned of that."""
        later = self._later
        if inspect.iscoroutine(later):
            if inspect.getcoroutinestate(later) == inspect.CORO_CREATED:
                later.close()
        elif isinstance(later, asyncio.Future):
            later.cancel()


class MoreThanBytes(Exception):
    """The serializers of a record gave more than the bytes of its key and its value.

    No error: it takes such records off the fast path, at no cost to the others.
    """

    def __init__(self, key: Any, value: Any) -> None:
        super().__init__()
        self.key = key
        self.value = value

    @classmethod
    def of(cls, key: Any, value: Any) -> MoreThanBytes:
        """Return it for parts that are buffers, ``None`` or answers; raises for anything else."""
        if value is not None and not isinstance(value, Answer):
            try:
                value = as_buffer(value, "value")
            except TypeError:
                let_go(key)
                raise
        return cls(key, value)


def let_go(part: object) -> None:
    """Discard an answer that nobody will await."""
    for answer in answers(part):
        answer.discard()


def answers(*parts: object) -> list[Answer]:
    """Return those of ``parts`` that are more than bytes."""
    return [part for part in parts if isinstance(part, Answer)]


def with_headers(headers: Sequence[Header], *parts: object) -> Sequence[Header]:
    """Return ``headers`` and those that the serializers of key and value add."""
    added = [header for answer in answers(*parts) for header in answer.headers]
    return [*headers, *added] if added else headers


async def both_of(more: MoreThanBytes) -> tuple[bytes | None, bytes | None]:
    """Return key and value, the key first; raises the record's error."""
    parts: list[bytes | None] = []
    try:
        for field, part in (("key", more.key), ("value", more.value)):
            if isinstance(part, Answer):
                parts.append(await part.later(field) if part.is_later else part.now(field))
            else:
                parts.append(None if part is None else bytes(part))
    except BaseException:
        let_go(more.value)
        raise
    return parts[0], parts[1]


class Serializing:
    """Runs the serializers that answer later, each in a task of its record."""

    def __init__(
        self,
        client_id: str,
        budget: MemoryBudget,
        supervisor: Supervisor,
        *,
        narrow: Callable[[WaitingRecord], None],
        done: Callable[[WaitingRecord], None],
        failed: Callable[[WaitingRecord, ProducerError], None],
        is_waiting: Callable[[WaitingRecord], bool],
        largest: Callable[[int], ProducerError | None],
    ) -> None:
        self._client_id = client_id
        self._budget = budget
        self._supervisor = supervisor
        self._narrow = narrow
        self._done = done
        self._failed = failed
        self._is_waiting = is_waiting
        self._largest = largest
        self._tasks: dict[WaitingRecord, tuple[asyncio.Task[None], list[Answer]]] = {}

    def start(self, record: WaitingRecord, key: object, value: object) -> None:
        """Have the serializers of ``record``, which waits, do their work."""
        pending = answers(key, value)
        record.trouble = partial(_first_trouble, pending)
        task = self._supervisor.start(
            self._run(record, key, value), name=f"{self._client_id}:serializer-{record.topic}"
        )
        self._tasks[record] = (task, pending)

    def left(self, record: WaitingRecord) -> None:
        """End the work for ``record``, which waits no more."""
        entry = self._tasks.pop(record, None)
        if entry is not None:
            task, pending = entry
            self._supervisor.dismiss(task)
            for answer in pending:
                answer.discard()

    async def _run(self, record: WaitingRecord, key: object, value: object) -> None:
        try:
            if isinstance(key, Answer):
                record.key = await key.later("key") if key.is_later else key.now("key")
                if not self._is_waiting(record):
                    return
                self._narrow(record)
            if isinstance(value, Answer):
                data = await value.later("value") if value.is_later else value.now("value")
                if not self._is_waiting(record):
                    return
                record.value = data
            record.headers = tuple(with_headers(record.headers, key, value))
            self._finish(record)
        except ProducerError as error:
            self._fail(record, error)
        except asyncio.CancelledError:
            if not self._is_waiting(record):
                raise
            # Not by us: the serializer, or something that it awaits, was cancelled.
            self._fail(record, SerializationError("the serializer was cancelled"))
        except Exception as error:
            # The task must end well whatever it was: this record alone fails of it.
            logger.error("unexpected error while serializing a record", exc_info=error)
            failure = SerializationError(f"unexpected error while serializing: {error!r}")
            failure.__cause__ = error
            self._fail(record, failure)

    def _finish(self, record: WaitingRecord) -> None:
        """Charge ``record`` as what it has become, and let it go on."""
        key, value = record.key, record.value
        key_size = -1 if key is None else len(key)
        value_size = -1 if value is None else len(value)
        size = record_size_bound(key_size, value_size, record.headers)
        error = self._largest(size)
        if error is not None:
            raise error
        self._budget.give_back_waiting(record.size + RECORD_OVERHEAD)
        if not self._budget.take_waiting(size + RECORD_OVERHEAD):
            self._budget.take_waiting(record.size + RECORD_OVERHEAD)
            raise BufferExhaustedError(
                f"the waiting room of {self._budget.total} bytes has no room for the record now"
                " that it is serialized"
            )
        record.size = size
        record.delivery._serialized(key_size, value_size)
        record.serialized = True
        self._forget(record)
        self._done(record)

    def _fail(self, record: WaitingRecord, error: ProducerError) -> None:
        self._forget(record)
        if self._is_waiting(record):
            self._failed(record, error)

    def _forget(self, record: WaitingRecord) -> None:
        _, pending = self._tasks.pop(record, (None, []))
        for answer in pending:
            answer.discard()


def pending_size(headers: Sequence[Header], *known: object) -> int:
    """Return what a record is charged while its serializers are at work."""
    sizes = [len(part) for part in known if isinstance(part, (bytes, bytearray, memoryview))]
    return record_size_bound(sum(sizes), -1, headers) + PENDING_CHARGE


def waited_too_long(record: WaitingRecord, limit_ms: int) -> ProducerError:
    """Return the error of a record whose time was over before it was serialized."""
    if record.serialized:
        return SerializerTimeoutError(
            f"the record waited for {limit_ms} ms behind one whose serializer did not answer"
        )
    cause = None if record.trouble is None else record.trouble()
    error = SerializerTimeoutError(
        f"the serializer did not answer within {limit_ms} ms{because(cause)}"
    )
    error.__cause__ = cause
    return error


def _first_trouble(pending: Sequence[Answer]) -> BaseException | None:
    return next((found for answer in pending if (found := answer.trouble()) is not None), None)
