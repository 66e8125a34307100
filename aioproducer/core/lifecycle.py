"""The life of a producer: an enum, a table, one function."""

from __future__ import annotations

import enum

from aioproducer.errors import ProducerStateError


class LifeState(enum.Enum):
    """Where a producer is in its life."""

    NEW = "not started"
    RUNNING = "running"
    FAILED = "failed"
    CLOSING = "closing"
    CLOSED = "closed"


class LifeEvent(enum.Enum):
    """What happens to it."""

    START = "start"
    CRASH = "fail"
    CLOSE = "close"
    ENDED = "end"


TRANSITIONS: dict[tuple[LifeState, LifeEvent], LifeState] = {
    (LifeState.NEW, LifeEvent.START): LifeState.RUNNING,
    (LifeState.RUNNING, LifeEvent.CLOSE): LifeState.CLOSING,
    (LifeState.RUNNING, LifeEvent.CRASH): LifeState.FAILED,
    (LifeState.FAILED, LifeEvent.CLOSE): LifeState.CLOSING,
    (LifeState.NEW, LifeEvent.CLOSE): LifeState.CLOSING,
    (LifeState.CLOSING, LifeEvent.ENDED): LifeState.CLOSED,
}


def transition(state: LifeState, event: LifeEvent) -> LifeState:
    """Return the next state; raise :exc:`ProducerStateError` where the table has none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ProducerStateError(f"cannot {event.value} a producer that is {state.value}") from None
