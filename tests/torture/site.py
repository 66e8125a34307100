"""The place of the faults: the cluster, the proxy before it, the topics, and when all is whole."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aioproducer.testing import KraftCluster, admin
from aioproducer.testing.proxy import FaultProxy
from aioproducer.wire.framing import FrameDecoder
from aioproducer.wire.messages import frame_request
from aioproducer.wire.messages.metadata import MetadataRequest, MetadataResponse
from aioproducer.wire.primitives import Reader
from tests.torture.load import Load
from tests.torture.recipe import Recipe

PARTITIONS = 6
WHOLE_SECONDS = 300.0
_DURABLE = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}


class SiteError(RuntimeError):
    """The cluster did not do what a fault needs; says nothing about the producer."""


@dataclass(slots=True)
class Site:
    """What a fault may touch, and what it leaves as evidence that it happened."""

    cluster: KraftCluster
    proxy: FaultProxy
    recipe: Recipe
    load: Load
    evidence: Counter[str] = field(default_factory=Counter)
    excused_below: list[int] = field(default_factory=list)
    kills: int = 0

    @property
    def bootstrap(self) -> str:
        return self.cluster.bootstrap_servers

    async def until(
        self, condition: Callable[[], bool], what: str, timeout: float = WHOLE_SECONDS
    ) -> None:
        """Wait for a condition that is asked in a thread, because asking blocks."""
        deadline = asyncio.get_running_loop().time() + timeout
        while not await asyncio.to_thread(condition):
            if asyncio.get_running_loop().time() > deadline:
                raise SiteError(f"{what}: not within {timeout:g} s")
            await asyncio.sleep(0.2)

    async def whole(self) -> None:
        """Wait until each partition has a leader and all of its three replicas in sync.

        Seen twice: the first look may meet a broker that has not heard of the last change.
        """
        for _ in range(2):
            await asyncio.sleep(0.5)
            await self.until(lambda: is_whole(self.bootstrap), "all replicas in sync")

    async def set_topic(self, name: str, configs: Mapping[str, str]) -> None:
        await retried(admin.set_topic_config, self.bootstrap, name, dict(configs))

    async def leader_of(self, topic: str, partition: int) -> int:
        try:
            states = await asyncio.to_thread(admin.states_of, self.bootstrap, topic)
        except TimeoutError:
            raise SiteError(f"{topic} is without leaders before its fault") from None
        return states[partition].leader


async def make_topics(cluster: KraftCluster, recipe: Recipe) -> None:
    for name in (*recipe.steady, recipe.remade):
        await make_topic(cluster, name)


async def make_topic(cluster: KraftCluster, name: str) -> None:
    await asyncio.to_thread(cluster.create_topic, name, PARTITIONS, 3, _DURABLE)


def is_whole(bootstrap: str) -> bool:
    states = admin.partition_states(bootstrap)
    return bool(states) and all(
        partition.leader >= 0 and len(set(partition.in_sync)) == 3 == len(partition.replicas)
        for partitions in states.values()
        for partition in partitions
    )


async def retried(call: Callable[..., object], *arguments: object) -> None:
    """Ask an admin client, up to five times: a busy cluster may let a request time out."""
    from confluent_kafka import KafkaException
    from kafka.errors import KafkaError

    for attempts_left in reversed(range(5)):
        try:
            await asyncio.to_thread(call, *arguments)
            return
        except (KafkaException, KafkaError, KeyError, RuntimeError):
            if not attempts_left:
                raise
            await asyncio.sleep(1)


async def topic_ids(bootstrap: str, topic: str) -> set[bytes]:
    """The topic's id as each broker by itself has it; zeros where one does not know the topic."""
    asked = [ask_topic_id(address, topic) for address in bootstrap.split(",")]
    return set(await asyncio.gather(*asked))


async def ask_topic_id(address: str, topic: str) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        request = MetadataRequest((topic,), allow_auto_topic_creation=False)
        writer.writelines(frame_request(request, 12, 1, "torture"))
        decoder = FrameDecoder()
        frames: list[bytes] = []
        async with asyncio.timeout(60):
            while not frames:
                frames = decoder.feed(await reader.read(65536))
    finally:
        writer.close()
    answer = Reader(frames[0])
    answer.int32()
    answer.tagged_fields()
    [found] = MetadataResponse.decode(answer, 12).topics
    return found.topic_id if found.error_code == 0 else bytes(16)
