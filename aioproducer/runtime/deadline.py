"""A deadline for one record, shorter than delivery.timeout.ms."""

from __future__ import annotations

from collections.abc import Callable

from aioproducer.core.waiting_room import WaitingRecord, WaitsFor
from aioproducer.delivery import Delivery
from aioproducer.errors import DeliveryTimeoutError, ProducerError, because
from aioproducer.runtime.failure_feed import FailureFeed
from aioproducer.runtime.stall import StallWatch


def fail_after(
    delivery: Delivery,
    timeout: float,
    feed: FailureFeed,
    watch: StallWatch,
    trouble: Callable[[], ProducerError | None],
) -> None:
    """Fail ``delivery`` unless it is done within ``timeout`` seconds.

    A record that still waits for room or metadata is withdrawn; one on its way is delivered all the
    same: its error says "maybe", and what became of it goes to ``on_late_result``.
    """
    if delivery.done():
        return
    timer = watch.call_later(timeout, _give_up, delivery, timeout, feed, trouble)
    delivery.add_done_callback(lambda _: timer.cancel())


def held_up_by(
    delivery: Delivery, trouble: Callable[[], ProducerError | None]
) -> tuple[str, BaseException | None]:
    """Return in words what an unfinished ``delivery`` waits for, and the last known cause."""
    fate = delivery._fate
    if fate.withdraw is None:
        return "still on its way", trouble()
    waiting = fate.waiting
    if not isinstance(waiting, WaitingRecord) or waiting.waits_for is not WaitsFor.SERIALIZER:
        return "still waiting for room or metadata", trouble()
    return "still waiting for a serializer", None if waiting.trouble is None else waiting.trouble()


def _give_up(
    delivery: Delivery,
    timeout: float,
    feed: FailureFeed,
    trouble: Callable[[], ProducerError | None],
) -> None:
    if delivery.done():
        return
    withdraw = delivery._fate.withdraw
    what, cause = held_up_by(delivery, trouble)
    error = DeliveryTimeoutError(
        f"not acknowledged within the {timeout:g} s given to send(): {what}{because(cause)}",
        persisted="maybe" if withdraw is None else "no",
        topic=delivery.topic,
        partition=delivery.partition,
    )
    error.__cause__ = cause
    if withdraw is not None:
        withdraw(error)
    else:
        delivery._fail_alone(error, quiet=feed.is_read)
