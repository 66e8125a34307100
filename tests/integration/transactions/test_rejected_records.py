"""A record that fails takes its whole transaction along, and nothing else."""

from __future__ import annotations

import contextlib
import os

import pytest

from aioproducer import (
    FatalTransactionError,
    ProducerError,
    RecordTooLargeError,
    SerializationError,
    TransactionAbortedError,
)
from aioproducer.errors import InvalidTimestampError, MessageTooLargeError
from aioproducer.testing import KafkaCluster
from tests.conftest import TopicFactory
from tests.integration.transactions.helpers import new_id, new_producer, visible


@pytest.mark.core
async def test_a_record_too_large_for_the_topic_fails_the_commit_with_the_first_cause(
    bootstrap: str, kafka: KafkaCluster, topic: TopicFactory
) -> None:
    """Everything else of the transaction stays hidden, the next one succeeds."""
    if kafka.version.startswith("2.1"):
        await _the_producer_is_lost(bootstrap, topic)
        return
    small, large = topic(configs={"max.message.bytes": "1000"}), topic()
    async with new_producer(bootstrap) as producer:
        with pytest.raises(MessageTooLargeError) as caught:
            async with producer.transaction() as tx:
                tx.send(large, b"innocent")
                tx.send(small, os.urandom(5_000))
                tx.send(small, os.urandom(6_000))
        assert (caught.value.topic, caught.value.persisted) == (small, "no")
        assert not caught.value.retriable
        assert "Abort" in caught.value.what_next
        for number in range(2):
            async with producer.transaction() as tx:
                tx.send(large, b"%d" % number)
                tx.send(small, b"%d" % number)
        assert await visible(bootstrap, large) == [b"0", b"1"]
        assert await visible(bootstrap, small) == [b"0", b"1"]


async def _the_producer_is_lost(bootstrap: str, topic: TopicFactory) -> None:
    """Brokers before 2.5 have no higher epoch to give, and the log has a gap."""
    small, large, transactional_id = topic(configs={"max.message.bytes": "1000"}), topic(), new_id()
    async with new_producer(bootstrap, transactional_id=transactional_id) as producer:
        with pytest.raises(MessageTooLargeError):
            async with producer.transaction() as tx:
                tx.send(large, b"innocent")
                tx.send(small, os.urandom(5_000))
        with pytest.raises(FatalTransactionError):
            producer.begin_transaction()
    async with (
        new_producer(bootstrap, transactional_id=transactional_id) as successor,
        successor.transaction() as tx,
    ):
        tx.send(large, b"kept")
    assert await visible(bootstrap, large) == [b"kept"]


async def test_a_record_whose_time_the_topic_refuses_fails_the_commit(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic(configs={"message.timestamp.before.max.ms": "60000"})
    async with new_producer(bootstrap) as producer:
        with pytest.raises(InvalidTimestampError):
            async with producer.transaction() as tx:
                tx.send(name, b"old", timestamp_ms=1)
        async with producer.transaction() as tx:
            tx.send(name, b"kept")
        assert await visible(bootstrap, name) == [b"kept"]


async def test_what_never_left_the_client_fails_the_commit_as_well(
    bootstrap: str, topic: TopicFactory
) -> None:
    """A value that is too large, or cannot be serialized, was sent all the same."""
    name = topic()

    def serialize(value: bytes) -> bytes:
        if value == b"bad":
            raise ValueError("cannot be had")
        return value

    async with new_producer(
        bootstrap, value_serializer=serialize, max_request_size=2_000
    ) as producer:
        for value, error in ((b"bad", SerializationError), (b"x" * 5_000, RecordTooLargeError)):
            with pytest.raises(error):
                async with producer.transaction() as tx:
                    tx.send(name, b"innocent")
                    tx.send(name, value)
        async with producer.transaction() as tx:
            tx.send(name, b"kept")
        assert await visible(bootstrap, name) == [b"kept"]


async def test_awaiting_the_failed_record_in_the_body_raises_it_there(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The block then aborts for the body's exception, which is the same error."""
    name = topic(configs={"max.message.bytes": "1000"})
    async with new_producer(bootstrap) as producer:
        with pytest.raises(MessageTooLargeError):
            async with producer.transaction() as tx:
                await tx.send(name, os.urandom(5_000))
        assert await visible(bootstrap, name) == []


async def test_a_record_that_failed_cannot_be_talked_away(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Catching the Delivery's error does not make the rest committable."""
    name = topic(configs={"max.message.bytes": "1000"})
    async with new_producer(bootstrap) as producer:
        with pytest.raises(MessageTooLargeError):
            async with producer.transaction() as tx:
                with contextlib.suppress(ProducerError):
                    await tx.send(name, os.urandom(5_000))
                late = tx.send(name, b"late")
                error = late.exception()
                assert isinstance(error, TransactionAbortedError)
                assert isinstance(error.__cause__, MessageTooLargeError)
        assert await visible(bootstrap, name) == []


async def test_under_kafkas_names_commit_refuses_until_the_abort(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic(configs={"max.message.bytes": "1000"})
    async with new_producer(bootstrap) as producer:
        producer.begin_transaction()
        producer.send(name, b"innocent")
        producer.send(name, os.urandom(5_000))
        for _ in range(3):
            with pytest.raises(MessageTooLargeError):
                await producer.commit_transaction()
        await producer.abort_transaction()
        producer.begin_transaction()
        producer.send(name, b"kept")
        await producer.commit_transaction()
        assert await visible(bootstrap, name) == [b"kept"]
