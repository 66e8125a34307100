"""Each profile delivers to a real cluster."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from aioproducer import AsyncProducer
from aioproducer.config_profiles import ProfileName
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory


@pytest.mark.parametrize("profile", get_args(ProfileName))
async def test_a_profile_delivers_in_order(
    profile: ProfileName, bootstrap: str, topic: TopicFactory
) -> None:
    # One replica: with acks=1, readers see a record only once the others have copied it.
    name = topic(replication=1)
    values = [f"espresso {number}".encode() * 5 for number in range(500)]
    async with AsyncProducer(bootstrap, profile=profile) as producer:
        deliveries = [producer.send(name, value) for value in values]
        offsets = [metadata.offset for metadata in await asyncio.gather(*deliveries)]

    assert offsets == list(range(500))
    assert [record.value for record in await read_topic_async(bootstrap, name)] == values
