"""The asynchronous form of a cluster: started and stopped in a thread, also when cancelled."""

from __future__ import annotations

import asyncio
import threading
from typing import ClassVar

import pytest

from aioproducer.testing.cluster import ClusterStartError, KafkaCluster, wait_until


class SlowCluster(KafkaCluster):
    kind: ClassVar[str] = "slow"
    version = "none"

    def __init__(self) -> None:
        self.starting = threading.Event()
        self.may_start = threading.Event()
        self.calls: list[str] = []

    def start(self) -> None:
        self.starting.set()
        self.may_start.wait(120)
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def describe(self) -> str:
        return "slow"


async def test_the_block_runs_between_start_and_stop() -> None:
    cluster = SlowCluster()
    cluster.may_start.set()
    async with cluster as entered:
        assert entered is cluster
        assert cluster.calls == ["start"]
    assert cluster.calls == ["start", "stop"]


async def test_a_cancelled_start_is_waited_for_and_ended() -> None:
    cluster = SlowCluster()
    entering = asyncio.ensure_future(cluster.__aenter__())
    await asyncio.to_thread(cluster.starting.wait, 120)
    entering.cancel()
    cluster.may_start.set()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert cluster.calls == ["start", "stop"]


def test_waiting_is_bounded_and_says_what_for() -> None:
    with pytest.raises(ClusterStartError, match="every node is listed: not within 0 s"):
        wait_until(lambda: False, 0, "every node is listed")
