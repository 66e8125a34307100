# cython: nonecheck=True
"""Delivery: the awaitable that ``send()`` returns, and Fate: what becomes of a whole batch.

A Delivery knows its batch's Fate and its own place in the batch. The Fate is settled once, for all
records together, and wakes only those Deliveries that somebody waits for; a RecordMetadata is made
when somebody asks. So resolving a batch costs by waiters, not by records.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
from collections.abc import Callable, Generator
from typing import Any, NoReturn

from aioproducer import inlined, send_slot
from aioproducer.awaitable import FutureOfMetadata
from aioproducer.errors import ProducerError
from aioproducer.records import UNKNOWN_OFFSET, UNKNOWN_TIMESTAMP, RecordMetadata
from aioproducer.story import Explanation, Story, Waiting, tell

_Callback = Callable[["Delivery"], object]


class FateState(enum.IntEnum):
    """A Fate is pending until it is delivered, failed, or divided into the fates of its parts."""

    PENDING = 0
    DELIVERED = 1
    FAILED = 2
    DIVIDED = 3


_PENDING = FateState.PENDING
_DELIVERED = FateState.DELIVERED
_FAILED = FateState.FAILED
_DIVIDED = FateState.DIVIDED


class _DeliveryState(enum.IntEnum):
    LIVE = 0
    RETRIEVED = 1
    CANCELLED = 2


_LIVE = _DeliveryState.LIVE
_RETRIEVED = _DeliveryState.RETRIEVED
_CANCELLED = _DeliveryState.CANCELLED


class Fate:
    """What becomes of the records of one batch."""

    __slots__ = (
        "abandoned",
        "base_offset",
        "count",
        "error",
        "log_append_time_ms",
        "loop",
        "on_late",
        "partition",
        "parts",
        "quiet",
        "retrieved",
        "state",
        "story",
        "topic",
        "waiters",
        "waiting",
        "withdraw",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, topic: str, partition: int | None, count: int = 0
    ) -> None:
        self.loop = loop
        self.topic = topic
        self.partition = partition
        self.count = count
        self.state = _PENDING
        self.base_offset = UNKNOWN_OFFSET
        self.log_append_time_ms = UNKNOWN_TIMESTAMP
        self.error: ProducerError | None = None
        # What happened to the batch so far, if it has one.
        self.story: Story | None = None
        self.waiters: list[Delivery] | None = None
        self.parts: list[tuple[int, Fate, int]] | None = None
        self.retrieved = 0
        self.quiet = False
        # Set while the record waits outside any batch: called with None when its Delivery is
        # cancelled, with an error when its own deadline has come.
        self.withdraw: Callable[[ProducerError | None], None] | None = None
        # That record, or one that never got into a batch.
        self.waiting: Waiting | None = None
        # Deliveries whose waiters gave up while the record was on its way, and whom to tell.
        self.abandoned: list[Delivery] | None = None
        self.on_late: Callable[[list[Delivery]], None] | None = None

    def deliver(self, base_offset: int, log_append_time_ms: int = UNKNOWN_TIMESTAMP) -> None:
        """Settle every record as acknowledged, the first of them at ``base_offset``."""
        self._must_be_pending()
        self.base_offset = base_offset
        self.log_append_time_ms = log_append_time_ms
        self.state = _DELIVERED
        self._wake()

    def fail(self, error: ProducerError) -> None:
        """Settle every record as failed, each with its own copy of ``error``."""
        self._must_be_pending()
        self.error = error
        self.state = _FAILED
        self._wake()

    def divide(self, parts: list[tuple[int, Fate, int]]) -> None:
        """Hand the records on to ``parts``, ascending.

        Each is (index of its first record here, its Fate, that record's index there).
        """
        self._must_be_pending()
        self.parts = parts
        self.state = _DIVIDED
        waiters, self.waiters = self.waiters, None
        for delivery in waiters or ():
            delivery._follow()
            fate = delivery._fate
            if fate.state is _PENDING:
                fate.add_waiter(delivery)
            else:
                delivery._fire()
        abandoned, self.abandoned = self.abandoned, None
        for delivery in abandoned or ():
            delivery._follow()
            delivery._fate.abandon(delivery)

    def delivery(self, index: int, timestamp_ms: int, key_size: int, value_size: int) -> Delivery:
        """Return the Delivery of record ``index``."""
        # Past the constructor: this runs once per record.
        delivery = Delivery.__new__(Delivery)
        delivery._fate = self
        delivery._index = index
        delivery._timestamp_ms = timestamp_ms
        delivery._key_size = key_size
        delivery._value_size = value_size
        delivery._stage = _LIVE
        delivery._done_callbacks = None
        delivery._outcome = None
        delivery._asyncio_future_blocking = False
        return delivery

    def add_waiter(self, delivery: Delivery) -> None:
        """Remember that somebody waits for ``delivery``."""
        if self.waiters is None:
            self.waiters = [delivery]
        else:
            self.waiters.append(delivery)

    def abandon(self, delivery: Delivery) -> None:
        """Remember that the waiter of ``delivery`` gave up before the outcome was known."""
        if self.abandoned is None:
            self.abandoned = [delivery]
        else:
            self.abandoned.append(delivery)

    def locate(self, index: int) -> tuple[Fate, int]:
        """Return the Fate that record ``index`` was handed on to, and its index there."""
        assert self.parts is not None
        for first, fate, index_there in reversed(self.parts):
            if index >= first:
                return fate, index - first + index_there
        raise AssertionError(f"record {index} belongs to no part")

    def _must_be_pending(self) -> None:
        if self.state is not _PENDING:
            raise AssertionError(f"the fate of {self.topic}-{self.partition} is settled already")

    def _wake(self) -> None:
        waiters, self.waiters = self.waiters, None
        if waiters is not None:
            for delivery in waiters:
                delivery._fire()
        abandoned, self.abandoned = self.abandoned, None
        if abandoned is not None and self.on_late is not None:
            self.on_late(abandoned)

    def __del__(self) -> None:
        # The last Delivery that could have asked is gone: one report per batch, not per record.
        if self.state is not _FAILED or self.quiet or self.retrieved >= self.count:
            return
        if self.loop.is_closed():
            return
        unseen = self.count - self.retrieved
        where = self.topic if self.partition is None else f"{self.topic}-{self.partition}"
        self.loop.call_exception_handler(
            {
                "message": f"{unseen} record(s) for {where} failed and nobody looked at it",
                "exception": self.error,
            }
        )


class Delivery(FutureOfMetadata):
    """The acknowledgement of one record: a full asyncio future of its RecordMetadata.

    ``await`` it, or give it to ``gather``, ``wait``, ``wait_for``, ``shield``, ``as_completed`` or
    a done callback. Awaiting raises the record's :exc:`ProducerError` when it failed.

    Cancelling it while the record still waits for its serializer, for room or for metadata
    withdraws the record: it is never sent. Later it abandons the wait only, and the record is
    delivered all the same; if that fails, the loop's exception handler is told as for any failure
    that nobody looked at. All who wait for this Delivery get the cancellation.
    """

    __slots__ = (
        "__weakref__",
        "_asyncio_future_blocking",
        "_done_callbacks",
        "_fate",
        "_index",
        "_key_size",
        "_outcome",
        "_stage",
        "_timestamp_ms",
        "_value_size",
    )

    def __init__(self) -> None:
        raise TypeError("a Delivery is made by send()")

    # What Fate.delivery() sets.
    _fate: Fate
    _index: int
    _timestamp_ms: int
    _key_size: int
    _value_size: int
    _stage: _DeliveryState
    _done_callbacks: list[tuple[_Callback, contextvars.Context]] | None
    _outcome: RecordMetadata | ProducerError | str | None

    @property
    def topic(self) -> str:
        """The record's topic."""
        return self._fate.topic

    @property
    def partition(self) -> int | None:
        """The record's partition, ``None`` until it is chosen."""
        return self._fate.partition

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop the producer is bound to."""
        return self._fate.loop

    def done(self) -> bool:
        """Return whether the record was acknowledged, failed, or its wait was cancelled."""
        if self._stage is _CANCELLED:
            return True
        if self._fate.state is _DIVIDED:
            self._follow()
        return self._fate.state is not _PENDING

    def cancelled(self) -> bool:
        """Return whether the wait was cancelled."""
        return self._stage is _CANCELLED

    def cancel(self, msg: object = None) -> bool:
        """Withdraw a record that still waits, else abandon the wait only.

        Returns ``True`` unless the Delivery is done.
        """
        if self.done():
            return False
        fate = self._fate
        self._stage = _CANCELLED
        # Any object may be a message, as of a future; only _cancel_message reads it then.
        self._outcome = msg  # type: ignore[assignment]
        if fate.withdraw is not None:
            fate.withdraw(None)
        else:
            fate.abandon(self)
        self._fire()
        return True

    def result(self) -> RecordMetadata:
        """Return the record's metadata.

        Raises the record's :exc:`ProducerError`, :exc:`asyncio.CancelledError` if the wait was
        cancelled, or :exc:`asyncio.InvalidStateError` while the outcome is open.
        """
        outcome = self._outcome
        if outcome.__class__ is not RecordMetadata:
            outcome = self._settled_outcome()
            if isinstance(outcome, ProducerError):
                # Without this each raise would add its frames to the last one's.
                raise outcome.with_traceback(None)
        return outcome

    def exception(self) -> ProducerError | None:
        """Return the record's error, or ``None`` if it was acknowledged; raises as ``result``."""
        outcome = self._settled_outcome()
        return outcome if isinstance(outcome, ProducerError) else None

    @property
    def failure(self) -> ProducerError | None:
        """The record's error once it has failed, for those who only watch: nobody looked at it.

        One object for all records of a batch, also where the wait was given up. Do not raise it.
        """
        self._follow()
        return self._fate.error

    @property
    def batch(self) -> object | None:
        """What tells records of one batch from others: hashable, ``None`` where there is none.

        That is while the record still waits, and once it is done.
        """
        fate = self._fate
        is_batched = fate.state is _PENDING and fate.withdraw is None and fate.waiting is None
        return fate if is_batched and self._stage is _LIVE else None

    def twin(self) -> Delivery:
        """Return another one of the same record, for those who only watch; not while it waits.

        Whoever cancels this one does not cancel that.
        """
        return self._fate.delivery(
            self._index, self._timestamp_ms, self._key_size, self._value_size
        )

    def withdraw(self) -> bool:
        """Cancel it if the record still waits, so that it is never sent; return whether it did.

        A record on its way is left alone, and so is whoever waits for it.
        """
        if self.done() or self._fate.withdraw is None:
            return False
        return self.cancel()

    @classmethod
    def refused(cls, topic: str, error: ProducerError, *, partition: int | None = None) -> Delivery:
        """Return one that has failed already, for what stands in front of a producer.

        The loop is not told if nobody looks at it. Needs a running loop.
        """
        fate = Fate(asyncio.get_running_loop(), topic, partition, count=1)
        fate.quiet = True
        fate.fail(error)
        return fate.delivery(0, UNKNOWN_TIMESTAMP, -1, -1)

    def add_done_callback(
        self, fn: _Callback, /, *, context: contextvars.Context | None = None
    ) -> None:
        """Have the loop call ``fn(delivery)`` soon after the outcome is known."""
        if context is None:
            context = contextvars.copy_context()
        if self.done():
            self._fate.loop.call_soon(fn, self, context=context)
        elif self._done_callbacks is None:
            self._done_callbacks = [(fn, context)]
            self._fate.add_waiter(self)
        else:
            self._done_callbacks.append((fn, context))

    def remove_done_callback(self, fn: _Callback, /) -> int:
        """Remove every registration of ``fn`` and return how many there were."""
        if not self._done_callbacks:
            return 0
        kept = [pair for pair in self._done_callbacks if pair[0] != fn]
        removed = len(self._done_callbacks) - len(kept)
        # The list stays, also when empty: this Delivery is among its fate's waiters already.
        self._done_callbacks[:] = kept
        return removed

    def explain(self) -> Explanation:
        """Return what happened to the record so far, and when: ``print(delivery.explain())``.

        The timeline is that of its batch: accepted, what it waited for, appended, sealed and why,
        each attempt with its broker and error, and how it ended. Asking changes nothing.
        """
        self.done()
        fate = self._fate
        if self._stage is _CANCELLED:
            outcome = "cancelled"
        elif fate.state is _PENDING:
            outcome = "pending"
        else:
            outcome = "acknowledged" if fate.state is _DELIVERED else "failed"
        batched = fate.story is not None
        return Explanation(
            fate.topic,
            fate.partition,
            self._index if batched else None,
            fate.count or None if batched else None,
            outcome,
            tell(fate.story, fate.waiting, outcome, fate.error),
        )

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        return send_slot.steps(self)

    def __iter__(self) -> Generator[Any, None, RecordMetadata]:
        return self.__await__()

    def __repr__(self) -> str:
        where = self.topic if self.partition is None else f"{self.topic}-{self.partition}"
        if self._stage is _CANCELLED:
            state = "cancelled"
        elif not self.done():
            state = "pending"
        elif self._fate.state is _FAILED:
            state = f"failed: {self._fate.error!r}"
        else:
            state = f"offset {self._offset()}"
        return f"<Delivery {where} {state}>"

    # Below: for asyncio, whose gather() asks for these by name.

    @property
    def _cancel_message(self) -> object:
        return self._outcome if self._stage is _CANCELLED else None

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        message = self._cancel_message
        return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)

    # Below: for this package alone.

    def _step(self) -> RecordMetadata | None:
        """Return the outcome or raise it; ``None`` says that the task has to wait."""
        if self._outcome is None and self._fate.state is _DELIVERED and self._stage is _LIVE:
            # The usual case in a window of records, written out: settled before anybody asked.
            self._outcome = metadata = self._make_metadata()
            return metadata
        if self.done():
            return self.result()
        self._asyncio_future_blocking = True
        return None

    def _attach(self, fate: Fate, index: int) -> None:
        """Move to ``fate``: the record left the waiting room, or fails apart from its batch."""
        self._fate = fate
        self._index = index
        if self._done_callbacks is not None and self._stage is not _CANCELLED:
            if fate.state is _PENDING:
                fate.add_waiter(self)
            else:
                self._fire()

    def _serialized(self, key_size: int, value_size: int) -> None:
        """Note the sizes, which were not known when the record was sent."""
        self._key_size = key_size
        self._value_size = value_size

    def _fail_alone(self, error: ProducerError, *, quiet: bool) -> None:
        """Fail apart from the batch, whose fate this record shares no more.

        ``quiet`` says that nobody need be told if the failure is not looked at.
        """
        fate = self._fate
        # The batch may fail as well; whoever asked for the deadline is told by that.
        fate.retrieved += 1
        fate.abandon(
            fate.delivery(self._index, self._timestamp_ms, self._key_size, self._value_size)
        )
        if fate.waiters is not None and self in fate.waiters:
            fate.waiters.remove(self)
        self._fate = Fate(fate.loop, fate.topic, fate.partition, count=1)
        if fate.story is not None:
            self._fate.story = fate.story.copy()
            self._fate.story.settled_at = fate.loop.time()
        self._fate.quiet = quiet
        self._index = 0
        if self._done_callbacks is not None:
            self._fate.add_waiter(self)
        self._fate.fail(error)

    def _follow(self) -> None:
        while self._fate.state is _DIVIDED:
            self._fate, self._index = self._fate.locate(self._index)

    def _fire(self) -> None:
        callbacks, self._done_callbacks = self._done_callbacks, None
        if callbacks:
            call_soon = self._fate.loop.call_soon
            for fn, context in callbacks:
                call_soon(fn, self, context=context)

    def _offset(self) -> int:
        base = self._fate.base_offset
        return base if base == UNKNOWN_OFFSET else base + self._index

    def _settled_outcome(self) -> RecordMetadata | ProducerError:
        if self._stage is _CANCELLED:
            raise self._make_cancelled_error()
        if self._outcome is None:
            if not self.done():
                raise asyncio.InvalidStateError("the record's outcome is not known yet")
            self._outcome = self._make_outcome()
            self._stage = _RETRIEVED
        # No cancel message: that case has raised above. cast() would be a call for each await.
        return self._outcome  # type: ignore[return-value]

    def _make_outcome(self) -> RecordMetadata | ProducerError:
        fate = self._fate
        if fate.error is not None:
            fate.retrieved += 1
            return fate.error.replica()
        return self._make_metadata()

    def _make_metadata(self) -> RecordMetadata:
        fate = self._fate
        timestamp_ms = fate.log_append_time_ms
        if timestamp_ms == -1:
            timestamp_ms = self._timestamp_ms
        base = fate.base_offset
        # Past the constructor of a named tuple, which is a Python function: half the time.
        return inlined.row(
            RecordMetadata,
            (
                fate.topic,
                fate.partition,
                base if base == -1 else base + self._index,
                timestamp_ms,
                self._key_size,
                self._value_size,
            ),
        )


class Steps:
    """One ``await`` of a Delivery, as a task steps through it; what asyncio's own futures have.

    Compiled code has it instead of a generator, which is a frame to set up and to take down for
    each record; in plain Python the generator costs less.
    """

    __slots__ = ("_delivery", "_waited")

    _delivery: Delivery | None
    # Of this await alone: a task of another loop, which may not wait, leaves the Delivery blocking.
    _waited: bool

    def __init__(self) -> None:
        raise TypeError("made by awaiting a Delivery")

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> Delivery:
        delivery = self._delivery
        if delivery is None:
            raise StopIteration
        try:
            outcome = delivery._step()
        except BaseException:
            self._delivery = None
            raise
        if outcome is None:
            if self._waited:
                raise RuntimeError("await wasn't used with future")
            self._waited = True
            return delivery
        self._delivery = None
        raise StopIteration(outcome)

    def send(self, value: object, /) -> Delivery:
        """Go on."""
        return self.__next__()

    def throw(self, error: Any, value: Any = None, traceback: Any = None, /) -> NoReturn:
        """Raise ``error`` where the task waits."""
        self._delivery = None
        if value is not None:
            error = value
        elif isinstance(error, type):
            error = error()
        raise error if traceback is None else error.with_traceback(traceback)

    def close(self) -> None:
        """Wait no more."""
        self._delivery = None


send_slot.fill(Steps)
