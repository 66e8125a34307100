"""A deadline for one record, shorter than delivery.timeout.ms."""

from __future__ import annotations

from aioproducer.delivery import Delivery
from aioproducer.errors import DeliveryTimeoutError
from aioproducer.runtime.failure_feed import FailureFeed
from aioproducer.runtime.stall import StallWatch


def fail_after(delivery: Delivery, timeout: float, feed: FailureFeed, watch: StallWatch) -> None:
    """Fail ``delivery`` unless it is done within ``timeout`` seconds.

    A record that still waits for room or metadata is withdrawn; one on its way is delivered all the
    same: its error says "maybe", and what became of it goes to ``on_late_result``.
    """
    if delivery.done():
        return
    timer = watch.call_later(timeout, _give_up, delivery, timeout, feed)
    delivery.add_done_callback(lambda _: timer.cancel())


def _give_up(delivery: Delivery, timeout: float, feed: FailureFeed) -> None:
    if delivery.done():
        return
    withdraw = delivery._fate.withdraw
    error = DeliveryTimeoutError(
        f"not acknowledged within the {timeout:g} s given to send()",
        persisted="maybe" if withdraw is None else "no",
        topic=delivery.topic,
        partition=delivery.partition,
    )
    if withdraw is not None:
        withdraw(error)
    else:
        delivery._fail_alone(error, quiet=feed.is_read)
