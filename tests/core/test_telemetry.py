from __future__ import annotations

import pytest

from aioproducer.core.telemetry import (
    DEFAULT_INTERVAL_S,
    TRANSITIONS,
    Deltas,
    Subscription,
    TelemetryEvent,
    TelemetryState,
    meaning,
    transition,
)
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.get_telemetry_subscriptions import GetTelemetrySubscriptionsResponse
from aioproducer.wire.otlp import Point


def answer(**changed: object) -> GetTelemetrySubscriptionsResponse:
    fields = {
        "throttle_time_ms": 0, "error_code": 0, "client_instance_id": b"i" * 16,
        "subscription_id": 7, "accepted_compression_types": (4, 3), "push_interval_ms": 60_000,
        "telemetry_max_bytes": 1000, "delta_temporality": True, "requested_metrics": ("a.",),
        **changed,
    }  # fmt: skip
    return GetTelemetrySubscriptionsResponse(**fields)  # type: ignore[arg-type]


def test_the_usual_course() -> None:
    state = TelemetryState.SUBSCRIPTION_NEEDED
    course = [
        (TelemetryEvent.ASK, TelemetryState.SUBSCRIPTION_IN_PROGRESS),
        (TelemetryEvent.SUBSCRIBED, TelemetryState.PUSH_NEEDED),
        (TelemetryEvent.PUSH, TelemetryState.PUSH_IN_PROGRESS),
        (TelemetryEvent.LATER, TelemetryState.PUSH_NEEDED),
        (TelemetryEvent.PUSH, TelemetryState.PUSH_IN_PROGRESS),
        (TelemetryEvent.RESUBSCRIBE, TelemetryState.SUBSCRIPTION_NEEDED),
        (TelemetryEvent.CLOSE, TelemetryState.TERMINATING_PUSH_NEEDED),
        (TelemetryEvent.PUSH, TelemetryState.TERMINATING_PUSH_IN_PROGRESS),
        (TelemetryEvent.LATER, TelemetryState.TERMINATED),
    ]
    for event, expected in course:
        state = transition(state, event)
        assert state is expected


def test_every_state_can_end_and_the_end_has_no_exit() -> None:
    for state in TelemetryState:
        exits = [event for event in TelemetryEvent if (state, event) in TRANSITIONS]
        if state is TelemetryState.TERMINATED:
            assert not exits
        else:
            assert transition(state, TelemetryEvent.DISABLE) is TelemetryState.TERMINATED


def test_a_second_close_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        transition(TelemetryState.TERMINATED, TelemetryEvent.CLOSE)


@pytest.mark.parametrize(
    ("code", "event"),
    [
        (ErrorCode.NONE, TelemetryEvent.LATER),
        (ErrorCode.TELEMETRY_TOO_LARGE, TelemetryEvent.LATER),
        (ErrorCode.THROTTLING_QUOTA_EXCEEDED, TelemetryEvent.LATER),
        (ErrorCode.UNKNOWN_SUBSCRIPTION_ID, TelemetryEvent.RESUBSCRIBE),
        (ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, TelemetryEvent.RESUBSCRIBE),
        (ErrorCode.INVALID_REQUEST, TelemetryEvent.DISABLE),
        (ErrorCode.INVALID_RECORD, TelemetryEvent.DISABLE),
        (ErrorCode.UNSUPPORTED_VERSION, TelemetryEvent.DISABLE),
        (9999, TelemetryEvent.DISABLE),
    ],
)
def test_what_the_codes_mean(code: int, event: TelemetryEvent) -> None:
    assert meaning(code) is event


def test_the_first_answer_gives_the_id_and_later_ones_keep_it() -> None:
    first = Subscription.of(answer(), None)
    assert first.client_instance_id == b"i" * 16
    assert first.interval_s == 60
    later = Subscription.of(answer(client_instance_id=bytes(16)), first.client_instance_id)
    assert later.client_instance_id == b"i" * 16
    assert Subscription.of(answer(push_interval_ms=0), None).interval_s == DEFAULT_INTERVAL_S


@pytest.mark.parametrize(
    ("prefixes", "selected"),
    [
        ((), []),
        (("*",), ["a.b", "b.c"]),
        (("",), ["a.b", "b.c"]),
        (("a.",), ["a.b"]),
        (("x", "b"), ["b.c"]),
    ],
)
def test_prefixes_select(prefixes: tuple[str, ...], selected: list[str]) -> None:
    subscription = Subscription.of(answer(requested_metrics=prefixes), None)
    assert [name for name in ("a.b", "b.c") if subscription.selects(name)] == selected
    assert subscription.wants_something is bool(prefixes)


class TestDeltas:
    def test_sums_begin_anew_when_they_have_arrived(self) -> None:
        deltas = Deltas()
        one, two = Point("n", 10, True), Point("g", 0.5, False)
        assert deltas.of([one, two]) == [one, two]
        deltas.pushed()
        assert deltas.of([one._replace(value=17), two]) == [one._replace(value=7), two]

    def test_what_did_not_arrive_is_told_again(self) -> None:
        deltas = Deltas()
        deltas.of([Point("n", 10, True)])
        [again] = deltas.of([Point("n", 12, True)])
        assert again.value == 12

    def test_attributes_tell_sums_apart(self) -> None:
        deltas = Deltas()
        a, b = (Point("n", 10, True, (("topic", t),)) for t in "ab")
        deltas.of([a])
        deltas.pushed()
        assert [each.value for each in deltas.of([a, b])] == [0, 10]
