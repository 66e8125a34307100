"""Re-authentication (KIP-368) under load, with sessions of ten seconds."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from aioproducer import AsyncProducer
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.secure import SecureCluster
from tests.integration.security.conftest import CreateTopic
from tests.integration.security.test_logins import login

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(900)]

RENEWALS, PATIENCE = 2, 300.0
"""On each connection, and how long they may take: ten seconds each, where nothing is slow."""
PARTITIONS = 4


async def produce(
    secure: SecureCluster, topic: str, listener: str, **options: Any
) -> tuple[list[int], bool]:
    """Send numbers until logins were renewed; returns how many by partition, and if all connections
    stayed."""
    counts = [0] * PARTITIONS
    async with AsyncProducer(
        secure.bootstrap(listener), linger_ms=5, batch_size=4096, **options
    ) as producer:
        await producer.warm_up([topic], timeout=120)
        engine = producer._engine
        assert engine is not None
        connections = {
            node: manager._connection
            for node, manager in engine.cluster.managers().items()
            if node >= 0
        }
        deliveries = []
        renewals = RENEWALS * len(connections)
        async with asyncio.timeout(PATIENCE):
            while producer.metrics().successful_reauthentication_total < renewals:
                for _ in range(100):
                    for partition in range(PARTITIONS):
                        value = b"%d" % counts[partition]
                        deliveries.append(producer.send(topic, value, partition=partition))
                        counts[partition] += 1
                    await asyncio.sleep(0.002)
        await asyncio.gather(*deliveries)
        # They live longer than their first login, by renewing it. A renewal has about a second, so
        # a machine that stands still for that long may lose one, and its records go again.
        survived = [
            (manager := engine.cluster.managers().get(node)) is not None
            and manager._connection is connection
            for node, connection in connections.items()
        ]
        assert engine.ledger.records_retried == 0 or not all(survived)
        metrics = producer.metrics()
        assert 0 < metrics.successful_authentication_total <= metrics.connection_creation_total
        assert metrics.failed_reauthentication_total == 0 or not all(survived)
        assert metrics.reauthentication_latency_avg > 0
    return counts, all(survived)


async def test_nothing_is_lost_doubled_or_reordered_while_logins_are_renewed(
    secure: SecureCluster, new_topic: CreateTopic, caplog: pytest.LogCaptureFixture
) -> None:
    """Each mechanism at once, over TLS and without."""
    caplog.set_level(logging.WARNING, "aioproducer")
    loads = [
        ("SHORTP", login(secure, "SASL_PLAINTEXT", "SCRAM-SHA-512")),
        ("SHORTS", login(secure, "SASL_SSL", "PLAIN")),
        ("SHORTS", login(secure, "SASL_SSL", "OAUTHBEARER")),
    ]
    topics = [new_topic(PARTITIONS) for _ in loads]
    results = await asyncio.gather(
        *(
            produce(secure, topic, listener, **options)
            for topic, (listener, options) in zip(topics, loads, strict=True)
        )
    )
    for topic, (counts, _) in zip(topics, results, strict=True):
        records = await read_topic_async(secure.bootstrap_servers, topic)
        for partition, count in enumerate(counts):
            values = [r.value for r in records if r.partition == partition]
            assert values == [b"%d" % number for number in range(count)]
            assert count > 50
    if all(stayed for _, stayed in results):
        assert "cannot be renewed" not in caplog.text
