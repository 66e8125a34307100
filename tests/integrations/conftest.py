"""These tests run in virtual time, against brokers in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.fake_broker import FakeCluster
from tests.virtual_clock import VirtualClockLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualClockLoop}


@pytest.fixture
async def cluster() -> FakeCluster:
    made = FakeCluster()
    made.add_topic("orders")
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    loop.network = made
    return made
