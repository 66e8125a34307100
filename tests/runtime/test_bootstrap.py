"""Where to begin."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.runtime.bootstrap import bootstrap_addresses
from tests.fake_broker import FakeCluster
from tests.runtime.world import virtual_loop

CANONICAL = "resolve_canonical_bootstrap_servers_only"


async def test_addresses_are_split() -> None:
    config = ProducerConfig.create("one:9092,[::1]:9093")
    assert await bootstrap_addresses(config) == [("one", 9092), ("::1", 9093)]


async def test_an_alias_stands_for_the_canonical_names_of_its_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster()
    cluster.hosts["alias"] = [
        (socket.AF_INET, ("10.0.0.1", 9092)),
        (socket.AF_INET, ("10.0.0.2", 9092)),
    ]
    loop = virtual_loop()
    loop.network = cluster

    async def name_of(address: Any, flags: int = 0) -> tuple[str, str]:
        return f"node-{address[0][-1]}.example", "9092"

    monkeypatch.setattr(loop, "getnameinfo", name_of)
    config = ProducerConfig.create("alias:9092", client_dns_lookup=CANONICAL)
    assert await bootstrap_addresses(config) == [
        ("node-1.example", 9092),
        ("node-2.example", 9092),
    ]


async def test_a_name_that_cannot_be_resolved_is_left_as_it_is() -> None:
    virtual_loop().network = FakeCluster()
    config = ProducerConfig.create("nowhere:9092", client_dns_lookup=CANONICAL)
    assert await bootstrap_addresses(config) == [("nowhere", 9092)]
