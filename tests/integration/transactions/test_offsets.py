"""Offsets in a transaction: the consumer's position and the output move together, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer import AsyncProducer, GroupMetadata, OffsetAndMetadata, TopicPartition
from aioproducer.errors import (
    BrokerError,
    FencedInstanceIdError,
    IllegalGenerationError,
    UnknownMemberIdError,
)
from aioproducer.testing.admin import client_config
from tests.conftest import TopicFactory
from tests.integration.committed import NO_OFFSET, group_position, is_at
from tests.integration.transactions.helpers import new_id, new_producer, visible


class ConfluentMember:
    """confluent-kafka's consumer, in a group and assigned."""

    def __init__(self, bootstrap: str, group: str, topic: str, **more: object) -> None:
        from confluent_kafka import Consumer

        self.consumer = Consumer(
            client_config(
                bootstrap, **{
                    "group.id": group, "enable.auto.commit": False,
                    "auto.offset.reset": "earliest", **more,
                }
            )
        )  # fmt: skip
        self.consumer.subscribe([topic])
        deadline = time.monotonic() + 120
        while not self.consumer.assignment():
            assert time.monotonic() < deadline
            self.consumer.poll(0.1)

    def offsets(self, topic: str, offset: int) -> Any:
        from confluent_kafka import TopicPartition as Theirs

        return [Theirs(topic, 0, offset)]

    def metadata(self) -> Any:
        return self.consumer.consumer_group_metadata()

    def close(self) -> None:
        self.consumer.close()


class KafkaPythonMember:
    """kafka-python's consumer, in a group and assigned."""

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        from kafka import KafkaConsumer

        # Without metadata of the topic it gives itself no partition; that is mended only by the
        # next refresh, five minutes later by default.
        self.consumer = KafkaConsumer(
            topic, bootstrap_servers=bootstrap.split(","), group_id=group,
            enable_auto_commit=False, auto_offset_reset="earliest", bootstrap_timeout_ms=90_000,
            metadata_max_age_ms=1000,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        try:
            while not self.consumer.assignment():
                assert time.monotonic() < deadline
                self.consumer.poll(timeout_ms=100)
        except AssertionError:
            self.close()
            raise

    def offsets(self, topic: str, offset: int) -> Any:
        from kafka import OffsetAndMetadata as Offset
        from kafka import TopicPartition as Theirs

        return {Theirs(topic, 0): Offset(offset, "", -1)}

    def metadata(self) -> Any:
        return self.consumer

    def close(self) -> None:
        self.consumer.close()


async def _moves_with_the_transaction(
    bootstrap: str, group: str, topic: str, offsets: Callable[[int], Any], metadata: object
) -> None:
    async with new_producer(bootstrap) as producer:
        async with producer.transaction() as tx:
            tx.send(topic, b"kept")
            await tx.send_offsets(offsets(5), metadata)
        await is_at(bootstrap, group, topic, 5)
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction() as tx:
                tx.send(topic, b"lost")
                await tx.send_offsets(offsets(9), metadata)
                raise ZeroDivisionError
        await is_at(bootstrap, group, topic, 5)
        async with producer.transaction() as tx:
            await tx.send_offsets(offsets(6), metadata)
            await tx.send_offsets(offsets(7), metadata)
        await is_at(bootstrap, group, topic, 7)
    assert await visible(bootstrap, topic) == [b"kept"]


@pytest.mark.core
async def test_a_plain_group_id_is_enough(bootstrap: str, topic: TopicFactory) -> None:
    """For consumers that assign their partitions themselves: nobody checks a membership."""
    name, group = topic(), new_id()
    await _moves_with_the_transaction(
        bootstrap, group, name, lambda offset: {(name, 0): offset}, group
    )


async def test_confluents_consumer_is_taken_as_it_is(bootstrap: str, topic: TopicFactory) -> None:
    name, group = topic(), new_id()
    member = await asyncio.to_thread(ConfluentMember, bootstrap, group, name)
    try:
        for metadata in (member.metadata(), member.consumer):
            group_before = await group_position(bootstrap, group, name)
            assert group_before in (NO_OFFSET, 7)
            if group_before == NO_OFFSET:
                await _moves_with_the_transaction(
                    bootstrap, group, name, lambda n: member.offsets(name, n), metadata
                )
                continue
            async with new_producer(bootstrap) as producer, producer.transaction() as tx:
                await tx.send_offsets(member.offsets(name, 8), metadata)
            await is_at(bootstrap, group, name, 8)
    finally:
        await asyncio.to_thread(member.close)


async def test_kafka_pythons_consumer_is_taken_as_it_is(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, group = topic(), new_id()
    member = await asyncio.to_thread(KafkaPythonMember, bootstrap, group, name)
    try:
        await _moves_with_the_transaction(
            bootstrap, group, name, lambda n: member.offsets(name, n), member.metadata()
        )
    finally:
        await asyncio.to_thread(member.close)


async def test_aiokafkas_consumer_is_taken_as_it_is(bootstrap: str, topic: TopicFactory) -> None:
    from aiokafka import AIOKafkaConsumer
    from aiokafka import TopicPartition as Theirs

    name, group = topic(), new_id()
    consumer = AIOKafkaConsumer(
        name, bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False,
        auto_offset_reset="earliest", session_timeout_ms=45_000,
    )  # fmt: skip
    await consumer.start()
    try:
        async with asyncio.timeout(120):
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=50)
        await _moves_with_the_transaction(
            bootstrap, group, name, lambda n: {Theirs(name, 0): n}, consumer
        )
    finally:
        await consumer.stop()


async def _is_refused(
    producer: AsyncProducer[bytes, bytes],
    topic: str,
    metadata: object,
    error: type[BrokerError] | tuple[type[BrokerError], ...],
) -> None:
    """The offsets raise, so does the commit, and the transaction's records are not seen."""
    producer.begin_transaction()
    producer.send(topic, b"lost")
    with pytest.raises(error) as caught:
        await producer.send_offsets_to_transaction({(topic, 0): 3}, metadata)
    assert not caught.value.retriable
    assert "Abort" in caught.value.what_next
    with pytest.raises(error):
        await producer.commit_transaction()
    await producer.abort_transaction()


async def test_a_member_that_has_left_its_group_is_refused(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Its partitions may be another's by now; the transaction is aborted, the producer goes on."""
    name, group = topic(), new_id()
    member = await asyncio.to_thread(ConfluentMember, bootstrap, group, name)
    stale = member.metadata()
    await asyncio.to_thread(member.close)
    async with new_producer(bootstrap) as producer:
        await _is_refused(producer, name, stale, (UnknownMemberIdError, IllegalGenerationError))
        async with producer.transaction() as tx:
            tx.send(name, b"kept")
            await tx.send_offsets({(name, 0): 4}, group)
    assert await visible(bootstrap, name) == [b"kept"]
    await is_at(bootstrap, group, name, 4)


async def test_a_member_of_an_old_generation_is_refused(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, group = topic(), new_id()
    member = await asyncio.to_thread(ConfluentMember, bootstrap, group, name)
    try:
        from aioproducer.offsets import group_metadata

        now = group_metadata(member.metadata())
        stale = GroupMetadata(now.group_id, now.generation_id + 7, now.member_id, None)
        stranger = GroupMetadata(now.group_id, now.generation_id, "somebody", None)
        async with new_producer(bootstrap) as producer:
            await _is_refused(producer, name, stale, IllegalGenerationError)
            await _is_refused(producer, name, stranger, UnknownMemberIdError)
            async with producer.transaction() as tx:
                await tx.send_offsets(
                    {TopicPartition(name, 0): OffsetAndMetadata(2, metadata="note")}, now
                )
        await is_at(bootstrap, group, name, 2)
    finally:
        await asyncio.to_thread(member.close)


async def test_a_static_member_whose_place_was_taken_is_refused(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, group = topic(), new_id()
    static = {"group.instance.id": "static-1"}
    first = await asyncio.to_thread(lambda: ConfluentMember(bootstrap, group, name, **static))
    stale = first.metadata()
    second = await asyncio.to_thread(lambda: ConfluentMember(bootstrap, group, name, **static))
    try:
        async with new_producer(bootstrap) as producer:
            await _is_refused(producer, name, stale, FencedInstanceIdError)
            async with producer.transaction() as tx:
                await tx.send_offsets({(name, 0): 2}, second.metadata())
        await is_at(bootstrap, group, name, 2)
    finally:
        await asyncio.to_thread(second.close)
        await asyncio.to_thread(first.close)


async def test_offsets_alone_make_a_transaction(bootstrap: str, topic: TopicFactory) -> None:
    """And none at all, with no record, make none."""
    name, group = topic(), new_id()
    async with new_producer(bootstrap) as producer:
        async with producer.transaction() as tx:
            await tx.send_offsets({}, group)
        await is_at(bootstrap, group, name, NO_OFFSET)
        async with producer.transaction() as tx:
            await tx.send_offsets({(name, 0): 1}, group)
        await is_at(bootstrap, group, name, 1)
