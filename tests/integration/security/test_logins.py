"""Each mechanism, with and without TLS; and passwords that SASLprep would change."""

from __future__ import annotations

import os
from typing import Any

import pytest

from aioproducer import AsyncProducer, AuthenticationError
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.secure import USERS, SecureCluster
from tests.integration.security.conftest import CreateTopic
from tests.integration.security.test_snippets import tickets

__all__ = ["tickets"]

pytestmark = pytest.mark.own_cluster

LISTENERS = {"SASL_PLAINTEXT": "SASLP", "SASL_SSL": "SASLS"}


def login(
    secure: SecureCluster, protocol: str, mechanism: str, user: str = "alice", password: str = ""
) -> dict[str, Any]:
    """Return the options that let ``user`` in."""
    options: dict[str, Any] = {"security_protocol": protocol, "sasl_mechanism": mechanism}
    if protocol == "SASL_SSL":
        options["ssl_truststore_location"] = str(secure.ca_file)
    if mechanism == "OAUTHBEARER":

        async def provider() -> str:
            return secure.tokens.token(user)

        return {**options, "token_provider": provider}
    return {
        **options,
        "sasl_username": user,
        "sasl_password": password or USERS[user],
    }


@pytest.mark.parametrize("protocol", LISTENERS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
async def test_records_arrive_over_each_mechanism(
    secure: SecureCluster, new_topic: CreateTopic, protocol: str, mechanism: str
) -> None:
    topic = new_topic(4)
    servers = secure.bootstrap(LISTENERS[protocol])
    async with AsyncProducer(servers, **login(secure, protocol, mechanism)) as producer:
        for number in range(200):
            producer.send(topic, b"%d" % number, key=b"%d" % number)
        await producer.flush(180)
    records = await read_topic_async(secure.bootstrap_servers, topic)
    assert {record.value for record in records} == {b"%d" % number for number in range(200)}
    assert len(records) == 200


@pytest.mark.parametrize(
    ("protocol", "listener"), [("SASL_PLAINTEXT", "KRBP"), ("SASL_SSL", "KRBS")]
)
async def test_records_arrive_over_kerberos(
    tickets: SecureCluster, new_topic: CreateTopic, protocol: str, listener: str
) -> None:
    assert tickets.realm is not None
    tickets.realm.kinit()
    options = {"ssl_truststore_location": str(tickets.ca_file)} if protocol == "SASL_SSL" else {}
    topic = new_topic(2)
    async with AsyncProducer(
        tickets.bootstrap(listener),
        security_protocol=protocol,  # type: ignore[arg-type]
        sasl_kerberos_service_name="kafka",
        **options,
    ) as producer:
        await producer.send(topic, b"v")
    assert len(await read_topic_async(tickets.bootstrap_servers, topic)) == 1


async def test_no_ticket_is_told_with_what_to_do(
    tickets: SecureCluster, new_topic: CreateTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "KRB5CCNAME", "FILE:/nonexistent/tickets")
    async with AsyncProducer(
        tickets.bootstrap("KRBP"),
        security_protocol="SASL_PLAINTEXT",
        sasl_kerberos_service_name="kafka",
    ) as producer:
        with pytest.raises(AuthenticationError, match="Kerberos has no ticket") as refusal:
            await producer.send(new_topic(), b"v")
    assert "kinit" in refusal.value.what_next


@pytest.mark.parametrize(
    ("user", "password"),
    [
        # Kafka's brokers take a password as it is ...
        ("uni", "p\u00e4ss\u00b2\u2168"),
        # ... and this stands for one that prepares: what it knows is the prepared spelling.
        ("plain", "pass\u00b2\u2168"),
    ],
)
async def test_scram_passwords_pass_in_either_spelling(
    secure: SecureCluster, new_topic: CreateTopic, user: str, password: str
) -> None:
    options = login(secure, "SASL_PLAINTEXT", "SCRAM-SHA-256", user, password)
    async with AsyncProducer(secure.bootstrap("SASLP"), **options) as producer:
        await producer.send(new_topic(), b"v")
