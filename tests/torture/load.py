"""The lanes: producers that differ in codec, timeouts and way, each with a bounded rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from aioproducer import AsyncProducer
from tests.torture.journal import Journal, Outcome
from tests.torture.recipe import BLOCK, Recipe

_MOST_OPEN = 20_000
_STEP = 8


class LaneKind(NamedTuple):
    codec: Literal["none", "gzip", "snappy", "lz4", "zstd"]
    proxied: bool
    is_patient: bool


LANES = (
    LaneKind("none", proxied=False, is_patient=True),
    LaneKind("gzip", proxied=True, is_patient=True),
    LaneKind("snappy", proxied=False, is_patient=False),
    LaneKind("lz4", proxied=True, is_patient=False),
    LaneKind("zstd", proxied=True, is_patient=True),
)

# Impatient lanes give records up during a fault: what becomes of those is the harder question.
_PATIENT: dict[str, Any] = {"delivery_timeout_ms": 180_000, "request_timeout_ms": 3000}
_IMPATIENT: dict[str, Any] = {"delivery_timeout_ms": 2500, "request_timeout_ms": 1200}


@dataclass(slots=True)
class Lane:
    """One producer, the records it was given, and what became of them."""

    index: int
    kind: LaneKind
    producer: AsyncProducer[bytes, bytes]
    recipe: Recipe
    journal: Journal = field(default_factory=Journal)

    async def run(self, load: Load) -> None:
        """Send block after block until the load is stopped."""
        while not load.is_stopped:
            started = asyncio.get_running_loop().time()
            await self._send_block(load)
            took = asyncio.get_running_loop().time() - started
            await asyncio.sleep(max(0.0, BLOCK / load.rate_per_lane - took))

    async def _send_block(self, load: Load) -> None:
        while self.journal.open > _MOST_OPEN:
            await asyncio.sleep(0.05)
        # With keys: a few at a time, over all partitions. Without: at once, into large batches.
        keyed = self.recipe.is_keyed(self.index, len(self.journal))
        for position in range(BLOCK):
            planned = self.recipe.record(self.index, len(self.journal))
            delivery = self.producer.send(planned.topic, planned.value, key=planned.key)
            number = self.journal.begin()
            delivery.add_done_callback(partial(self.journal.settle, number))
            if keyed and position % _STEP == _STEP - 1:
                await asyncio.sleep(_STEP / load.rate_per_lane / 2)
        await self.producer.drain()


@dataclass(slots=True)
class Load:
    """All lanes, how fast they go and how far they are."""

    lanes: list[Lane]
    rate_per_lane: float
    is_stopped: bool = False

    @property
    def sent(self) -> int:
        return sum(len(lane.journal) for lane in self.lanes)

    @property
    def open(self) -> int:
        return sum(lane.journal.open for lane in self.lanes)

    def count(self, outcome: Outcome) -> int:
        return sum(lane.journal.counts[outcome] for lane in self.lanes)

    @property
    def failed(self) -> int:
        return self.count(Outcome.NOT_PERSISTED) + self.count(Outcome.MAYBE)


@asynccontextmanager
async def open_lanes(
    recipe: Recipe, direct: str, proxied: str, rate: float, *, is_idempotent: bool
) -> AsyncIterator[Load]:
    """Start the producers; on the way out they deliver what they hold and are closed."""
    async with AsyncExitStack() as stack:
        lanes = []
        for index, kind in enumerate(LANES):
            producer = AsyncProducer(
                proxied if kind.proxied else direct,
                client_id=f"torture-{index}",
                compression_type=kind.codec,
                linger_ms=5,
                max_block_ms=30_000,
                allow_auto_create_topics=False,
                enable_idempotence=is_idempotent,
                **(_PATIENT if kind.is_patient else _IMPATIENT),
            )
            await producer.start()
            stack.push_async_callback(_close, producer)
            lanes.append(Lane(index, kind, producer, recipe))
        yield Load(lanes, rate / len(lanes))


async def _close(producer: AsyncProducer[bytes, bytes]) -> None:
    # Everything is settled by now, unless the run was interrupted.
    await producer.close(timeout=1.0)
