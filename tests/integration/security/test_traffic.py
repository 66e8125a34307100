"""Plenty of records over TLS: back-pressure, large batches, and requests that nobody answers."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer import AsyncProducer
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.secure import SecureCluster
from tests.integration.security.conftest import CreateTopic

pytestmark = pytest.mark.own_cluster


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_everything_arrives_whatever_is_acknowledged(
    secure: SecureCluster, new_topic: CreateTopic, acks: object
) -> None:
    topic = new_topic()
    count = 2_000
    async with AsyncProducer(
        secure.bootstrap("TLS"),
        security_protocol="SSL",
        ssl_truststore_location=str(secure.ca_file),
        batch_size=2_000,
        config={"acks": acks},
    ) as producer:
        for number in range(count):
            producer.send(topic, b"%06d" % number + b"." * 500)
            await producer.drain()
        await producer.flush(180)
    # Without acknowledgements the log may end a moment after flush() has.
    for _ in range(100):
        records = await read_topic_async(secure.bootstrap_servers, topic)
        if len(records) == count:
            break
        await asyncio.sleep(0.1)
    values = [record.value[:6] for record in records if record.value is not None]
    assert values == [b"%06d" % number for number in range(count)]


async def test_large_records_pass(secure: SecureCluster, new_topic: CreateTopic) -> None:
    """Many times what fits into a socket's buffer or a TLS record."""
    topic = new_topic()
    value = bytes(range(256)) * 3_000
    async with AsyncProducer(
        secure.bootstrap("TLS"),
        security_protocol="SSL",
        ssl_truststore_location=str(secure.ca_file),
    ) as producer:
        await asyncio.gather(*(producer.send(topic, value) for _ in range(20)))
        metrics = producer.metrics()
        ((cipher, protocol),) = metrics.ciphers
        assert protocol.startswith("TLSv1.")
        assert cipher
        assert metrics.ciphers[cipher, protocol] == metrics.connection_count
    records = await read_topic_async(secure.bootstrap_servers, topic)
    assert [record.value == value for record in records] == [True] * 20
