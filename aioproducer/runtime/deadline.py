"""A deadline for one record, shorter than delivery.timeout.ms."""

from __future__ import annotations

from collections.abc import Callable

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


def _give_up(
    delivery: Delivery,
    timeout: float,
    feed: FailureFeed,
    trouble: Callable[[], ProducerError | None],
) -> None:
    if delivery.done():
        return
    withdraw = delivery._fate.withdraw
    cause = trouble()
    what = "still on its way" if withdraw is None else "still waiting for room or metadata"
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
