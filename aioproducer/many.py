"""Many records behind one awaitable, each with an outcome of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

from aioproducer.delivery import Delivery
from aioproducer.errors import (
    DeliveryTimeoutError,
    ProducerError,
    SerializationError,
    because,
)
from aioproducer.records import Record, RecordMetadata, SendManyResult
from aioproducer.runtime.deadline import held_up_by
from aioproducer.runtime.stall import StallWatch


async def send_all(
    records: Iterable[Record[Any, Any]] | AsyncIterable[Record[Any, Any]],
    send: Callable[..., Delivery],
    drain: Callable[[], Awaitable[None]],
    expedite: Callable[[], None],
    watch: StallWatch,
    trouble: Callable[[], ProducerError | None],
    limit: float | None,
) -> SendManyResult:
    """Do what :meth:`AsyncProducer.send_many` promises."""
    if not isinstance(records, (Iterable, AsyncIterable)):
        raise TypeError(f"records must be an iterable of Record, not {type(records).__name__}")
    deliveries: list[Delivery | ProducerError] = []
    try:
        async with watch.timeout(limit) as clock:
            await _queue_all(records, send, drain, deliveries)
            expedite()
            for delivery in deliveries:
                if isinstance(delivery, Delivery) and not delivery.done():
                    # Not `await delivery`: a timeout here must not cancel the record's Delivery.
                    await asyncio.wait([delivery])
    except TimeoutError:
        if not clock.expired():
            raise  # it came out of `records`
        # What is still open is told apart below, record by record.
    except asyncio.CancelledError:
        for delivery in deliveries:
            if isinstance(delivery, Delivery):
                delivery.cancel()
        raise
    return SendManyResult([_outcome(delivery, limit, trouble) for delivery in deliveries])


async def _queue_all(
    records: Iterable[Record[Any, Any]] | AsyncIterable[Record[Any, Any]],
    send: Callable[..., Delivery],
    drain: Callable[[], Awaitable[None]],
    deliveries: list[Delivery | ProducerError],
) -> None:
    if isinstance(records, AsyncIterable):
        async for record in records:
            deliveries.append(_queue(record, send))
            await drain()
    else:
        for record in records:
            deliveries.append(_queue(record, send))
            await drain()


def _queue(record: Record[Any, Any], send: Callable[..., Delivery]) -> Delivery | ProducerError:
    try:
        return send(
            record.topic,
            record.value,
            key=record.key,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
            headers=record.headers,
        )
    except (TypeError, ValueError, AttributeError) as error:
        # What has a record's attributes will do; of what has none say that, not which is missing.
        kind = type(record).__name__
        reason = error if hasattr(record, "topic") else f"it is no Record but a {kind}"
        failure = SerializationError(f"the record cannot be sent: {reason}")
        failure.__cause__ = error
        return failure


def _outcome(
    delivery: Delivery | ProducerError,
    limit: float | None,
    trouble: Callable[[], ProducerError | None],
) -> RecordMetadata | ProducerError:
    if isinstance(delivery, ProducerError):
        return delivery
    if delivery.done():
        return delivery.exception() or delivery.result()
    waits = delivery._fate.withdraw is not None
    what, cause = held_up_by(delivery, trouble)
    error = DeliveryTimeoutError(
        f"not acknowledged within the {limit:g} s given to send_many(): {what}{because(cause)}",
        persisted="no" if waits else "maybe",
        topic=delivery.topic,
        partition=delivery.partition,
    )
    error.__cause__ = cause
    delivery.cancel()
    return error
