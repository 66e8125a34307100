"""Whether the producer lives, and whether it can take records: for the probes of containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aioproducer.core.lifecycle import LifeState
from aioproducer.core.transaction import TransactionState
from aioproducer.runtime.engine import Engine


@dataclass(frozen=True, slots=True)
class Health:
    """The answer for a probe.

    ``live``: it can still do its work, now or later; when that is over, only a new producer helps.
    ``ready``: it takes records and, as far as it has had to ask, reaches the cluster: with nothing
    to send it needs no connection. ``reasons`` say why not.
    """

    live: bool
    ready: bool
    state: str
    brokers_connected: int
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as what ``json.dumps`` takes."""
        return {
            "live": self.live,
            "ready": self.ready,
            "state": self.state,
            "brokers_connected": self.brokers_connected,
            "reasons": list(self.reasons),
        }


def judge_health(state: LifeState, engine: Engine | None) -> Health:
    """Return the health of a producer; cheap, and asks nobody."""
    dead = tuple(_reasons_to_be_dead(state, engine))
    if state is not LifeState.RUNNING or engine is None:
        return Health(not dead, False, state.value, 0, dead or (f"the producer is {state.value}",))
    reasons = (*dead, *_reasons_to_wait(engine))
    return Health(not dead, not reasons, state.value, _brokers_connected(engine), reasons)


def _brokers_connected(engine: Engine) -> int:
    """Count the brokers; before anything is sent they are known by the addresses to begin with."""
    connected = [m.node_id for m in engine.cluster.managers().values() if m.is_connected]
    return sum(node_id >= 0 for node_id in connected) or len(connected)


def _reasons_to_be_dead(state: LifeState, engine: Engine | None) -> Iterator[str]:
    if state is LifeState.FAILED:
        yield f"a background task died: {None if engine is None else engine.crash!r}"
    if state is LifeState.CLOSED:
        yield "the producer is closed"
    manager = None if engine is None else engine.transactions
    if manager is not None and manager.scope.state is TransactionState.FATAL_ERROR:
        yield f"transactions are over for good: {manager.scope.cause()}"


def _reasons_to_wait(engine: Engine) -> Iterator[str]:
    cluster = engine.cluster
    trouble = cluster.trouble()
    if not cluster.view.brokers:
        yield "no broker has answered yet"
    elif cluster.is_cut_off:
        yield "connected to no broker"
        errors = (manager.last_error for manager in cluster.managers().values())
        trouble = trouble or next(filter(None, errors), None)
    elif cluster.last_error is None:
        # Connections that idled out are no trouble: they are made anew when they are needed.
        trouble = None
    if trouble is not None:
        yield str(trouble)
    if engine.budget.is_waiting_room_half_full:
        yield "half of the waiting room is taken: records come faster than they leave"
