"""ProducerLifespan: one producer for a service's life, and what its requests need of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from aioproducer import (
    AsyncProducer,
    CloseReport,
    ConfigurationError,
    Health,
    NotStartedError,
    ProducerStateError,
)
from aioproducer.integrations.background import AnyProducer, Background, OnFailure
from aioproducer.integrations.events import RequestEvents
from aioproducer.integrations.outbox import Outbox
from aioproducer.patterns import ProducerWrapper

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")

_FOR_HOOKS = 0.1
"""The part of the drain's time that is kept for failure hooks."""


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """The answer for a probe: the producer's health and the outbox's.

    ``live`` and ``ready`` mean what they do in :class:`aioproducer.Health`; a service whose outbox
    is full is not ready.
    """

    live: bool
    ready: bool
    state: str
    brokers_connected: int
    reasons: tuple[str, ...]
    outbox_records: int
    outbox_limit: int
    background_failures: int

    def as_dict(self) -> dict[str, object]:
        """Return it as what ``json.dumps`` takes."""
        return {
            "live": self.live,
            "ready": self.ready,
            "state": self.state,
            "brokers_connected": self.brokers_connected,
            "reasons": list(self.reasons),
            "outbox_records": self.outbox_records,
            "outbox_limit": self.outbox_limit,
            "background_failures": self.background_failures,
        }


@dataclass(frozen=True, slots=True)
class _Running(Generic[K, V]):
    front: AnyProducer[K, V]
    producer: AsyncProducer[K, V]
    background: Background
    outbox: Outbox[K, V]


class ProducerLifespan(Generic[K, V]):
    """One producer for the life of a service; ``async with`` it, or use a framework's adapter.

    It starts whether the cluster is there or not: ``health()`` says so, and the producer connects
    as soon as it can. It may be entered again after its end, in another loop too, as tests do:
    each time ``make`` makes a new producer.

    Args:
        make: makes the producer, not started; or what stands in front of one: a
            ``CircuitBreaker``, ``DeadLetters``. One with ``transactional_id`` is refused: requests
            run side by side, and such a producer has one transaction at a time. A
            :class:`aioproducer.patterns.TransactionalProducerPool` gives each its own.
        patience: seconds that a request waits for Kafka. What is on its way then goes on, and the
            error says ``persisted="maybe"``.
        drain_timeout: seconds that the end may take: what is open is delivered within them, or
            fails. The container has to grant them after what the server takes for its
            requests: docs/web.md has the sum.
        on_failure: told of each record that failed while no request waited for it, with its
            error; may be ``async``. Without it the log is told.
        outbox_records: how many records the outbox holds at most.
        give_up_after: seconds for which the outbox sends a failed record again.
        duplicates: whether the outbox sends again what may be in Kafka already.
        details: whether answers to clients say what went wrong inside; see ``answer_for()``.
    """

    def __init__(
        self,
        make: Callable[[], AnyProducer[K, V]],
        *,
        patience: float | None = 5.0,
        drain_timeout: float = 20.0,
        on_failure: OnFailure | None = None,
        outbox_records: int = 10_000,
        give_up_after: float = 300.0,
        duplicates: bool = False,
        details: bool = False,
    ) -> None:
        if drain_timeout < 0 or (patience is not None and patience <= 0):
            raise ValueError(
                f"patience={patience}, drain_timeout={drain_timeout}: seconds, and not negative"
            )
        self.details = details
        self.last_report: CloseReport | None = None
        self._make = make
        self._patience = patience
        self._drain_timeout = drain_timeout
        self._on_failure = on_failure
        self._outbox_settings: dict[str, Any] = {
            "max_records": outbox_records,
            "give_up_after": give_up_after,
            "duplicates": duplicates,
        }
        self._running: _Running[K, V] | None = None

    @property
    def producer(self) -> AsyncProducer[K, V]:
        """The producer; :exc:`NotStartedError` before the service has started and after its end."""
        return self._require().producer

    @property
    def front(self) -> AnyProducer[K, V]:
        """What ``make`` made: the producer, or what stands in front of it."""
        return self._require().front

    @property
    def outbox(self) -> Outbox[K, V]:
        """The outbox; :exc:`NotStartedError` before the service has started and after its end."""
        return self._require().outbox

    def request_events(self) -> RequestEvents[K, V]:
        """Return what one request sends by; ``async with`` it around the handler."""
        running = self._require()
        return RequestEvents(running.front, running.background, self._patience)

    def health(self) -> ServiceHealth:
        """Return whether the service lives and is ready, for probes. Cheap: it asks nobody."""
        running = self._running
        if running is None:
            why = ("the service has not started, or has ended",)
            return ServiceHealth(True, False, "new", 0, why, 0, 0, 0)
        health: Health = running.producer.health()
        outbox, reasons = running.outbox, health.reasons
        if outbox.is_full:
            reasons = (*reasons, f"the outbox is full: {len(outbox)} records")
        return ServiceHealth(
            health.live,
            health.ready and not outbox.is_full,
            health.state,
            health.brokers_connected,
            reasons,
            len(outbox),
            outbox.max_records,
            running.background.failed,
        )

    async def __aenter__(self) -> Self:
        """Start a producer; does not wait for the cluster. Raises what is wrong with its settings.

        Raises :exc:`ProducerStateError` when it was entered already.
        """
        if self._running is not None:
            raise ProducerStateError("the service has started already")
        front = self._make()
        producer = front.innermost if isinstance(front, ProducerWrapper) else front
        if producer.config.transactional_id is not None:
            raise ConfigurationError(
                "a producer that requests share cannot have a transactional.id: requests run side"
                " by side, and it has one transaction at a time; use a TransactionalProducerPool"
            )
        background = Background(self._on_failure, producer.client_id)
        outbox: Outbox[K, V] = Outbox(front, background.fail, **self._outbox_settings)
        await front.start()
        self._running = _Running(front, producer, background, outbox)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Deliver what is open within ``drain_timeout``; what cannot be is told to the hook.

        Cancelling fails at once what is still open.
        """
        running = self._require()
        reserve = self._drain_timeout * _FOR_HOOKS
        running.outbox.close()
        try:
            self.last_report = await running.front.close(self._drain_timeout - reserve)
        except asyncio.CancelledError:
            self.last_report = await running.front.close(0)
            raise
        finally:
            self._running = None
            # The last deliveries tell the outbox, which tells the hooks.
            with contextlib.suppress(TimeoutError):
                await running.outbox.join(reserve)
            await running.background.finish(reserve)
        if self.last_report.abandoned:
            logger.error(
                "[%s] %d records were abandoned: the drain took longer than %g s",
                running.producer.client_id, self.last_report.abandoned, self._drain_timeout,
            )  # fmt: skip

    def _require(self) -> _Running[K, V]:
        if self._running is None:
            raise NotStartedError(
                "the service has not started, or has ended",
                what_next="Give the framework the lifespan of this producer.",
            )
        return self._running
