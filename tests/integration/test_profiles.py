"""Each profile delivers to a real cluster."""

from __future__ import annotations

import asyncio
from typing import get_args

from aioproducer import AsyncProducer
from aioproducer.config_profiles import ProfileName
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory

VALUES = [f"espresso {number}".encode() * 5 for number in range(500)]


async def send_all(profile: ProfileName, bootstrap: str, topic: str) -> list[int]:
    async with AsyncProducer(bootstrap, profile=profile) as producer:
        deliveries = [producer.send(topic, value) for value in VALUES]
        return [metadata.offset for metadata in await asyncio.gather(*deliveries)]


async def test_every_profile_delivers_in_order(bootstrap: str, topic: TopicFactory) -> None:
    # One replica: with acks=1, readers see a record only once the others have copied it.
    topics = {profile: topic(replication=1) for profile in get_args(ProfileName)}

    offsets = await asyncio.gather(
        *(send_all(profile, bootstrap, name) for profile, name in topics.items())
    )
    assert offsets == [list(range(500))] * len(topics)
    for name in topics.values():
        assert [record.value for record in await read_topic_async(bootstrap, name)] == VALUES
