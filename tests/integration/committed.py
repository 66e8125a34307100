"""What a reader that reads committed sees after all transactions, and where its group is."""

from __future__ import annotations

import asyncio
import time

from aioproducer.testing.admin import client_config
from aioproducer.testing.judge import ReadRecord, end_offsets, read_topic

NO_OFFSET = -1001

# A transaction that nobody ends is aborted after its timeout and up to 10 s.
_LONGEST = 180.0


def read_settled(bootstrap: str, topic: str, timeout: float = _LONGEST) -> list[ReadRecord]:
    """Read the committed records of a topic in which no transaction is open any more.

    A commit is decided before its markers are in the logs, so that readers see it somewhat later.
    Raises :exc:`TimeoutError` if one is still open after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        ends = end_offsets(bootstrap, topic)
        if end_offsets(bootstrap, topic, isolation="read_committed") == ends:
            return read_topic(bootstrap, topic, isolation="read_committed")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic}: a transaction was still open after {timeout:g} s")
        time.sleep(0.1)


async def read_settled_async(
    bootstrap: str, topic: str, timeout: float = _LONGEST
) -> list[ReadRecord]:
    """As :func:`read_settled`, in a worker thread."""
    return await asyncio.to_thread(read_settled, bootstrap, topic, timeout)


async def is_at(bootstrap: str, group: str, topic: str, wanted: int, partition: int = 0) -> None:
    """Assert that a group's position is, or within 60 s becomes, the one that was committed.

    Brokers before 2.5 cannot be asked for stable offsets: there the position of before is answered
    while the marker of the transaction is on its way.
    """
    deadline = time.monotonic() + 60
    while (found := await group_position(bootstrap, group, topic, partition)) != wanted:
        assert time.monotonic() < deadline, f"{found} instead of {wanted}"
        await asyncio.sleep(0.1)


async def group_position(bootstrap: str, group: str, topic: str, partition: int = 0) -> int:
    """Return a group's position, or NO_OFFSET, as librdkafka's admin client reads it."""
    return await asyncio.to_thread(_position, bootstrap, group, topic, partition)


def _position(bootstrap: str, group: str, topic: str, partition: int) -> int:
    import confluent_kafka
    from confluent_kafka.admin import AdminClient

    client = AdminClient(client_config(bootstrap))
    wanted = confluent_kafka.ConsumerGroupTopicPartitions(
        group, [confluent_kafka.TopicPartition(topic, partition)]
    )
    deadline = time.monotonic() + 60
    while True:
        (answer,) = client.list_consumer_group_offsets([wanted], require_stable=True).values()
        (found,) = answer.result(timeout=60).topic_partitions
        if found.error is None:
            return int(found.offset)
        # Not stable yet: the marker of the transaction is on its way.
        assert time.monotonic() < deadline, found.error
        time.sleep(0.05)
