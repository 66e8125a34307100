"""Every snippet of docs/security.md lets records in, on real brokers."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.kerberos import missing_programs
from aioproducer.testing.secure import USERS, SecureCluster
from tests.integration.security import snippets
from tests.integration.security.conftest import CreateTopic

pytestmark = pytest.mark.own_cluster


async def check_arrival(secure: SecureCluster, topic: str, value: bytes) -> None:
    records = await read_topic_async(secure.bootstrap_servers, topic)
    assert [record.value for record in records] == [value]


async def test_tls(secure: SecureCluster, new_topic: CreateTopic) -> None:
    topic = new_topic()
    await snippets.tls(secure.bootstrap("TLS"), str(secure.ca_file), topic)
    await check_arrival(secure, topic, b"encrypted")


async def test_a_context(secure: SecureCluster, new_topic: CreateTopic) -> None:
    topic = new_topic()
    await snippets.context(secure.bootstrap("TLS"), str(secure.ca_file), topic)
    await check_arrival(secure, topic, b"encrypted my way")


async def test_mutual_tls(secure: SecureCluster, new_topic: CreateTopic) -> None:
    client = secure.authority.issue("client")
    pem = secure.write("client.pem", client.encrypted_key_pem("key-secret") + client.chain_pem)
    store = secure.write("client.p12", client.pkcs12("store-secret"))
    servers, ca_file = secure.bootstrap("MTLS"), str(secure.ca_file)
    for snippet, path in ((snippets.mutual_tls, pem), (snippets.pkcs12, store)):
        topic = new_topic()
        await snippet(servers, ca_file, str(path), topic)
        await check_arrival(secure, topic, b"from a known client")


async def test_passwords(secure: SecureCluster, new_topic: CreateTopic) -> None:
    for snippet in (snippets.plain, snippets.scram):
        topic = new_topic()
        await snippet(secure.bootstrap("SASLS"), str(secure.ca_file), USERS["alice"], topic)
        await check_arrival(secure, topic, b"from alice")


async def test_credentials_that_rotate(secure: SecureCluster, new_topic: CreateTopic) -> None:
    class Vault:
        async def read(self, path: str) -> dict[str, str]:
            assert path == "kafka/alice"
            return {"username": "alice", "password": USERS["alice"]}

    topic = new_topic()
    await snippets.rotating(secure.bootstrap("SASLS"), str(secure.ca_file), Vault(), topic)
    await check_arrival(secure, topic, b"from alice, whatever her password is today")


async def test_settings_of_a_java_client(secure: SecureCluster, new_topic: CreateTopic) -> None:
    topic = new_topic()
    await snippets.from_java(secure.bootstrap("SASLS"), str(secure.ca_file), topic)
    await check_arrival(secure, topic, b"with the settings of a Java client")


async def test_a_token(secure: SecureCluster, new_topic: CreateTopic) -> None:
    async def fetch_token() -> tuple[str, float]:
        return secure.tokens.token("alice"), time.time() + 3600

    topic = new_topic()
    await snippets.token(secure.bootstrap("SASLS"), str(secure.ca_file), fetch_token, topic)
    await check_arrival(secure, topic, b"with a token")


@pytest.fixture
def identity_provider(secure: SecureCluster) -> Iterator[str]:
    """A token endpoint on loopback, which answers one client."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Authorization"] == "Basic bXktc2VydmljZTpjbGllbnQtc2VjcmV0"
            assert body == b"grant_type=client_credentials&scope=kafka"
            answer = {"access_token": secure.tokens.token("alice"), "expires_in": 3600}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_client_credentials(
    secure: SecureCluster, new_topic: CreateTopic, identity_provider: str
) -> None:
    topic = new_topic()
    await snippets.client_credentials(
        secure.bootstrap("SASLS"), str(secure.ca_file), identity_provider, topic
    )
    await check_arrival(secure, topic, b"with a token of the identity provider")


@pytest.fixture
def tickets(secure: SecureCluster, monkeypatch: pytest.MonkeyPatch) -> SecureCluster:
    """The environment of a Kerberos client, without a ticket yet."""
    if secure.realm is None:
        pytest.skip(
            f"no Kerberos here: {', '.join(missing_programs())} missing"
            " (Debian: krb5-kdc krb5-admin-server krb5-user)"
        )
    pytest.importorskip("gssapi", reason="gssapi is not installed (it needs libkrb5-dev)")
    for name, value in secure.realm.environment.items():
        monkeypatch.setitem(os.environ, name, value)
    return secure


async def test_kerberos(tickets: SecureCluster, new_topic: CreateTopic) -> None:
    assert tickets.realm is not None
    tickets.realm.kinit()
    topic = new_topic()
    await snippets.kerberos(tickets.bootstrap("KRBS"), str(tickets.ca_file), topic)
    await check_arrival(tickets, topic, b"with a ticket")


async def test_kerberos_with_a_keytab(tickets: SecureCluster, new_topic: CreateTopic) -> None:
    assert tickets.realm is not None
    topic = new_topic()
    keytab = str(tickets.realm.keytab("client"))
    await snippets.kerberos_keytab(tickets.bootstrap("KRBS"), str(tickets.ca_file), keytab, topic)
    await check_arrival(tickets, topic, b"with a keytab")


async def test_a_refusal_says_what_to_do(
    secure: SecureCluster, new_topic: CreateTopic, caplog: pytest.LogCaptureFixture
) -> None:
    await snippets.refused(secure.bootstrap("SASLS"), str(secure.ca_file), new_topic())
    printed = caplog.text
    assert (
        "(SASL_SSL), SCRAM-SHA-512: the broker refused the login: Authentication failed" in printed
    )
    assert "Check the credentials" in printed
    assert "not hers" not in printed
