"""The clock of delivery.timeout.ms: one alarm for all batches that are not settled."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

from aioproducer.core.batch import Batch
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.runtime.stall import Alarm, StallWatch
from aioproducer.runtime.timers import SLACK

Expire = Callable[[PartitionQueue, Batch], object]


class DeliveryClock:
    """Calls ``expire`` for each batch whose oldest record has waited for too long.

    All batches have the same time, so they are due in the order in which they were made: only the
    first of them needs an alarm. Those with an older record, which had to wait for its place, are
    kept apart.
    """

    __slots__ = (
        "_alarm",
        "_armed_for",
        "_expire",
        "_latest",
        "_older",
        "_timeout",
        "_watch",
        "_young",
    )

    def __init__(self, watch: StallWatch, timeout: float, expire: Expire) -> None:
        self._watch = watch
        self._timeout = timeout
        self._expire = expire
        self._young: dict[Batch, PartitionQueue] = {}
        self._older: dict[Batch, PartitionQueue] = {}
        self._latest = -math.inf
        self._alarm: Alarm | None = None
        self._armed_for = math.inf

    def start(self, queue: PartitionQueue, batch: Batch) -> None:
        """Count from ``batch.created``; again, if that has become earlier."""
        batch.clock = self
        created = batch.created
        if created >= self._latest and batch not in self._young:
            self._latest = created
            self._young[batch] = queue
        else:
            self._young.pop(batch, None)
            self._older[batch] = queue
        if created + self._timeout < self._armed_for:
            self._arm(created + self._timeout)
        self._watch.attend()

    def stop(self, batch: Batch) -> None:
        """Expire ``batch`` no more; the alarm finds out by itself."""
        if self._young.pop(batch, None) is None:
            self._older.pop(batch, None)

    def close(self) -> None:
        """Expire nothing any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._young.clear()
        self._older.clear()

    def _arm(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._armed_for = when
        self._alarm = self._watch.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._armed_for = math.inf
        # Created no later than this: what is due, by the clock's resolution.
        limit = self._watch.now() + SLACK - self._timeout
        due = []
        for batch, queue in self._young.items():
            if batch.created > limit:
                break
            due.append((queue, batch))
        due += [(queue, batch) for batch, queue in self._older.items() if batch.created <= limit]
        try:
            for queue, batch in due:
                self.stop(batch)
                self._expire(queue, batch)
        finally:
            self._arm_for_the_next()

    def _arm_for_the_next(self) -> None:
        left = [batch.created for batch in self._older]
        left += [batch.created for batch in islice(self._young, 1)]
        if left:
            when = min(left) + self._timeout
            if when < self._armed_for:
                self._arm(when)
