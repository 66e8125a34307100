"""What the authorizer refuses fails what it concerns alone, and recovers when it is granted."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from aioproducer import AsyncProducer, ProducerError
from aioproducer.errors import (
    ClusterAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)
from aioproducer.testing.secure import SecureCluster
from tests.integration.security.conftest import CreateTopic
from tests.integration.security.rules import denied, rule
from tests.integration.security.test_logins import login

pytestmark = pytest.mark.own_cluster
_SECONDS = 120.0


def alice(secure: SecureCluster, **options: Any) -> AsyncProducer[bytes, bytes]:
    return AsyncProducer(
        secure.bootstrap("SASLP"),
        **login(secure, "SASL_PLAINTEXT", "SCRAM-SHA-256"),
        **options,
    )


async def until_refused(producer: AsyncProducer[bytes, bytes], topic: str) -> ProducerError:
    """Send until a broker refuses it, and return what it says."""
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                await producer.send(topic, b"v")
            except ProducerError as error:
                return error
            await asyncio.sleep(0.05)


async def until_taken(producer: AsyncProducer[bytes, bytes], topic: str) -> None:
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                await producer.send(topic, b"v")
                return
            except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("operation", ["WRITE", "DESCRIBE"])
async def test_a_topic_that_is_denied_fails_alone_and_recovers(
    secure: SecureCluster, new_topic: CreateTopic, operation: str
) -> None:
    """WRITE is refused by the leader, DESCRIBE already in the metadata."""
    free, secret = new_topic(), new_topic()
    async with alice(secure) as producer:
        with denied(secure, "alice", operation, "TOPIC", secret):
            error = await until_refused(producer, secret)
            assert isinstance(error, TopicAuthorizationFailedError)
            assert error.topic == secret
            assert "permission" in error.what_next
            await asyncio.gather(*(producer.send(free, b"%d" % n) for n in range(100)))
        await until_taken(producer, secret)
        await producer.send(free, b"v")


async def test_a_permission_that_is_revoked_in_the_middle_fails_only_its_topic(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    free, revoked = new_topic(), new_topic()
    async with alice(secure) as producer:
        await producer.send(revoked, b"before")
        with denied(secure, "alice", "WRITE", "TOPIC", revoked):
            await until_refused(producer, revoked)
            results = await asyncio.gather(
                *(producer.send(topic, b"v") for topic in (free, revoked, free, revoked)),
                return_exceptions=True,
            )
            refused = [isinstance(r, TopicAuthorizationFailedError) for r in results]
            assert refused == [False, True, False, True]
        await until_taken(producer, revoked)


async def test_idempotence_needs_only_the_right_to_write_somewhere(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    """As since Kafka 2.8; who may write nowhere gets no producer id until that is granted."""
    topic = new_topic()
    with denied(secure, "alice", "IDEMPOTENT_WRITE", "BROKER", "kafka-cluster"):
        async with alice(secure) as producer:
            await producer.send(topic, b"1")
        # Where any rule is about a topic, what no rule allows is denied, the topic's metadata too.
        with (
            rule(secure, "ALLOW", "alice", "DESCRIBE", "TOPIC", topic),
            denied(secure, "alice", "WRITE", "TOPIC", "*"),
        ):
            late = alice(secure)
            await late.start()
            with pytest.raises(ClusterAuthorizationFailedError):
                await late.send(topic, b"2")
        try:
            await until_taken(late, topic)
        finally:
            await late.close()


async def test_a_transactional_id_that_is_denied_is_told(secure: SecureCluster) -> None:
    name = f"payments-{uuid.uuid4().hex[:8]}"
    with denied(secure, "alice", "WRITE", "TRANSACTIONAL_ID", name):
        producer = alice(secure, transactional_id=name)
        try:
            with pytest.raises(TransactionalIdAuthorizationFailedError):
                await producer.start()
        finally:
            await producer.close()
