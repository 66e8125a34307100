"""Who watches the records that pass a circuit, and tells it what became of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aioproducer import Delivery, ProducerError
from aioproducer.patterns.circuit import Circuit, CircuitState
from aioproducer.patterns.letter_delivery import AnyDelivery

if TYPE_CHECKING:
    from aioproducer.patterns.circuit_breaker import CircuitBreaker


class Guard:
    """A circuit, its name, and who watches the records that pass while it is closed."""

    __slots__ = ("breaker", "circuit", "failed_with", "name", "opened_by", "watch")

    def __init__(self, breaker: CircuitBreaker[Any, Any], name: str) -> None:
        self.breaker = breaker
        self.name = name
        self.circuit = Circuit(breaker.rules)
        self.opened_by: ProducerError | None = None
        # The last error that counted: all records of a batch fail with it.
        self.failed_with: ProducerError | None = None
        self.watch = Watch(self, self.circuit.ticket)

    def renew(self, error: ProducerError | None) -> None:
        """Note a change of state."""
        self.opened_by = error if error is not None else self.opened_by
        self.failed_with = None
        if self.circuit.state is CircuitState.CLOSED:
            self.opened_by = None
            self.watch = Watch(self, self.circuit.ticket)

    def told(self, ticket: int, error: ProducerError | None, records: int = 1) -> None:
        """Count what became of records."""
        breaker, circuit = self.breaker, self.circuit
        if error is None:
            moved = circuit.succeeded(ticket, breaker.now(), records)
        elif self._is_same_batch(error):
            moved = circuit.failed(ticket, breaker.now(), records, is_new=False)
        elif breaker.does_count(error):
            self.failed_with = error
            moved = circuit.failed(ticket, breaker.now(), records)
        else:
            # The caller's mistake says nothing of the cluster.
            circuit.lost(ticket)
            return
        if moved is not None:
            breaker.moved(self, moved, error)

    def _is_same_batch(self, error: ProducerError) -> bool:
        last = self.failed_with
        # Copies of one error have its very arguments.
        return last is not None and (
            error is last or (bool(error.args) and error.args is last.args)
        )


class Watch:
    """Tells a circuit what became of those who passed with one ticket.

    Of a batch it watches one record, by a twin that its user cannot cancel, and counts the others.
    """

    __slots__ = ("batches", "guard", "ticket")

    def __init__(self, guard: Guard, ticket: int) -> None:
        self.guard = guard
        self.ticket = ticket
        # How many records of each batch under way passed here.
        self.batches: dict[object, int] = {}

    def follow(self, delivery: AnyDelivery) -> None:
        """Have it told what becomes of ``delivery``, with others of its batch if it has one."""
        if not isinstance(delivery, Delivery) or (batch := delivery.batch) is None:
            self.follow_alone(delivery)
            return
        counted = self.batches.get(batch)
        if counted is not None:
            self.batches[batch] = counted + 1
            return
        self.batches[batch] = 1
        delivery.twin().add_done_callback(
            partial(self.batch_settled, batch), context=self.guard.breaker.context
        )

    def follow_alone(self, delivery: AnyDelivery) -> None:
        """Have it told what becomes of ``delivery`` by itself."""
        delivery.add_done_callback(self.settled, context=self.guard.breaker.context)

    def batch_settled(self, batch: object, twin: Any) -> None:
        """Tell it what became of a batch; what one of its records failed with alone is not seen."""
        self.guard.told(self.ticket, twin.failure, self.batches.pop(batch))

    def settled(self, delivery: Any) -> None:
        """Tell it what became of a record, also of one whose wait was given up on its way."""
        error = delivery.failure
        if error is not None or not delivery.cancelled():
            self.told(error, delivery.topic, delivery.partition)
        elif (other := who_still_tells(delivery)) is not None:
            self.follow_alone(other)
        else:
            self.lost()

    def told(self, error: ProducerError | None, topic: str | None, partition: int | None) -> None:
        """Tell it what became of a record."""
        self.guard.told(self.ticket, error)

    def lost(self) -> None:
        """Tell it that nobody will tell."""
        self.guard.circuit.lost(self.ticket)


class LateWatch(Watch):
    """Watches a record whose broker is not known before it has a partition."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: CircuitBreaker[Any, Any]) -> None:
        self._breaker = breaker

    def follow(self, delivery: AnyDelivery) -> None:
        guard = self._breaker.guard_at(delivery.topic, delivery.partition)
        if guard is not None:
            self._breaker.watch_at(guard).follow(delivery)
        else:
            self.follow_alone(delivery)

    def follow_alone(self, delivery: AnyDelivery) -> None:
        delivery.add_done_callback(self.settled, context=self._breaker.context)

    def told(self, error: ProducerError | None, topic: str | None, partition: int | None) -> None:
        guard = self._breaker.guard_at(topic, partition)
        if guard is not None:
            guard.told(guard.watch.ticket, error)

    def lost(self) -> None:
        pass


class StrayWatch(Watch):
    """Watches a probe that may go to another broker than the one that is to be probed.

    The place of the probe stays taken until it is settled, wherever it went: else each record that
    may go anywhere would pass.
    """

    __slots__ = ()

    def follow(self, delivery: AnyDelivery) -> None:
        breaker = self.guard.breaker
        guard = breaker.guard_at(delivery.topic, delivery.partition)
        if guard is self.guard:
            super().follow(delivery)
        elif guard is None:
            self.follow_alone(delivery)
        else:
            breaker.watch_at(guard).follow(delivery)
            delivery.add_done_callback(lambda _: self.lost(), context=breaker.context)

    def told(self, error: ProducerError | None, topic: str | None, partition: int | None) -> None:
        guard = self.guard.breaker.guard_at(topic, partition)
        if guard is None or guard is self.guard:
            super().told(error, topic, partition)
        else:
            self.lost()
            guard.told(guard.watch.ticket, error)


def who_still_tells(cancelled: AnyDelivery) -> AnyDelivery | None:
    """Return who tells of a record whose wait was given up; ``None`` if it was withdrawn."""
    if not isinstance(cancelled, Delivery):
        return cancelled.sent
    twin = cancelled.twin()
    return twin if twin.done() or twin.batch is not None else None
