"""A broker that answers garbage loses its connection, nothing else: what was sent is delivered."""

from __future__ import annotations

import asyncio
import random
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioproducer import ProducerError, RecordMetadata
from aioproducer.core.lifecycle import LifeState
from aioproducer.wire.versions import ApiKey
from tests.fake_broker import Conduct, FakeCluster
from tests.fuzz.mutate import mutated
from tests.runtime.world import now, outcomes, running, values_of
from tests.virtual_clock import VirtualClockLoop

ASKED = [ApiKey.API_VERSIONS, ApiKey.METADATA, ApiKey.INIT_PRODUCER_ID, ApiKey.PRODUCE]
_NEVER_ASKED = 2**31 - 1
GARBAGE = {
    "nothing of a body": struct.pack(">i", 0),
    "half a correlation id": struct.pack(">ih", 2, 0),
    "an answer to another question": struct.pack(">iib", 5, _NEVER_ASKED, 0),
    "a negative size": struct.pack(">i", -1),
    "a size above all bounds": struct.pack(">i", 2**31 - 1) + bytes(100),
    "noise": random.Random(1).randbytes(300),
    "a web server": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
}


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop, debug=True) as runner:
        runner.run(main())


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("api", ASKED, ids=lambda api: api.name)
def test_garbage_costs_a_connection_and_no_record(api: ApiKey, garbage: bytes) -> None:
    """Three times in a row, for each question that a producer asks; then all arrives once."""

    async def main() -> None:
        cluster = FakeCluster(2)
        cluster.add_topic("orders")
        for broker in cluster.brokers.values():
            broker.scripts[api] = deque([Conduct(answer=garbage)] * 3)
        async with running(cluster) as producer:
            started = now()
            deliveries = [producer.send("orders", b"%d" % n, partition=0) for n in range(20)]
            found = await asyncio.gather(*deliveries)
            assert all(isinstance(each, RecordMetadata) for each in found)
            assert producer.state is LifeState.RUNNING
            assert now() - started < 60
        assert values_of(cluster, "orders") == [b"%d" % n for n in range(20)]
        connections = sum(broker.connections for broker in cluster.brokers.values())
        assert connections >= 3, "the connection was kept after garbage"

    in_virtual_time(main)


@pytest.mark.parametrize("seed", range(60))
def test_after_damaged_answers_of_every_kind_the_producer_goes_on(seed: int) -> None:
    """Half of all answers are damaged for a while: each record gets its outcome, none hangs.

    Damage may read as a sound answer that says something else, so what the outcomes are is open.
    Once those connections are gone, and with them what was believed there of versions and pauses,
    a record is delivered as ever.
    """
    rng = random.Random(seed)
    damaging = True

    def pieces(frame: bytes) -> list[bytes]:
        if damaging and rng.random() < 0.5:
            # The size is mended: otherwise most of the damage would be a frame that never ends.
            damaged = mutated([frame[4:]], rng)
            return [struct.pack(">i", len(damaged)), damaged]
        return [frame]

    async def main() -> None:
        nonlocal damaging
        cluster = FakeCluster(2, pieces=pieces)
        cluster.add_topic("orders")
        async with running(
            cluster, delivery_timeout_ms=20_000, request_timeout_ms=2000, max_block_ms=20_000,
            metadata_max_age_ms=5000,
        ) as producer:  # fmt: skip
            deliveries = []
            for number in range(60):
                deliveries.append(producer.send("orders", b"%d" % number, partition=0))
                await asyncio.sleep(0.1)
            found = await asyncio.wait_for(outcomes(deliveries), 60)
            assert all(isinstance(each, (RecordMetadata, ProducerError)) for each in found)
            damaging = False
            for broker in cluster.brokers.values():
                broker.hang_up()
            # By then the metadata was asked for again, and lies in it are forgotten.
            await asyncio.sleep(60)
            await asyncio.wait_for(producer.send("orders", b"after", partition=0), 30)
            assert producer.state is LifeState.RUNNING
        assert values_of(cluster, "orders").count(b"after") == 1

    in_virtual_time(main)
