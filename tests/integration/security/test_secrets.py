"""No secret is in anything that a run prints, at the most talkative level there is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from typing import Any

import pytest

from aioproducer import AsyncProducer, Credentials
from aioproducer.errors import ProducerError
from aioproducer.testing.secure import USERS, SecureCluster
from tests.integration.security.conftest import CreateTopic
from tests.integration.security.test_logins import login

pytestmark = pytest.mark.own_cluster

WRONG = "a-wr0ng-secret"


async def talk(producer: AsyncProducer[bytes, bytes], topic: str) -> list[str]:
    """Send, and return every text that the run shows."""
    shown = [repr(producer), repr(producer.config), producer.config.explain()]
    async with producer:
        for _ in range(2):
            try:
                shown.append(repr(await producer.send(topic, b"v")))
            except ProducerError as error:
                cause: BaseException | None = error
                while cause is not None:
                    shown += [str(cause), repr(cause), *map(repr, vars(cause).items())]
                    cause = cause.__cause__
                shown += traceback.format_exception(error)
                shown.append(error.what_next)
        shown.append(repr(producer.metrics()))
        shown += [repr(task) for task in asyncio.all_tasks()]
        shown += list(map(repr, _reachable(producer)))
    return shown


def _reachable(root: object) -> list[object]:
    """Return the objects of this package that hang on ``root``: what a debugger would show."""
    found: dict[int, object] = {}
    waiting: list[object] = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in found or not type(each).__module__.startswith("aioproducer"):
            continue
        found[id(each)] = each
        with contextlib.suppress(TypeError):
            waiting += vars(each).values()
    return list(found.values())


async def test_nothing_that_a_run_prints_holds_a_secret(
    secure: SecureCluster,
    new_topic: CreateTopic,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    # Every callback is slow enough to be printed with its arguments.
    asyncio.get_running_loop().slow_callback_duration = 0.0
    given: list[str] = []

    async def bad_token() -> str:
        given.append(secure.tokens.token("alice", aud="x"))
        return given[-1]

    async def good_token() -> str:
        given.append(secure.tokens.token("alice"))
        return given[-1]

    async def bad_credentials() -> Credentials:
        return Credentials("alice", WRONG)

    key = secure.authority.issue("client")
    jaas = f'ScramLoginModule required username="alice" password="{WRONG}";'
    scram = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256"}
    bearer = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}
    runs: list[tuple[str, dict[str, Any]]] = [
        ("SASLP", login(secure, "SASL_PLAINTEXT", "PLAIN")),
        ("SASLP", login(secure, "SASL_PLAINTEXT", "PLAIN", "alice", WRONG)),
        ("SASLS", login(secure, "SASL_SSL", "SCRAM-SHA-512")),
        ("SASLS", login(secure, "SASL_SSL", "SCRAM-SHA-512", "alice", WRONG)),
        ("SASLP", {**scram, "sasl_jaas_config": jaas}),
        ("SASLP", {**scram, "credentials_provider": bad_credentials}),
        ("SASLP", {**bearer, "token_provider": good_token}),
        ("SASLP", {**bearer, "token_provider": bad_token}),
        (
            "MTLS",
            {
                "security_protocol": "SSL",
                "ssl_truststore_location": str(secure.ca_file),
                "ssl_keystore_certificate_chain": key.chain_pem,
                "ssl_keystore_key": key.encrypted_key_pem("key-secret"),
                "ssl_key_password": "key-secret",
            },
        ),
    ]
    topic = new_topic()
    shown: list[str] = []
    for listener, options in runs:
        shown += await talk(AsyncProducer(secure.bootstrap(listener), **options), topic)
    asyncio.get_running_loop().slow_callback_duration = 0.1
    printed = capfd.readouterr()
    everything = "\n".join([*shown, caplog.text, printed.out, printed.err])
    # It was a talkative run, or this test would prove nothing.
    assert "Executing" in caplog.text
    assert "the broker refused the login" in everything
    assert "(hidden)" in everything
    secrets = [WRONG, USERS["alice"], "key-secret", key.key_pem.splitlines()[1], *given]
    assert len(given) >= 2
    assert not [secret for secret in secrets if secret in everything]
    # The signature alone would do: the rest of a token is no secret.
    assert not [token for token in given if token.rpartition(".")[2] in everything]
