"""Two counters: what batches hold and what the waiting room holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aioproducer.core.memory_budget import MemoryBudget

sizes = st.integers(1, 400)


class Budget(RuleBasedStateMachine):
    """Takes and gives back at random."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = MemoryBudget(1000)
        self.batches: list[int] = []
        self.waiting: list[int] = []

    @rule(size=st.integers(1, 1500))
    def take(self, size: int) -> None:
        took = self.budget.take(size)
        assert took == (sum(self.batches) + size <= 1000)
        if took:
            self.batches.append(size)

    @rule(size=st.integers(1, 1500))
    def take_waiting(self, size: int) -> None:
        took = self.budget.take_waiting(size)
        assert took == (sum(self.waiting) + size <= 1000)
        if took:
            self.waiting.append(size)

    @rule()
    def give_back(self) -> None:
        if self.batches:
            self.budget.give_back(self.batches.pop(0))

    @rule()
    def give_back_waiting(self) -> None:
        if self.waiting:
            self.budget.give_back_waiting(self.waiting.pop(0))

    @invariant()
    def it_knows_what_is_held(self) -> None:
        assert self.budget.held == sum(self.batches)
        assert self.budget.waiting == sum(self.waiting)
        assert 0 <= self.budget.available <= 1000
        assert self.budget.held <= 1000
        assert self.budget.waiting <= 1000


TestBudget = Budget.TestCase


@given(sizes)
def test_giving_back_what_was_not_taken_is_noticed(size: int) -> None:
    budget = MemoryBudget(1000)
    with pytest.raises(AssertionError, match="given back"):
        budget.give_back(size)
    with pytest.raises(AssertionError, match="given back"):
        budget.give_back_waiting(size)
