"""The circuit as a state machine, at times of the tests' own making."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer import ConfigurationError
from aioproducer.patterns.circuit import (
    TRANSITIONS,
    Circuit,
    CircuitEvent,
    CircuitRules,
    CircuitState,
    transition,
)

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def circuit(**rules: Any) -> Circuit:
    given = {"failures_in_row": 3, "failure_rate": None, "recovery": 10.0, **rules}
    return Circuit(CircuitRules(**given))


def opened(now: float = 0.0, **rules: Any) -> Circuit:
    made = circuit(**rules)
    while made.state is CLOSED:
        made.failed(made.ticket, now)
    return made


def probe(made: Circuit, now: float) -> int:
    ticket, _ = made.ask(now)
    assert ticket is not None
    assert made.state is HALF_OPEN
    return ticket


@pytest.mark.parametrize(("state", "event"), list(itertools.product(CircuitState, CircuitEvent)))
def test_the_table_says_where_each_event_leads_or_that_it_has_no_place(
    state: CircuitState, event: CircuitEvent
) -> None:
    if (state, event) in TRANSITIONS:
        assert transition(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(AssertionError, match=event.name):
            transition(state, event)


# Opening


def test_failures_in_a_row_open_it() -> None:
    made = circuit()
    assert made.failed(0, 0) is None
    assert made.failed(0, 1) is None
    moved = made.failed(0, 2)
    assert moved is not None
    assert (moved.before, moved.after, moved.event) == (CLOSED, OPEN, CircuitEvent.TRIPPED)
    assert made.ask(2) == (None, None)
    assert made.retry_after(5) == 7


def test_an_acknowledgement_begins_the_row_anew() -> None:
    made = circuit()
    for _ in range(10):
        made.failed(0, 0)
        made.failed(0, 0)
        made.succeeded(0, 0)
    assert made.state is CLOSED
    assert made.is_idle


def test_the_records_of_one_batch_are_one_in_the_row() -> None:
    made = circuit()
    for number in range(500):
        made.failed(0, 0, is_new=number == 0)
    assert made.state is CLOSED
    assert not made.is_idle


def test_the_rate_counts_records_and_waits_for_enough_of_them() -> None:
    made = circuit(failures_in_row=None, failure_rate=0.5, minimum=10, window=10)
    for number in range(9):
        made.failed(0, 0, is_new=number == 0)
    assert made.state is CLOSED
    assert made.failed(0, 0, is_new=False) is not None


def test_many_records_are_counted_at_once() -> None:
    made = circuit(failures_in_row=None, failure_rate=0.5, minimum=10, window=10)
    made.succeeded(0, 0, 100)
    assert made.failed(0, 0, 99) is None
    assert made.failed(0, 0, 1) is not None


def test_the_rate_is_that_of_the_window() -> None:
    made = circuit(failures_in_row=None, failure_rate=0.5, minimum=10, window=10)
    for _ in range(1000):
        made.succeeded(0, 0)
    for second in range(1, 11):
        made.failed(0, second)
        assert made.state is (CLOSED if second < 10 else OPEN)


def test_a_rate_below_the_limit_does_nothing() -> None:
    made = circuit(failures_in_row=None, failure_rate=0.5, minimum=10, window=10)
    for number in range(1000):
        outcome = made.failed if number % 3 < 1 else made.succeeded
        outcome(0, number / 10)
    assert made.state is CLOSED


# Recovering


def test_after_the_recovery_time_one_probe_passes_at_a_time() -> None:
    made = opened(0.0)
    assert made.ask(9.9) == (None, None)
    assert not made.would_admit(9.9)
    assert made.would_admit(10)
    ticket, moved = made.ask(10)
    assert moved is not None
    assert moved.event is CircuitEvent.RECOVERY_DUE
    assert ticket is not None
    assert made.ask(11) == (None, None)
    assert made.retry_after(11) == 10


def test_a_probe_that_is_acknowledged_closes_it() -> None:
    made = opened()
    moved = made.succeeded(probe(made, 10), 11)
    assert moved is not None
    assert moved.event is CircuitEvent.PROBED_ENOUGH
    assert made.state is CLOSED
    assert made.is_idle


def test_several_probes_go_one_after_the_other() -> None:
    made = opened(probes=3)
    for second in (10, 11, 12):
        assert made.state is not CLOSED
        made.succeeded(probe(made, second), second)
    assert made.state is CLOSED


def test_a_probe_that_fails_opens_it_again_for_longer_each_time() -> None:
    made = opened(recovery_factor=2, recovery_max=35)
    now, waits = 0.0, []
    for _ in range(5):
        now += made.retry_after(now)
        moved = made.failed(probe(made, now), now)
        assert moved is not None
        assert moved.event is CircuitEvent.PROBE_FAILED
        waits.append(made.retry_after(now))
    assert waits == [20, 35, 35, 35, 35]
    now += 35
    made.succeeded(probe(made, now), now)
    while made.state is CLOSED:
        made.failed(made.ticket, now)
    assert made.retry_after(now) == 10


def test_years_of_failures_do_not_overflow() -> None:
    made = opened(recovery_factor=1e6)
    now = 0.0
    for _ in range(100_000):
        now += made.retry_after(now)
        made.failed(probe(made, now), now)
    assert made.retry_after(now) == pytest.approx(300)


def test_a_probe_that_is_lost_makes_room_for_another_at_once() -> None:
    made = opened()
    ticket = probe(made, 10)
    made.lost(ticket)
    assert made.would_admit(10)
    assert made.retry_after(10) == 0
    assert probe(made, 10) != ticket


def test_a_probe_that_says_nothing_does_not_wedge_it() -> None:
    made = opened(probe_timeout=30)
    silent = probe(made, 10)
    assert made.ask(39) == (None, None)
    second = probe(made, 40)
    # What the first says now is no news of the second.
    assert made.succeeded(silent, 41) is None
    assert made.state is HALF_OPEN
    assert made.succeeded(second, 42) is not None


def test_a_probe_that_answers_twice_or_after_it_was_lost_counts_once() -> None:
    made = opened(probes=2)
    ticket = probe(made, 10)
    made.succeeded(ticket, 11)
    assert made.succeeded(ticket, 11) is None
    assert made.failed(ticket, 11) is None
    assert made.state is HALF_OPEN


def test_what_was_sent_before_it_opened_says_nothing_after_it_closed() -> None:
    made = circuit()
    before = made.ticket
    for _ in range(3):
        made.failed(before, 0)
    made.failed(before, 1)
    made.succeeded(before, 1)
    assert made.state is OPEN
    made.succeeded(probe(made, 10), 10)
    for _ in range(10):
        made.failed(before, 11)
    assert made.state is CLOSED
    assert made.is_idle


@given(st.lists(st.tuples(st.sampled_from("askbgl"), st.floats(0, 40)), max_size=60))
def test_whatever_happens_it_never_wedges_and_one_probe_passes_at_a_time(
    steps: list[tuple[str, float]],
) -> None:
    made = circuit(probe_timeout=30)
    now, tickets = 0.0, [0]
    for what, seconds in steps:
        now += seconds
        was_open = made.state is not CLOSED
        if what in ("a", "s", "k"):
            ticket, _ = made.ask(now)
            if ticket is not None:
                tickets.append(ticket)
                if was_open:
                    assert made.ask(now) == (None, None)
        elif what == "b":
            made.failed(tickets[-1], now)
        elif what == "g":
            made.succeeded(tickets[-1], now)
        else:
            made.lost(tickets[-1])
    # However it stands: within the longest wait somebody passes, and closes it.
    now += 40
    ticket, _ = made.ask(now)
    assert ticket is not None
    made.succeeded(ticket, now)
    assert made.state is CLOSED


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures_in_row": 0},
        {"failure_rate": 0.0},
        {"failure_rate": 1.1},
        {"window": 0},
        {"minimum": 0},
        {"recovery": 0},
        {"recovery_max": 0},
        {"recovery_factor": 0.5},
        {"probes": 0},
        {"probe_timeout": 0},
        {"failures_in_row": None, "failure_rate": None},
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        CircuitRules(**wrong)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"window.*; minimum.*"):
        CircuitRules(window=-1, minimum=-1)
