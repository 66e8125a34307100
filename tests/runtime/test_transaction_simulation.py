"""Transactional producers against faults of every kind, each run from one seed.

A failing seed replays exactly: ``python -m tests.simulation 7-7 --transactions``.
"""

from __future__ import annotations

import functools

import pytest

from tests.simulation.__main__ import simulate
from tests.simulation.transactions import TransactionSimulation

SEEDS = 150
CALM_SEEDS = 20
_CHUNK = 10


@functools.cache
def run_of(seed: int) -> TransactionSimulation:
    done = simulate(seed, transactions=True)
    assert isinstance(done, TransactionSimulation)
    return done


@pytest.mark.parametrize("first", range(0, SEEDS, _CHUNK))
def test_what_is_committed_is_visible_whole_once_and_in_order_and_nothing_else_is(
    first: int,
) -> None:
    """Offsets go with their records; a fenced producer is so for good; nothing hangs."""
    runs = [run_of(seed) for seed in range(first, first + _CHUNK)]
    assert {run.seed: run.violations for run in runs if run.violations} == {}


@pytest.mark.parametrize("first", range(0, CALM_SEEDS, _CHUNK))
def test_every_transaction_that_is_to_be_committed_is_when_nothing_goes_wrong(first: int) -> None:
    runs = [simulate(seed, calm=True, transactions=True) for seed in range(first, first + _CHUNK)]
    assert {run.seed: run.violations for run in runs if run.violations} == {}


def test_a_seed_of_transactions_replays_exactly() -> None:
    """Without that, no failure could be looked into."""
    first = [TransactionSimulation(seed).run().digest() for seed in (7, 8, 9)]
    assert first == [run_of(seed).digest() for seed in (7, 8, 9)]


def test_the_simulation_of_transactions_meets_what_it_is_for() -> None:
    """Each outcome, each protocol and each kind of fault happens, and most transactions commit."""
    runs = [run_of(seed) for seed in range(SEEDS)]
    faults = {kind for run in runs for kind, count in run.faults.counts.items() if count}
    assert faults >= {
        "move", "restart", "hang up", "leaderless", "replicas", "limit", "block",
        "coordinator", "group", "level", "stall end_txn", "before end_txn", "swallow end_txn",
        "code find_coordinator", "code init_producer_id", "code add_partitions_to_txn",
        "code add_offsets_to_txn", "code txn_offset_commit", "code end_txn",
        "unreplicated", "forgotten",
    }  # fmt: skip
    outcomes = {kind for run in runs for kind in run.outcomes}
    assert outcomes >= {
        "committed", "aborted", "maybe", "not begun", "Wanted", "CancelledError",
        "ProducerFencedError", "TransactionTimeoutError", "DeliveryTimeoutError",
        "InvalidRecordError", "IllegalGenerationError",
    }  # fmt: skip
    assert {run.plan.level for run in runs} == {0, 1, 2}
    assert sum(run.outcomes["committed"] for run in runs) > 300
    assert any(attempt.usurped for run in runs for attempt in run.attempts)
    protocols = {
        protocol
        for run in runs
        for each in run.faults.cluster.transactions.ids.values()
        for protocol in each.protocols
    }
    assert protocols == {1, 2}
