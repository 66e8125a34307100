"""How a task steps through an ``await`` of a Delivery.

Compiled code has ``send_slot.pxd`` instead, which makes ``delivery.Steps`` and fills the slot
``am_send`` of that type: the interpreter then asks for the next step without raising StopIteration.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aioproducer.delivery import Delivery
    from aioproducer.records import RecordMetadata


def steps(delivery: Delivery) -> Generator[Any, None, RecordMetadata]:
    """Yield the Delivery until it is done, then return or raise its outcome."""
    outcome = delivery._step()
    if outcome is None:
        yield delivery
        outcome = delivery._step()
        if outcome is None:
            raise RuntimeError("await wasn't used with future")
    return outcome


def fill(kind: type) -> None:
    """Have ``kind`` answer as ``PyIter_Send`` asks."""
