"""Which partition queue a record goes to."""

from __future__ import annotations

import random
from collections.abc import Sequence

from aioproducer.core.murmur2 import partition_of_key
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.core.partitioner import Partitioner, PartitionerRecord, PartitionList
from aioproducer.core.topic_queues import TopicQueues
from aioproducer.errors import PartitionerError
from aioproducer.records import Header

Buffer = bytes | bytearray | memoryview


class Router:
    """Explicit partition, own partitioner, hash of the key, or the sticky one: in this order."""

    def __init__(
        self,
        partitioner: Partitioner | None,
        rng: random.Random,
        *,
        ignore_keys: bool,
        batch_size: int,
    ) -> None:
        self._partitioner = partitioner
        self._rng = rng
        self._batch_size = batch_size
        # Then send() may hash the key itself instead of asking here.
        self.hashes_keys = partitioner is None and not ignore_keys

    def route(
        self,
        queues: TopicQueues,
        partition: int | None,
        key: bytes | None,
        value: Buffer | None,
        headers: Sequence[Header],
        user_key: object,
        user_value: object,
        unusable: frozenset[int] = frozenset(),
    ) -> PartitionQueue | None:
        """Return the queue of the partition given or chosen; ``None`` if it is not there yet.

        ``unusable`` partitions are avoided for records without a key. Raises
        :exc:`PartitionerError` for whatever goes wrong in an own partitioner.
        """
        if partition is None:
            if self._partitioner is not None:
                record = PartitionerRecord(
                    topic=queues.name,
                    key=user_key,
                    value=user_value,
                    key_bytes=key,
                    value_bytes=None if value is None else bytes(value),
                    headers=headers,
                )
                partition = self._ask(self._partitioner, record, queues)
            elif key is None or not self.hashes_keys:
                partition = queues.pick(self._batch_size, self._rng, unusable)
            else:
                partition = partition_of_key(key, queues.count)
        return queues.partitions[partition] if partition < queues.count else None

    def partition_of(self, queues: TopicQueues, key: bytes, user_key: object) -> int:
        """Return the partition for a key alone; raises as :meth:`route`."""
        if self._partitioner is None:
            return partition_of_key(key, queues.count)
        record = PartitionerRecord(queues.name, user_key, None, key, None)
        return self._ask(self._partitioner, record, queues)

    def _ask(self, partitioner: Partitioner, record: PartitionerRecord, queues: TopicQueues) -> int:
        partitions = PartitionList(all=queues.count, available=queues.available)
        try:
            answer = partitioner.partition(record, partitions)
        except Exception as error:
            # The user's code may raise anything; it fails this record alone.
            failure = PartitionerError(f"the partitioner raised {error!r}", topic=queues.name)
            failure.__cause__ = error
            raise failure from error
        if type(answer) is not int or not 0 <= answer < queues.count:
            raise PartitionerError(
                f"the partitioner answered {answer!r}; an int from 0 to {queues.count - 1}"
                " was expected",
                topic=queues.name,
            )
        return answer
