"""A bounded share of `make torture`: every kind of fault, judged as the long runs are."""

from __future__ import annotations

import asyncio

import pytest

from tests.torture.plan import FaultKind, plan_faults
from tests.torture.run import Settings, torture

SEED = 20
OF_CONNECTIONS = [
    FaultKind.SWALLOW,
    FaultKind.KILL,
    FaultKind.CUT,
    FaultKind.FREEZE,
    FaultKind.DELAY,
]


@pytest.mark.own_cluster
@pytest.mark.timeout(1200)
async def test_real_faults_under_load_lose_repeat_and_reorder_nothing() -> None:
    """Each kind once on uvloop; on asyncio those that differ by the loop: what connections see."""
    is_uvloop = "uvloop" in type(asyncio.get_running_loop()).__module__
    faults = plan_faults(SEED, len(FaultKind)) if is_uvloop else OF_CONNECTIONS
    settings = Settings(records=15_000, faults=faults, seed=SEED, minutes=15, rate=400)
    lines: list[str] = []
    summary = await torture(settings, lines.append)
    report = "\n".join([*lines, *summary.lines()])
    assert summary.is_good, report
    assert summary.faults.total() == len(faults), report
    assert summary.sent >= 15_000, report
    assert summary.acknowledged > summary.sent // 2, report
