"""The states of pushing metrics to brokers (KIP-714), and what their answers mean."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.get_telemetry_subscriptions import GetTelemetrySubscriptionsResponse
from aioproducer.wire.otlp import Point

DEFAULT_INTERVAL_S = 300.0
"""Between attempts while no subscription says otherwise."""

_ALL = ("*", "")
"""Java's way and the schema's to ask for everything."""


class TelemetryState(enum.Enum):
    """Where a producer is with its metrics."""

    SUBSCRIPTION_NEEDED = enum.auto()
    SUBSCRIPTION_IN_PROGRESS = enum.auto()
    PUSH_NEEDED = enum.auto()
    PUSH_IN_PROGRESS = enum.auto()
    TERMINATING_PUSH_NEEDED = enum.auto()
    TERMINATING_PUSH_IN_PROGRESS = enum.auto()
    TERMINATED = enum.auto()


class TelemetryEvent(enum.Enum):
    """What happens."""

    ASK = enum.auto()
    SUBSCRIBED = enum.auto()
    PUSH = enum.auto()
    LATER = enum.auto()
    """The request is over, and the next one of its kind is due in time."""
    RESUBSCRIBE = enum.auto()
    CLOSE = enum.auto()
    DISABLE = enum.auto()


_S, _E = TelemetryState, TelemetryEvent

TRANSITIONS: dict[tuple[TelemetryState, TelemetryEvent], TelemetryState] = {
    (_S.SUBSCRIPTION_NEEDED, _E.ASK): _S.SUBSCRIPTION_IN_PROGRESS,
    (_S.SUBSCRIPTION_IN_PROGRESS, _E.SUBSCRIBED): _S.PUSH_NEEDED,
    (_S.SUBSCRIPTION_IN_PROGRESS, _E.LATER): _S.SUBSCRIPTION_NEEDED,
    (_S.SUBSCRIPTION_IN_PROGRESS, _E.RESUBSCRIBE): _S.SUBSCRIPTION_NEEDED,
    (_S.PUSH_NEEDED, _E.PUSH): _S.PUSH_IN_PROGRESS,
    (_S.PUSH_IN_PROGRESS, _E.LATER): _S.PUSH_NEEDED,
    (_S.PUSH_IN_PROGRESS, _E.RESUBSCRIBE): _S.SUBSCRIPTION_NEEDED,
    (_S.SUBSCRIPTION_NEEDED, _E.CLOSE): _S.TERMINATING_PUSH_NEEDED,
    (_S.PUSH_NEEDED, _E.CLOSE): _S.TERMINATING_PUSH_NEEDED,
    (_S.TERMINATING_PUSH_NEEDED, _E.PUSH): _S.TERMINATING_PUSH_IN_PROGRESS,
    (_S.TERMINATING_PUSH_IN_PROGRESS, _E.LATER): _S.TERMINATED,
    (_S.TERMINATING_PUSH_IN_PROGRESS, _E.RESUBSCRIBE): _S.TERMINATED,
    **{(state, _E.DISABLE): _S.TERMINATED for state in _S if state is not _S.TERMINATED},
}


def transition(state: TelemetryState, event: TelemetryEvent) -> TelemetryState:
    """Return the next state; :exc:`KeyError` where the table has none."""
    return TRANSITIONS[state, event]


_NEXT_TIME = frozenset(
    {ErrorCode.NONE, ErrorCode.TELEMETRY_TOO_LARGE, ErrorCode.THROTTLING_QUOTA_EXCEEDED}
)
_ASK_AGAIN = frozenset({ErrorCode.UNKNOWN_SUBSCRIPTION_ID, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE})


def meaning(error_code: int) -> TelemetryEvent:
    """Return what an error code, or none, leads to."""
    if error_code in _NEXT_TIME:
        return TelemetryEvent.LATER
    return TelemetryEvent.RESUBSCRIBE if error_code in _ASK_AGAIN else TelemetryEvent.DISABLE


@dataclass(frozen=True, slots=True)
class Subscription:
    """What the brokers want: which metrics, how often, in what form."""

    client_instance_id: bytes
    subscription_id: int
    codecs: tuple[int, ...]
    interval_s: float
    max_bytes: int
    delta: bool
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, answer: GetTelemetrySubscriptionsResponse, own_id: bytes | None) -> Subscription:
        """Return what an answer says; ``own_id`` is the instance id that was asked with."""
        interval = answer.push_interval_ms / 1000
        return cls(
            own_id or answer.client_instance_id,
            answer.subscription_id,
            answer.accepted_compression_types,
            interval if interval > 0 else DEFAULT_INTERVAL_S,
            answer.telemetry_max_bytes,
            answer.delta_temporality,
            answer.requested_metrics,
        )

    @property
    def wants_something(self) -> bool:
        """Whether there is anything to push."""
        return bool(self.prefixes)

    def selects(self, name: str) -> bool:
        """Return whether a metric of that name is wanted."""
        return any(prefix in _ALL or name.startswith(prefix) for prefix in self.prefixes)


class Deltas:
    """Makes of sums since the start what was added since the last push."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._next: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def of(self, points: Iterable[Point]) -> list[Point]:
        """Return the points with sums since the last :meth:`pushed`."""
        self._next = {}
        changed = []
        for point in points:
            if point.is_sum:
                key = (point.name, point.attributes)
                self._next[key] = point.value
                point = point._replace(value=point.value - self._last.get(key, 0))
            changed.append(point)
        return changed

    def pushed(self) -> None:
        """Note that the last points have arrived."""
        self._last |= self._next
