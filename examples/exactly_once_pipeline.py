"""Consume, transform, produce: each input has its result in the output topic exactly once.

    python examples/exactly_once_pipeline.py --consumer aiokafka --instance pod-0
    python examples/exactly_once_pipeline.py --consumer confluent --instance pod-1

Results and the consumer's offsets are in one transaction. Whatever ends it, kill -9 included, the
next run goes on at the committed offsets, and readers that read committed see no result twice.

- Each instance has a name of its own that outlives a restart, such as its pod's: the transactional
  id made of it lets a restarted instance abort at once what its former self left open.
- The producer starts before the consumer: what was under way is ended when offsets are asked for.
- The group's metadata of each batch go with its offsets (KIP-447): who has lost its partitions
  meanwhile is refused, its transaction aborted.
- A rebalance waits for the open transaction. One that is left frozen is another matter: librdkafka
  waits for it when it fetches offsets, aiokafka does not, so its session has to outlive
  ``transaction.timeout.ms`` and the 10 s after which brokers look for what has timed out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol

from aioproducer import (
    AsyncProducer,
    FatalTransactionError,
    GroupMetadata,
    ProducerError,
    ProducerFencedError,
    TopicPartition,
    TransactionTimeoutError,
    group_metadata,
)

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")


async def transform(value: bytes) -> bytes:
    return value.upper()


class Input(NamedTuple):
    partition: TopicPartition
    offset: int
    key: bytes | None
    value: bytes


class Batch(NamedTuple):
    """Inputs, and who the consumer was in its group when it got them."""

    inputs: list[Input]
    group: GroupMetadata

    def next_offsets(self) -> dict[TopicPartition, int]:
        return {each.partition: each.offset + 1 for each in self.inputs}

    def first_offsets(self) -> dict[TopicPartition, int]:
        return {each.partition: each.offset for each in reversed(self.inputs)}


class Source(Protocol):
    def undisturbed(self) -> AbstractAsyncContextManager[None]:
        """Hold off rebalances while the block runs."""

    async def fetch(self) -> Batch:
        """Return what has come, perhaps nothing."""

    async def rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read from there again, as far as the partitions are still ours."""


async def process(source: Source, producer: AsyncProducer[bytes, bytes], output: str) -> None:
    while True:
        async with source.undisturbed():
            batch = await source.fetch()
            # Without a generation the consumer is no member now: its partitions are another's.
            if not batch.inputs or batch.group.generation_id < 0:
                continue
            try:
                async with producer.transaction() as tx:
                    for each in batch.inputs:
                        tx.send(output, await transform(each.value), key=each.key)
                    await tx.send_offsets(batch.next_offsets(), batch.group)
            except (FatalTransactionError, TransactionTimeoutError):
                raise
            except ProducerError as error:
                print(f"aborted: {type(error).__name__}: {error}")
                await source.rewind(batch.first_offsets())


# aiokafka


class AiokafkaSource:
    def __init__(self, consumer: Any, batch_size: int) -> None:
        self._consumer = consumer
        self._batch_size = batch_size
        self._lock = asyncio.Lock()

    def undisturbed(self) -> AbstractAsyncContextManager[None]:
        return self._lock

    async def fetch(self) -> Batch:
        found = await self._consumer.getmany(timeout_ms=200, max_records=self._batch_size)
        inputs = [
            Input(TopicPartition(each.topic, each.partition), each.offset, each.key, each.value)
            for records in found.values()
            for each in records
        ]
        return Batch(inputs, group_metadata(self._consumer))

    async def rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        from aiokafka import TopicPartition as AiokafkaPartition

        ours = self._consumer.assignment()
        for (topic, index), offset in offsets.items():
            partition = AiokafkaPartition(topic, index)
            if partition in ours:
                self._consumer.seek(partition, offset)


@asynccontextmanager
async def open_aiokafka(arguments: argparse.Namespace) -> AsyncIterator[Source]:
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

    consumer = AIOKafkaConsumer(
        bootstrap_servers=arguments.bootstrap,
        group_id=arguments.group,
        group_instance_id=arguments.instance,
        session_timeout_ms=arguments.session_timeout_ms,
        heartbeat_interval_ms=min(1_000, arguments.session_timeout_ms // 10),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    source = AiokafkaSource(consumer, arguments.batch_size)

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        """Joins the group again between two transactions, and keeps them away meanwhile."""

        rebalancing = False

        async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
            if not self.rebalancing:
                await source._lock.acquire()
                self.rebalancing = True

        async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
            if self.rebalancing:
                self.rebalancing = False
                source._lock.release()

    consumer.subscribe([arguments.input], listener=Listener())
    await consumer.start()
    try:
        yield source
    finally:
        await consumer.stop()


# confluent-kafka


class ConfluentSource:
    """Its calls block, so they have a thread, one after the other."""

    def __init__(self, consumer: Any, batch_size: int, thread: ThreadPoolExecutor) -> None:
        self._consumer = consumer
        self._batch_size = batch_size
        self._thread = thread

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    @asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        # Partitions are taken away inside consume() only, and no transaction is open then.
        yield

    async def fetch(self) -> Batch:
        inputs = []
        for message in await self.call(self._consumer.consume, self._batch_size, 0.2):
            error = message.error()
            if error is None:
                partition = TopicPartition(message.topic(), message.partition())
                inputs.append(Input(partition, message.offset(), message.key(), message.value()))
            elif error.fatal():
                raise RuntimeError(str(error))
        return Batch(inputs, group_metadata(self._consumer))

    async def rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka import TopicPartition as ConfluentPartition

        for (topic, index), offset in offsets.items():
            try:
                await self.call(self._consumer.seek, ConfluentPartition(topic, index, offset))
            except KafkaException as error:
                print(f"{topic}-{index} is not ours any more: {error}")


@asynccontextmanager
async def open_confluent(arguments: argparse.Namespace) -> AsyncIterator[Source]:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "group.id": arguments.group,
            "group.instance.id": arguments.instance,
            "session.timeout.ms": arguments.session_timeout_ms,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([arguments.input])
    with ThreadPoolExecutor(1, thread_name_prefix="consumer") as thread:
        source = ConfluentSource(consumer, arguments.batch_size, thread)
        try:
            yield source
        finally:
            await source.call(consumer.close)


SOURCES = {"aiokafka": open_aiokafka, "confluent": open_confluent}


async def main(arguments: argparse.Namespace) -> None:
    while True:
        try:
            async with (
                AsyncProducer(
                    arguments.bootstrap,
                    transactional_id=f"{arguments.group}-{arguments.instance}",
                    transaction_timeout_ms=arguments.transaction_timeout_ms,
                ) as producer,
                SOURCES[arguments.consumer](arguments) as source,
            ):
                await process(source, producer, arguments.output)
        except ProducerFencedError:
            # A newer instance has this one's name.
            raise
        except ProducerError as error:
            # A new producer ends what is in doubt, and the committed offsets tell how.
            print(f"{type(error).__name__}: {error}")
            await asyncio.sleep(1)


def command() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", default=BOOTSTRAP)
    parser.add_argument("--consumer", choices=sorted(SOURCES), default="aiokafka")
    parser.add_argument("--instance", default="pod-0")
    parser.add_argument("--input", default="orders")
    parser.add_argument("--output", default="results")
    parser.add_argument("--group", default="pipeline")
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--session-timeout-ms", type=int, default=45_000)
    parser.add_argument("--transaction-timeout-ms", type=int, default=20_000)
    asyncio.run(main(parser.parse_args()))


if __name__ == "__main__":
    command()
