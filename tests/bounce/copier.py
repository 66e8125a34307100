"""Copies a topic into another, exactly once: the process that is killed, and started again.

    python -m tests.bounce.copier '{"bootstrap": ..., "input": ..., ...}'

Reads committed records, writes each into the same partition of the output, and commits its offsets
with them. Standard output gets a line for each transaction that ended.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aioproducer import (
    AsyncProducer,
    FatalTransactionError,
    ProducerError,
    TransactionTimeoutError,
)

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

RESTART = 3
"""The exit code of a copier that can do nothing but be started again."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a copier is told."""

    bootstrap: str
    input: str
    output: str
    group: str
    name: str
    seed: int
    largest: int
    """The most records of one transaction."""


class Given(Exception):
    """Raised in the midst of a transaction, to have it aborted."""


class Source:
    """A member of the consumer group; every call blocks and belongs on a thread."""

    def __init__(self, job: Job) -> None:
        from confluent_kafka import Consumer

        self._rebalanced = False
        self._consumer: Consumer = Consumer(
            {
                "bootstrap.servers": job.bootstrap,
                "log_level": 0,
                "group.id": job.group,
                # Who is started again takes its place without waiting for the end of its session.
                "group.instance.id": job.name,
                "session.timeout.ms": 6000,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.subscribe([job.input], on_assign=self._moved, on_revoke=self._moved)

    def _moved(self, consumer: Consumer, partitions: Sequence[Any]) -> None:
        self._rebalanced = True

    def read(self, most: int) -> tuple[list[Message], Any]:
        """Return records and the group metadata under which they were read.

        Both belong together: under a later generation the partitions may be another member's.
        """
        self._rebalanced = False
        found = self._consumer.consume(most, timeout=0.2)
        if self._rebalanced:
            # Some of it may be of partitions that have gone, or have come back from their start.
            self.rewind()
            return [], None
        records = [message for message in found if message.error() is None]
        return records, self._consumer.consumer_group_metadata()

    def rewind(self) -> None:
        """Go back to what is committed, as after an aborted transaction."""
        from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

        while True:
            try:
                committed = self._consumer.committed(self._consumer.assignment(), timeout=10)
                for place in committed:
                    offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
                    self._consumer.seek(TopicPartition(place.topic, place.partition, offset))
            except KafkaException as error:
                say("rewinding", str(error).replace(" ", "_"))
                if not self._consumer.assignment():
                    return
            else:
                return

    def close(self) -> None:
        self._consumer.close()


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def copy(job: Job, stopped: asyncio.Event) -> None:
    """Copy until told to stop; raises when only a new process helps."""
    rng = random.Random(job.seed)
    producer = AsyncProducer(
        job.bootstrap,
        transactional_id=f"{job.group}-{job.name}",
        transaction_timeout_ms=20_000,
        linger_ms=2,
    )
    # First the producer: its start ends what the last process left open, offsets included.
    async with producer:
        source = await asyncio.to_thread(Source, job)
        try:
            while not stopped.is_set():
                records, member = await asyncio.to_thread(source.read, rng.randint(1, job.largest))
                if records and not await copied(producer, job, records, member, rng):
                    await asyncio.to_thread(source.rewind)
        finally:
            await asyncio.to_thread(source.close)


async def copied(
    producer: AsyncProducer[bytes, bytes],
    job: Job,
    records: Sequence[Message],
    member: Any,
    rng: random.Random,
) -> bool:
    """Copy some records in one transaction; returns whether it was committed."""
    gives_up = rng.random() < 0.05
    try:
        async with producer.transaction() as tx:
            offsets: dict[tuple[str, int], int] = {}
            for record in records:
                partition, offset = record.partition(), record.offset()
                assert partition is not None and offset is not None
                tx.send(job.output, record.value(), key=record.key(), partition=partition)
                offsets[job.input, partition] = offset + 1
            await tx.send_offsets(offsets, member)
            if gives_up:
                raise Given
    except Given:
        say("aborted", "Given")
        return False
    except (FatalTransactionError, TransactionTimeoutError):
        raise
    except ProducerError as error:
        say("aborted", type(error).__name__)
        return False
    say("committed", len(records))
    return True


async def main(job: Job) -> int:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    try:
        await copy(job, stopped)
    except ProducerError as error:
        say("ended", type(error).__name__)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return RESTART
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Job(**json.loads(sys.argv[1])))))
