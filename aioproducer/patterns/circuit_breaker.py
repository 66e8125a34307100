"""CircuitBreaker: a producer that refuses at once while its cluster fails."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Literal, TypeVar

from aioproducer import (
    AsyncProducer,
    CircuitOpenError,
    CloseReport,
    ConfigurationError,
    Delivery,
    Header,
    MetricKind,
    ProducerError,
    Transaction,
)
from aioproducer.patterns.circuit import CircuitRules, CircuitState, Moved
from aioproducer.patterns.circuit_changes import CircuitChange, CircuitChanges
from aioproducer.patterns.circuit_failures import counts_as_failure
from aioproducer.patterns.circuit_guards import Guard, LateWatch, StrayWatch, Watch
from aioproducer.patterns.leaders import Leaders
from aioproducer.patterns.letter_delivery import AnyDelivery
from aioproducer.patterns.wrapper import ProducerWrapper

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")

Scope = Literal["producer", "topic", "broker"]

TRANSACTIONS = "transactions"
"""The circuit of transactions, where topics or brokers have circuits of their own."""

_CLOSED = CircuitState.CLOSED
_SEVERITY = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
_MOST_IDLE = 1_000


class CircuitBreaker(ProducerWrapper[K, V]):
    """A producer in front of which a circuit opens when its cluster fails, and closes by itself.

    Use it like the producer: ``async with CircuitBreaker(AsyncProducer(...)) as producer``. While
    the circuit is open, ``send()`` returns a Delivery that has failed with
    :exc:`CircuitOpenError`; ``try_send()``, ``send_and_wait()`` and ``transaction()`` raise it.

    Args:
        producer: an :class:`AsyncProducer`, or a wrapper of one.
        rules: when a circuit opens and closes.
        scope: ``"producer"`` for one circuit, ``"topic"`` or ``"broker"`` for one each.
        counts: whether an error counts; the default is :func:`counts_as_failure`.
        on_change: called with each :class:`CircuitChange`, in the loop.
        metrics: the first word of its metrics' names.

    Raises :exc:`ConfigurationError` for what makes no sense, and :exc:`ValueError` if the producer
    has metrics of that name already.
    """

    def __init__(
        self,
        producer: AsyncProducer[K, V] | ProducerWrapper[K, V],
        rules: CircuitRules | None = None,
        *,
        scope: Scope = "producer",
        counts: Callable[[ProducerError], bool] = counts_as_failure,
        on_change: Callable[[CircuitChange], object] | None = None,
        metrics: str = "circuit",
    ) -> None:
        if scope not in ("producer", "topic", "broker"):
            raise ConfigurationError(f"scope is producer, topic or broker, not {scope!r}")
        if inspect.iscoroutinefunction(on_change):
            raise ConfigurationError("on_change is a coroutine function; changes() may be awaited")
        super().__init__(producer)
        self.rules = CircuitRules() if rules is None else rules
        self.scope: Scope = scope
        self.counts = counts
        self._on_change = on_change
        self._changes = CircuitChanges()
        self._guards: dict[str, Guard] = {}
        self._sole = self._guard("") if scope == "producer" else None
        self._leaders: Leaders[K] | None = Leaders(self) if scope == "broker" else None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Callbacks need none of the sender's; to copy it costs as much as the rest.
        self.context = contextvars.Context()
        self._opened = 0
        self._rejected = 0
        self._register_metrics(metrics)

    # What it shows

    @property
    def circuits(self) -> Mapping[str, CircuitState]:
        """The state of each circuit, by topic or broker; of a producer's only one, by ``""``.

        Circuits of topics and brokers that nothing was sent to are not there.
        """
        # A copy in one step: a scrape reads this from a thread of its own.
        return {name: guard.circuit.state for name, guard in list(self._guards.items())}

    @property
    def opened(self) -> int:
        """How often a circuit opened."""
        return self._opened

    @property
    def rejected(self) -> int:
        """How many records and transactions were refused."""
        return self._rejected

    def changes(self) -> AsyncIterator[CircuitChange]:
        """Return an async iterator of each change of state from now on.

        It holds up to 1000 that were not read, and ends when this is closed.
        """
        return self._changes.reader()

    def __repr__(self) -> str:
        states = {name or "producer": state.value for name, state in self.circuits.items()}
        return f"<CircuitBreaker of {self.producer!r}: {states}>"

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
    ) -> AnyDelivery:
        """Queue one record, or return a Delivery that has failed with :exc:`CircuitOpenError`.

        Otherwise as :meth:`AsyncProducer.send`.
        """
        sole = self._sole
        if sole is not None and sole.circuit.state is _CLOSED:
            watch: Watch = sole.watch
        else:
            try:
                watch, partition = self._admit(topic, key, partition)
            except CircuitOpenError as error:
                return Delivery.refused(topic, error, partition=partition)
        try:
            delivery = self.producer.send(
                topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
                headers=headers, timeout=timeout,
            )  # fmt: skip
        except BaseException:
            watch.lost()
            raise
        if timeout is None:
            watch.follow(delivery)
        else:
            # It may fail apart from its batch, which says nothing of it then.
            watch.follow_alone(delivery)
        return delivery

    def try_send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> AnyDelivery:
        """Queue one record, or raise :exc:`CircuitOpenError` or what the producer's own raises."""
        watch, partition = self._admit(topic, key, partition)
        try:
            delivery = self.producer.try_send(
                topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
                headers=headers,
            )  # fmt: skip
        except BaseException:
            watch.lost()
            raise
        watch.follow(delivery)
        return delivery

    def transaction(
        self, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager[Transaction[K, V]]:
        """Return a transaction that is refused when it is entered while the circuit is open.

        It counts as one: as acknowledged when it commits, as failed by the error that its block is
        left with. What is sent in it goes straight to the producer.
        """
        return self._transaction(timeout)

    @asynccontextmanager
    async def _transaction(self, timeout: float | None) -> AsyncIterator[Transaction[K, V]]:
        guard = self._sole if self._sole is not None else self._guard(TRANSACTIONS)
        watch = self._pass(guard, None)
        try:
            async with self.producer.transaction(timeout=timeout) as tx:
                yield tx
        except ProducerError as error:
            watch.told(error, None, None)
            raise
        except BaseException:
            watch.lost()
            raise
        watch.told(None, None, None)

    # The end

    async def close(self, timeout: float | None = None) -> CloseReport:
        """Close the producer, and end who reads :meth:`changes`; cancelled as the producer's."""
        try:
            return await super().close(timeout)
        finally:
            self._changes.end()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc, traceback)
        finally:
            self._changes.end()

    # Who passes

    def _admit(self, topic: str, key: K | None, partition: int | None) -> tuple[Watch, int | None]:
        """Return who watches the record and where it goes; raises :exc:`CircuitOpenError`."""
        if self._sole is not None:
            return self._pass(self._sole, topic), partition
        if self._leaders is None:
            return self._pass(self._guard(str(topic)), topic), partition
        return self._admit_to_broker(self._leaders, topic, key, partition)

    def _admit_to_broker(
        self, leaders: Leaders[K], topic: str, key: K | None, partition: int | None
    ) -> tuple[Watch, int | None]:
        now = self.now()
        if partition is None and key is not None:
            chosen = leaders.partition_of_key(topic, key)
        else:
            chosen = partition
        if chosen is not None:
            node = leaders.leader(topic, chosen, now)
            watch = LateWatch(self) if node is None else self._pass(self._guard(node), topic)
            return watch, partition
        nodes = leaders.all(topic, now)
        guards = [self._guards[node] for node in nodes if node in self._guards]
        if (
            not nodes
            or len(guards) < len(nodes)
            or any(guard.circuit.state is _CLOSED for guard in guards)
        ):
            return LateWatch(self), None
        # None of its brokers is well: only a probe may pass, and it goes where it is due.
        for guard in guards:
            if guard.circuit.would_admit(now):
                watch = self._pass(guard, topic)
                steered = leaders.steer(topic, guard.name, now)
                # A partitioner of the user's has the last word on where it goes.
                return watch if steered is not None else StrayWatch(guard, watch.ticket), steered
        soonest = min(guards, key=lambda guard: guard.circuit.retry_after(now))
        return self._pass(soonest, topic), None

    def _pass(self, guard: Guard, topic: str | None) -> Watch:
        circuit = guard.circuit
        if circuit.state is _CLOSED:
            return guard.watch
        now = self.now()
        ticket = self._ask(guard, now)
        if ticket is None:
            self._rejected += 1
            raise self._refusal(guard, topic, now)
        return Watch(guard, ticket)

    def _ask(self, guard: Guard, now: float) -> int | None:
        ticket, moved = guard.circuit.ask(now)
        if moved is not None:
            self.moved(guard, moved, None)
        return ticket

    def watch_at(self, guard: Guard) -> Watch:
        """Return who watches a record that is on its way unasked: as the probe, if one is due."""
        if guard.circuit.state is _CLOSED:
            return guard.watch
        ticket = self._ask(guard, self.now())
        return guard.watch if ticket is None else Watch(guard, ticket)

    def _refusal(self, guard: Guard, topic: str | None, now: float) -> CircuitOpenError:
        of = f" of {self.scope} {guard.name}" if guard.name else ""
        wait = guard.circuit.retry_after(now)
        error = CircuitOpenError(
            f"the circuit{of} is {guard.circuit.state.value}; try again in {wait:.1f} s",
            retry_after=wait,
            circuit=guard.name,
            topic=topic,
        )
        error.__cause__ = guard.opened_by
        return error

    def _guard(self, name: str) -> Guard:
        guard = self._guards.get(name)
        if guard is None:
            if len(self._guards) >= _MOST_IDLE:
                # Topics may be without number; what is known of these is that they are well.
                idle = [each for each in self._guards.values() if each.circuit.is_idle]
                for each in idle:
                    del self._guards[each.name]
            guard = self._guards[name] = Guard(self, name)
        return guard

    def guard_at(self, topic: str | None, partition: int | None) -> Guard | None:
        """Return who guards the broker that leads a partition, if that is known."""
        if self._leaders is None or topic is None or partition is None:
            return None
        node = self._leaders.leader(topic, partition, self.now())
        return None if node is None else self._guard(node)

    def does_count(self, error: ProducerError) -> bool:
        """Return whether ``error`` counts, by the user's word if there is one."""
        try:
            return bool(self.counts(error))
        except Exception:
            logger.exception("[%s] counts() of a circuit raised", self.client_id)
            return counts_as_failure(error)

    def now(self) -> float:
        """Return the time of the loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    # What is told

    def moved(self, guard: Guard, moved: Moved, error: ProducerError | None) -> None:
        """Tell of a change of state; for its guards."""
        guard.renew(error if moved.after is CircuitState.OPEN else None)
        is_open = moved.after is CircuitState.OPEN
        self._opened += is_open
        wait = guard.circuit.retry_after(self.now())
        change = CircuitChange(
            guard.name, moved.before, moved.after, time.time(), wait if is_open else 0.0,
            moved.event.value, error,
        )  # fmt: skip
        self._log(change)
        self._changes.add(change)
        if self._on_change is not None:
            try:
                self._on_change(change)
            except Exception:
                logger.exception("[%s] on_change() of a circuit raised", self.client_id)

    def _log(self, change: CircuitChange) -> None:
        level = logging.WARNING if change.after is CircuitState.OPEN else logging.INFO
        fields = {"circuit": change.circuit, "scope": self.scope, "retry_after": change.retry_after}
        cause = "" if change.error is None else f": {change.error}"
        of = f" of {self.scope} {change.circuit}" if change.circuit else ""
        logger.log(
            level, "[%s] circuit%s is %s, %s%s",
            self.client_id, of, change.after.value, change.reason, cause,
            extra={
                "event": f"circuit.{change.after.name.lower()}",
                "client_id": self.client_id,
                "fields": fields,
            },
        )  # fmt: skip

    def _register_metrics(self, word: str) -> None:
        def register(name: str, read: Callable[[], float], words: str, **more: Any) -> None:
            self.register_metric(f"{word}-{name}", read, description=words, **more)

        def states() -> list[CircuitState]:
            return [guard.circuit.state for guard in list(self._guards.values())]

        register("state", lambda: max((_SEVERITY[each] for each in states()), default=0),
                 "The worst state of its circuits: 0 closed, 1 half-open, 2 open.")  # fmt: skip
        register("open-count", lambda: sum(each is not _CLOSED for each in states()),
                 "How many circuits are open or half-open.", unit="circuits")  # fmt: skip
        register("opened-total", lambda: self._opened, "How often a circuit opened.",
                 kind=MetricKind.TOTAL)  # fmt: skip
        register("rejected-total", lambda: self._rejected, "Records that were refused at once.",
                 kind=MetricKind.TOTAL, unit="records")  # fmt: skip
