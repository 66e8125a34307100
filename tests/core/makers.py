"""Batches and queues for tests of the core, which needs neither loop nor clock."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.producer_identity import ProducerIdentity, SequenceState
from aioproducer.core.topic_queues import TopicQueues
from aioproducer.delivery import Fate


class NoLoop:
    """Stands for the loop that a Fate keeps; the core never asks it for anything."""

    def is_closed(self) -> bool:
        return True


NO_LOOP = cast(asyncio.AbstractEventLoop, NoLoop())
IDENTITY = ProducerIdentity(producer_id=7, epoch=0)


def make_queue(*, idempotent: bool = True, keep_order: bool = True) -> PartitionQueue:
    queue = PartitionQueue(
        TopicQueues("orders", adaptive=True), 0, SequenceState() if idempotent else None
    )
    queue.keep_order = keep_order
    return queue


def make_batch(
    queue: PartitionQueue | None = None,
    values: list[bytes] | None = None,
    *,
    order: tuple[int, ...] | None = None,
    limit: int = 16384,
    created: float = 0.0,
    **given: Any,
) -> Batch:
    """Return a batch of ``values``, open in ``queue`` if one is given."""
    values = [b"value"] if values is None else values
    if order is None:
        order = queue.new_order() if queue is not None else (1,)
    batch = Batch(
        "orders",
        0,
        Fate(NO_LOOP, "orders", 0),
        order=order,
        created=created,
        opened=created,
        limit=limit,
        base_timestamp=1000,
        **given,
    )
    for index, value in enumerate(values):
        batch.append(1000 + index, None, value, ())
        batch.charged += 100 + index
    batch.fate.count = batch.count
    if queue is not None:
        queue.open = batch
    return batch


def ready_batch(queue: PartitionQueue, values: list[bytes] | None = None) -> Batch:
    """Put a closed batch behind those that wait in ``queue``."""
    batch = make_batch(queue, values)
    queue.close_open(Sealed.FLUSH)
    batch.payload = batch.body
    return batch
