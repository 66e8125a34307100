from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest
from confluent_kafka import Producer

from aioproducer.testing.admin import client_config

Produce = Callable[[str, str, Sequence[bytes]], None]


# Their loops differ by transports, and test_proxy_peers.py is about those.
ON_ONE_LOOP = frozenset({"test_proxy.py"})


@pytest.hookimpl(tryfirst=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    return {"asyncio": asyncio.SelectorEventLoop} if item.path.name in ON_ONE_LOOP else None


@pytest.fixture
def produce() -> Produce:
    """Puts values into partition 0 of a topic with a producer that is not ours."""

    def run(bootstrap_servers: str, topic: str, values: Sequence[bytes]) -> None:
        with Producer(client_config(bootstrap_servers, **{"enable.idempotence": True})) as producer:
            for value in values:
                producer.produce(topic, value, key=b"key", partition=0, headers=[("none", None)])
            assert producer.flush(120) == 0

    return run
