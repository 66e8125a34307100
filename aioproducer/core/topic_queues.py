"""One topic's partitions, as the send path needs them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from aioproducer.core.cluster_view import TopicView
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.partitioner import StickyPartition
from aioproducer.core.producer_identity import SequenceState

INITIAL_RATIO = 1.0
RATIO_IMPROVING_STEP = 0.005
RATIO_DETERIORATE_STEP = 0.05


class CompressionRatio:
    """Estimates how small a topic's batches become, as Java does: quick to worsen."""

    __slots__ = ("estimate",)

    def __init__(self) -> None:
        self.estimate = INITIAL_RATIO

    def observe(self, ratio: float) -> None:
        """Learn from one compressed batch."""
        if ratio > self.estimate:
            self.estimate = max(self.estimate + RATIO_DETERIORATE_STEP, ratio)
        elif ratio < self.estimate:
            self.estimate = max(self.estimate - RATIO_IMPROVING_STEP, ratio)

    def reset(self, ratio: float) -> None:
        """Start again after a batch turned out too large for the broker."""
        self.estimate = max(INITIAL_RATIO, ratio)


class Changes(NamedTuple):
    """Queues whose leader moved, and queues whose partition is no more."""

    moved: list[PartitionQueue]
    gone: list[PartitionQueue]


class TopicQueues:
    """The partition queues of a topic, and which of them records without a key go to."""

    __slots__ = (
        "adaptive",
        "available",
        "blocked",
        "count",
        "last_used",
        "name",
        "partitions",
        "ratio",
        "sticky",
        "topic_id",
    )

    def __init__(self, name: str, *, adaptive: bool) -> None:
        self.name = name
        self.topic_id = bytes(16)
        self.partitions: list[PartitionQueue] = []
        self.count = 0
        self.available: tuple[int, ...] = ()
        self.ratio = CompressionRatio()
        self.sticky = StickyPartition()
        self.adaptive = adaptive
        # True while records of this topic must queue behind others that wait for metadata.
        self.blocked = True
        self.last_used = 0.0

    def update(
        self, view: TopicView, sequences: Callable[[str, int], SequenceState | None], order: bool
    ) -> Changes:
        """Take over id, partitions and leaders from ``view``; return what that changed."""
        if any(self.topic_id) and any(view.topic_id) and view.topic_id != self.topic_id:
            self._recreated()
        self.topic_id = view.topic_id
        self.available = view.available
        for index in range(len(self.partitions), len(view.partitions)):
            queue = PartitionQueue(self, index, sequences(self.name, index))
            queue.keep_order = order
            self.partitions.append(queue)
        # Only a topic that was made anew has fewer partitions than before.
        gone = self.partitions[len(view.partitions) :]
        del self.partitions[len(view.partitions) :]
        self.count = len(self.partitions)
        moved = []
        for queue, partition in zip(self.partitions, view.partitions, strict=True):
            if queue.leader != partition.leader or queue.leader_epoch != partition.leader_epoch:
                queue.leader = partition.leader
                queue.leader_epoch = partition.leader_epoch
                moved.append(queue)
        return Changes(moved, gone)

    def _recreated(self) -> None:
        """Distrust all sequences: the logs that knew them are gone with the old topic."""
        for queue in self.partitions:
            if queue.sequences is not None and queue.sequences.identity is not None:
                queue.sequences.broken = True

    def pick(self, batch_size: int, rng: random.Random, unusable: frozenset[int]) -> int:
        """Return the partition for a record without a key (KIP-794).

        Stays with one until a batch's worth went there, then moves on where the queues are short.
        """
        sticky = self.sticky
        usable = self.available
        if unusable and usable:
            usable = tuple(index for index in usable if index not in unusable) or usable
        if sticky.due(batch_size):
            return sticky.rotate(usable, self._loads() if self.adaptive else None, rng, self.count)
        return sticky.current(self.count, usable, self._loads if self.adaptive else None, rng)

    def _loads(self) -> list[int]:
        return [queue.length for queue in self.partitions]
