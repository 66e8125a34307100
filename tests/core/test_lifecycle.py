"""The life of a producer is a table."""

from __future__ import annotations

import itertools

import pytest

from aioproducer.core.lifecycle import TRANSITIONS, LifeEvent, LifeState, transition
from aioproducer.errors import ProducerStateError


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(LifeState, LifeEvent)), ids=lambda each: each.name
)
def test_each_event_moves_by_the_table_or_is_refused(state: LifeState, event: LifeEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert transition(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ProducerStateError, match=r"cannot|is"):
            transition(state, event)


def test_the_end_has_no_exits() -> None:
    assert not [event for state, event in TRANSITIONS if state is LifeState.CLOSED]


def test_every_state_but_the_first_can_be_reached_and_leads_to_the_end() -> None:
    reached = {LifeState.NEW}
    for _ in LifeState:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(LifeState)
