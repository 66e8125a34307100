"""The events of the demo: what happens to the orders of a shop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from aioproducer.records import Header

EVENTS_PER_ORDER = 25

_STATUSES = ("created", "paid", "packed", "shipped")
_LATER_STATUS = "seen on its way"
_REGIONS = ("US", "EU", "ASIA")
_GOODS = ("espresso machine", "bicycle bell", "rain coat", "chess clock", "tea pot", "globe")


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One event, as bytes: its key is the order, its value is unlike that of any other event."""

    order: int
    key: bytes
    value: bytes
    headers: tuple[Header, ...]


def order_events(count: int, seed: int = 1) -> Iterator[OrderEvent]:
    """Yield `count` events of many orders, interleaved, those of one order in their sequence."""
    rng = random.Random(seed)
    steps = [0] * max(1, count // EVENTS_PER_ORDER)
    for number in range(count):
        order = rng.randrange(len(steps))
        step = steps[order]
        steps[order] += 1
        status = _STATUSES[step] if step < len(_STATUSES) else _LATER_STATUS
        name = f"order-{order:06}"
        # Put together by hand: the events are many, and json would take longer than Kafka.
        value = (
            f'{{"event":{number},"order":"{name}","step":{step},"status":"{status}",'
            f'"region":"{rng.choice(_REGIONS)}","customer":"customer-{order % 997:04}",'
            f'"item":"{rng.choice(_GOODS)}","quantity":{rng.randrange(1, 10)},'
            f'"cents":{rng.randrange(100, 100_000)},"token":"{rng.getrandbits(64):016x}"}}'
        )
        yield OrderEvent(order, name.encode(), value.encode(), (("status", status.encode()),))
