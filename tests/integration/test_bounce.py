"""A bounded share of `make bounce`: copiers and brokers killed, the copy exact all the same."""

from __future__ import annotations

import asyncio

import pytest

from tests.bounce.run import Settings, run
from tests.bounce.verdict import table


@pytest.mark.own_cluster
@pytest.mark.timeout(1200)
def test_a_topic_is_copied_exactly_once_while_copiers_and_brokers_are_killed() -> None:
    settings = Settings(records=9_000, seconds=12, seed=5, patience=600)
    outcome = asyncio.run(run(settings, lambda line: None))
    report = "\n".join([table(outcome.rows), *outcome.problems])
    assert not outcome.problems, report
    figures = dict(outcome.rows)
    assert figures["output, read committed"] == 9_000, report
    assert not str(figures["copiers killed -9"]).startswith("0 "), report
    assert not str(figures["brokers killed -9"]).startswith("0 "), report
