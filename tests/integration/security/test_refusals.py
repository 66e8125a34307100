"""Everything that can be wrong between two sides, each with its own words, on real brokers."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
import uuid
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    AuthenticationError,
    ConfigurationError,
    Credentials,
    MetadataTimeoutError,
    ProducerError,
)
from aioproducer.testing.secure import SecureCluster
from tests.integration.security.conftest import CreateTopic
from tests.integration.security.test_logins import login

pytestmark = pytest.mark.own_cluster

Options = dict[str, Any]


async def refusal_of(
    secure: SecureCluster, listener: str, kind: type[ProducerError], **options: Any
) -> ProducerError:
    options = {"max_block_ms": 200_000, **options}
    async with AsyncProducer(secure.bootstrap(listener), **options) as producer:
        with pytest.raises(kind) as refusal:
            await producer.send("anything", b"v")
    error: ProducerError = refusal.value
    return error


def tls(secure: SecureCluster, **more: Any) -> Options:
    return {"security_protocol": "SSL", "ssl_truststore_location": str(secure.ca_file), **more}


def cases(secure: SecureCluster) -> list[tuple[str, str, Options, str, str]]:
    """Return a listener, what to dial it with, what is said, and what is advised."""

    async def foreign_token() -> str:
        return secure.tokens.token("alice", aud="somebody else")

    stranger = secure.write("stranger.pem", secure.other_authority.issue("client").store_pem)
    old = secure.authority.issue("client", valid_from_days=-9, valid_to_days=-1)
    expired = secure.write("expired-client.pem", old.store_pem)
    bearer = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}
    scram = login(secure, "SASL_PLAINTEXT", "SCRAM-SHA-256", "alice", "wr0ng")
    other_ca = {"ssl_truststore_location": str(secure.other_ca_file)}
    return [
        ("SASLP", "wrong password", login(secure, "SASL_PLAINTEXT", "PLAIN", "alice", "wr0ng"),
         "(SASL_PLAINTEXT), PLAIN: the broker refused the login: Authentication failed: Invalid"
         " username or password", "Check the credentials"),
        ("SASLS", "wrong SCRAM password", {**scram, **tls(secure), "security_protocol": "SASL_SSL"},
         "(SASL_SSL), SCRAM-SHA-256: the broker refused the login", "Check the credentials"),
        ("SASLP", "foreign token", {**bearer, "token_provider": foreign_token},
         "invalid_token", "Check the credentials"),
        ("SCRAMONLY", "wrong mechanism", login(secure, "SASL_PLAINTEXT", "PLAIN"),
         "does not offer this mechanism here, but SCRAM-SHA-512", "sasl.mechanism"),
        ("TLS", "login where none is asked", login(secure, "SASL_SSL", "PLAIN"),
         "does not ask for a login", "security.protocol"),
        ("TLS", "wrong CA", {**tls(secure), **other_ca},
         "not signed by anybody trusted here", "ssl.truststore.location"),
        ("TLS", "system's CAs", {"security_protocol": "SSL"},
         "not signed by anybody trusted here", "ssl.truststore.location"),
        ("WRONGHOST", "wrong host", tls(secure), "certificate is not for 127.0.0.1",
         "advertised.listeners"),
        ("EXPIRED", "expired certificate", tls(secure), "certificate has expired", "renewed"),
        ("MTLS", "no certificate of ours", tls(secure), "demands a certificate from this client",
         "ssl.keystore.location"),
        ("MTLS", "a stranger's certificate", tls(secure, ssl_keystore_location=str(stranger)),
         "refused this client's certificate", "truststore"),
        ("MTLS", "an expired certificate", tls(secure, ssl_keystore_location=str(expired)),
         "refused this client's certificate", "expired"),
        ("TLS", "plaintext against TLS", {}, "the listener speaks TLS", "security.protocol to SSL"),
        ("SASLS", "SASL without TLS against TLS", login(secure, "SASL_PLAINTEXT", "PLAIN"),
         "the listener speaks TLS", "SASL_SSL"),
    ]  # fmt: skip


async def test_each_refusal_is_fast_final_and_says_what_to_change(secure: SecureCluster) -> None:
    for listener, what, options, words, advice in cases(secure):
        started = time.monotonic()
        error = await refusal_of(secure, listener, AuthenticationError, **options)
        assert words in str(error), what
        assert advice in error.what_next, what
        assert "127.0.0.1:" in str(error), what
        assert not error.retriable, what
        assert "wr0ng" not in str(error), what
        # Long before the two hundred seconds that a record may wait.
        assert time.monotonic() - started < 100, what


async def test_what_might_be_a_broker_in_trouble_waits_but_says_what_it_may_be(
    secure: SecureCluster,
) -> None:
    waits = [
        ("SASLP", {}, "is it a SASL listener?"),
        ("SASLS", tls(secure), "is it a SASL listener?"),
        ("SASLP", tls(secure), "closed during the TLS handshake: is the listener one without TLS?"),
    ]
    await asyncio.gather(
        *(_is_told_while_waiting(secure, name, words, options) for name, options, words in waits)
    )


async def _is_told_while_waiting(
    secure: SecureCluster, listener: str, words: str, options: Options
) -> None:
    """Let records wait for some seconds each, until a connection has been tried meanwhile."""
    options = {"max_block_ms": 3000, **options}
    told = ""
    async with AsyncProducer(secure.bootstrap(listener), **options) as producer:
        async with asyncio.timeout(200):
            while words not in told:
                with pytest.raises(MetadataTimeoutError) as refusal:
                    await producer.send("anything", b"v")
                told = str(refusal.value)


async def test_new_credentials_let_the_same_producer_in(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    password = "wr0ng"

    async def provider() -> Credentials:
        return Credentials("bob", password)

    topic = new_topic()
    async with AsyncProducer(
        secure.bootstrap("SASLP"),
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        credentials_provider=provider,
    ) as producer:
        with pytest.raises(AuthenticationError):
            await producer.send(topic, b"1")
        password = "bob-secret"
        await producer.send(topic, b"2")


async def test_a_certificate_that_is_rotated_needs_no_restart(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    topic = new_topic()
    path = secure.write("rotating.pem", secure.other_authority.issue("client").store_pem)
    options = tls(secure, ssl_keystore_location=str(path))
    async with AsyncProducer(secure.bootstrap("MTLS"), **options) as producer:
        with pytest.raises(AuthenticationError):
            await producer.send(topic, b"1")
        secure.write("rotating.pem", secure.authority.issue("client").store_pem)
        await producer.send(topic, b"2")


async def test_a_truststore_that_keytool_made_is_read(
    secure: SecureCluster, new_topic: CreateTopic
) -> None:
    """The command that the refusal of a JKS file gives does what it says."""
    keytool = shutil.which("keytool")
    if keytool is None:
        pytest.skip("keytool, which comes with Java, is not here")
    jks = secure.write(f"ca-{uuid.uuid4().hex}.jks", b"")
    jks.unlink()
    password = ["-storepass", "store-secret"]
    await asyncio.to_thread(
        subprocess.run,
        [keytool, "-importcert", "-noprompt", "-alias", "ca", "-file", str(secure.ca_file),
         "-keystore", str(jks), "-storetype", "JKS", *password],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(ConfigurationError) as refusal:
        AsyncProducer("h:1", security_protocol="SSL", ssl_truststore_location=str(jks))
    command = re.search(r"keytool (-importkeystore.*?),", str(refusal.value))
    assert command is not None
    await asyncio.to_thread(
        subprocess.run,
        [keytool, *command[1].split(), "-srcstorepass", "store-secret",
         "-deststorepass", "store-secret"],
        check=True, capture_output=True,
    )  # fmt: skip
    async with AsyncProducer(
        secure.bootstrap("TLS"),
        security_protocol="SSL",
        ssl_truststore_location=str(jks.with_suffix(".p12")),
        ssl_truststore_password="store-secret",
    ) as producer:
        await producer.send(new_topic(), b"v")
