"""A deadline for one record, shorter than delivery.timeout.ms."""

from __future__ import annotations

from aioproducer.delivery import Delivery
from aioproducer.errors import DeliveryTimeoutError


def fail_after(delivery: Delivery, timeout: float) -> None:
    """Fail ``delivery`` unless it is done within ``timeout`` seconds.

    A record that still waits for room is withdrawn; a queued one is delivered all the same, and
    its error says so.
    """
    if delivery.done():
        return
    timer = delivery.get_loop().call_later(timeout, _give_up, delivery, timeout)
    delivery.add_done_callback(lambda _: timer.cancel())


def _give_up(delivery: Delivery, timeout: float) -> None:
    if delivery.done():
        return
    withdrawn = delivery._detach()
    delivery._fail_alone(
        DeliveryTimeoutError(
            f"not acknowledged within the {timeout:g} s given to send()",
            persisted="no" if withdrawn else "maybe",
            topic=delivery.topic,
            partition=delivery.partition,
        )
    )
