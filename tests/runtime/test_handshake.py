"""What is said first: which versions both sides know."""

from __future__ import annotations

import asyncio
import collections
from typing import Any

import pytest

from aioproducer import AuthenticationError, MetadataTimeoutError
from aioproducer.errors import SaslAuthenticationFailedError
from aioproducer.wire.versions import ApiKey, VersionRange
from tests import broker_wire as wire
from tests.fake_broker import KAFKA_2_1, KAFKA_4, Conduct, FakeCluster
from tests.fake_sasl import ILLEGAL_SASL_STATE, FakeSasl, Refusal
from tests.runtime.test_connection_manager import _endless
from tests.runtime.world import running


def cluster_with(**ranges: tuple[int, int]) -> FakeCluster:
    versions = dict(KAFKA_4)
    for name, limits in ranges.items():
        versions[ApiKey[name.upper()]] = VersionRange(*limits)
    cluster = FakeCluster(versions=versions)
    cluster.add_topic("orders")
    return cluster


def asked_versions(cluster: FakeCluster) -> list[int]:
    return [r.version for _, r in cluster.brokers[1].requests if r.api is ApiKey.API_VERSIONS]


async def test_a_new_broker_is_asked_once() -> None:
    cluster = cluster_with()
    async with running(cluster) as producer:
        await producer.send("orders", b"v")
    assert set(asked_versions(cluster)) == {4}


async def test_an_older_one_names_its_best_which_is_asked_then() -> None:
    cluster = FakeCluster(versions=KAFKA_2_1)
    cluster.add_topic("orders")
    async with running(cluster) as producer:
        await producer.send("orders", b"v")
    assert asked_versions(cluster)[:2] == [4, 2]


async def test_one_that_answers_with_the_code_alone_is_asked_in_version_0() -> None:
    cluster = cluster_with()
    refusal = wire.SIZE.pack(6) + wire.SIZE.pack(0) + b"\x00\x23"
    cluster.brokers[1].scripts[ApiKey.API_VERSIONS] = _once(Conduct(answer=refusal))
    async with running(cluster) as producer:
        await producer.send("orders", b"v")
    assert asked_versions(cluster)[:2] == [4, 0]


def _once(conduct: Conduct) -> Any:
    return collections.deque([conduct])


async def test_one_older_than_kafka_2_1_is_refused_in_clear_words() -> None:
    cluster = cluster_with(produce=(0, 6))
    async with running(cluster, max_block_ms=500) as producer:
        with pytest.raises(MetadataTimeoutError, match=r"older than Kafka 2\.1"):
            await producer.send("orders", b"v")


async def test_a_port_that_offers_no_produce_is_refused() -> None:
    versions = dict(KAFKA_4)
    del versions[ApiKey.PRODUCE]
    cluster = FakeCluster(versions=versions)
    async with running(cluster, max_block_ms=500) as producer:
        with pytest.raises(MetadataTimeoutError, match="no Produce at all"):
            await producer.send("orders", b"v")


async def test_an_error_of_the_handshake_is_told() -> None:
    cluster = cluster_with()
    cluster.api_versions_error = 31
    async with running(cluster, max_block_ms=500) as producer:
        with pytest.raises(MetadataTimeoutError, match="CLUSTER_AUTHORIZATION_FAILED"):
            await producer.send("orders", b"v")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
    ],
)
async def test_another_protocol_s_port_is_recognised(answer: bytes, words: str) -> None:
    cluster = cluster_with()
    cluster.brokers[1].scripts[ApiKey.API_VERSIONS] = _endless(Conduct(answer=answer))
    async with running(cluster, max_block_ms=500) as producer:
        with pytest.raises(MetadataTimeoutError, match=words):
            await producer.send("orders", b"v")


async def test_a_port_that_hangs_up_at_once_is_guessed_at() -> None:
    cluster = cluster_with()
    cluster.brokers[1].scripts[ApiKey.API_VERSIONS] = _endless(Conduct(hang_up="before"))
    async with running(cluster, max_block_ms=500) as producer:
        with pytest.raises(MetadataTimeoutError, match="is it a TLS or SASL listener"):
            await producer.send("orders", b"v")


async def test_a_tls_port_is_recognised_and_refused_at_once() -> None:
    cluster = cluster_with()
    alert = b"\x15\x03\x03\x00\x02\x02\x46\x00"
    cluster.brokers[1].scripts[ApiKey.API_VERSIONS] = _endless(Conduct(answer=alert))
    async with running(cluster) as producer:
        with pytest.raises(AuthenticationError, match="the listener speaks TLS") as refusal:
            await producer.send("orders", b"v")
    assert "security.protocol" in refusal.value.what_next


# Logging in

LOGIN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "alice",
    "sasl_password": "s3cret",
}


async def test_a_login_comes_before_everything_but_the_versions() -> None:
    cluster = cluster_with()
    cluster.sasl = FakeSasl()
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"v")
    assert set(cluster.sasl.tokens) == {b"\0alice\0s3cret"}


async def test_after_a_refused_login_nobody_knocks_for_records_that_have_failed() -> None:
    """Accounts are locked for less."""
    cluster = cluster_with()
    welcome = [True]
    cluster.sasl = FakeSasl(judge=lambda token: b"" if welcome else Refusal("no such user"))
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"v")
        welcome.clear()
        cluster.brokers[1].hang_up()
        await asyncio.sleep(1)
        with pytest.raises(AuthenticationError):
            await producer.send("orders", b"v")
        await asyncio.sleep(2)
        before = len(cluster.sasl.tokens)
        await asyncio.sleep(60)
        assert len(cluster.sasl.tokens) == before
        welcome.append(True)
        await producer.send("orders", b"v")


async def test_a_refused_login_says_where_how_and_why() -> None:
    cluster = cluster_with()
    cluster.sasl = FakeSasl(judge=lambda token: Refusal("no such user"))
    async with running(cluster, **LOGIN) as producer:
        with pytest.raises(AuthenticationError) as refusal:
            await producer.send("orders", b"v")
    error = refusal.value
    assert "broker-1:9092 (SASL_PLAINTEXT), PLAIN: the broker refused the login: no such" in str(
        error
    )
    assert isinstance(error.__cause__, SaslAuthenticationFailedError)
    assert error.addresses == ("broker-1:9092",)
    assert not error.retriable


async def test_a_mechanism_that_is_not_offered_is_told_with_those_that_are() -> None:
    cluster = cluster_with()
    cluster.sasl = FakeSasl(mechanisms=("GSSAPI", "SCRAM-SHA-512"))
    async with running(cluster, **LOGIN) as producer:
        with pytest.raises(AuthenticationError, match="but GSSAPI, SCRAM-SHA-512") as refusal:
            await producer.send("orders", b"v")
    assert "sasl.mechanism" in refusal.value.what_next


async def test_a_listener_without_logins_is_told_apart() -> None:
    cluster = cluster_with()
    cluster.sasl = FakeSasl(handshake_error=ILLEGAL_SASL_STATE)
    async with running(cluster, **LOGIN) as producer:
        with pytest.raises(AuthenticationError, match="does not ask for a login"):
            await producer.send("orders", b"v")


async def test_a_handshake_of_another_kind_of_failure_is_told() -> None:
    cluster = cluster_with()
    cluster.sasl = FakeSasl(handshake_error=41)
    async with running(cluster, **LOGIN) as producer:
        with pytest.raises(AuthenticationError, match="NOT_CONTROLLER"):
            await producer.send("orders", b"v")


async def test_a_broker_without_sasl_at_all_is_told() -> None:
    versions = dict(KAFKA_4)
    del versions[ApiKey.SASL_HANDSHAKE]
    cluster = FakeCluster(versions=versions)
    cluster.sasl = FakeSasl()
    async with running(cluster, **LOGIN) as producer:
        with pytest.raises(AuthenticationError, match="does not offer this API"):
            await producer.send("orders", b"v")


async def test_a_broker_that_never_comes_to_an_end_is_left() -> None:
    cluster = cluster_with()
    cluster.sasl = FakeSasl(mechanisms=("OAUTHBEARER",), judge=lambda token: b"more")
    options = {**LOGIN, "sasl_mechanism": "OAUTHBEARER", "token_provider": _token}
    del options["sasl_username"], options["sasl_password"]
    async with running(cluster, **options) as producer:
        with pytest.raises(AuthenticationError, match="refused the token"):
            await producer.send("orders", b"v")


async def _token() -> str:
    return "t0ken"


async def test_a_listener_that_hangs_up_on_strangers_is_guessed_at() -> None:
    cluster = cluster_with()
    cluster.sasl = FakeSasl()
    async with running(cluster, max_block_ms=500) as producer:
        with pytest.raises(MetadataTimeoutError, match="is it a SASL listener"):
            await producer.send("orders", b"v")
