"""Where credentials come from, and what becomes of providers that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.core.sasl.oauthbearer import OAuthBearerClient
from aioproducer.credentials import Credentials, OAuthToken
from aioproducer.errors import AuthenticationError, ClusterConnectionError
from aioproducer.runtime.login import PasswordLogin, TokenLogin, login_for
from aioproducer.runtime.token_endpoint import TokenEndpoint
from tests.core.sasl.test_token import jwt

HOUR_MS = 3_600_000


def config_of(mechanism: str, **options: Any) -> ProducerConfig:
    return ProducerConfig.create(
        "h:1", security_protocol="SASL_SSL", sasl_mechanism=mechanism, **options
    )


async def first_token(login: Any) -> bytes:
    client = await login.client("broker")
    token = client.step(b"")
    assert isinstance(token, bytes)
    return token


# Passwords


@pytest.mark.parametrize(
    "options",
    [
        {"sasl_username": "alice", "sasl_password": "pw"},
        {"sasl_jaas_config": 'PlainLoginModule required username="alice" password="pw";'},
    ],
)
async def test_name_and_password_come_from_the_configuration(options: dict[str, str]) -> None:
    assert await first_token(login_for(config_of("PLAIN", **options))) == b"\0alice\0pw"


async def test_a_provider_is_asked_at_each_login() -> None:
    given = iter([Credentials("alice", "old"), Credentials("alice", "new")])

    async def provider() -> Credentials:
        return next(given)

    login = login_for(config_of("PLAIN", credentials_provider=provider))
    assert await first_token(login) == b"\0alice\0old"
    assert await first_token(login) == b"\0alice\0new"


async def test_a_plain_function_will_do() -> None:
    login = login_for(config_of("PLAIN", credentials_provider=lambda: Credentials("alice", "pw")))
    assert await first_token(login) == b"\0alice\0pw"


async def test_each_scram_login_has_its_own_nonce() -> None:
    login = login_for(config_of("SCRAM-SHA-512", sasl_username="a", sasl_password="b"))
    assert await first_token(login) != await first_token(login)


async def test_a_delegation_token_is_known_from_its_jaas_line() -> None:
    jaas = 'ScramLoginModule required username="id" password="mac" tokenauth="true";'
    login = login_for(config_of("SCRAM-SHA-256", sasl_jaas_config=jaas))
    assert (await first_token(login)).endswith(b",tokenauth=true")


async def test_a_password_with_two_spellings_is_offered_in_both() -> None:
    """Kafka's brokers take it as it is, others as RFC 5802 prepares it."""
    login = login_for(config_of("SCRAM-SHA-256", sasl_username="\u2168", sasl_password="p"))
    assert b"n=\xe2\x85\xa8," in await first_token(login)
    assert login.may_respell()
    message = (await login.client("broker", prepared=True)).step(b"")
    assert message is not None
    assert b"n=IX," in message


async def test_a_password_of_one_spelling_is_offered_once() -> None:
    for mechanism in ("PLAIN", "SCRAM-SHA-256"):
        login = login_for(config_of(mechanism, sasl_username="a", sasl_password="p\u00e4ss"))
        await login.client("broker")
        assert not login.may_respell()


def failing(error: Exception) -> Callable[[], Any]:
    async def provider() -> Any:
        raise error

    return provider


@pytest.mark.parametrize("error", [TimeoutError("s3cret"), ConnectionRefusedError("s3cret")])
async def test_a_provider_that_could_not_answer_is_asked_again(error: Exception) -> None:
    login = login_for(config_of("PLAIN", credentials_provider=failing(error)))
    with pytest.raises(ClusterConnectionError, match=type(error).__name__) as failure:
        await login.client("broker")
    assert not isinstance(failure.value, AuthenticationError)
    assert failure.value.__cause__ is error
    assert "s3cret" not in str(failure.value)


async def test_a_provider_that_is_wrong_is_told_without_its_words() -> None:
    error = ValueError("the password s3cret is no good")
    login = login_for(config_of("PLAIN", credentials_provider=failing(error)))
    with pytest.raises(AuthenticationError, match="raised ValueError") as refusal:
        await login.client("broker")
    assert refusal.value.__cause__ is error
    assert "s3cret" not in str(refusal.value)


async def test_a_provider_that_hangs_is_given_up() -> None:
    async def provider() -> Credentials:
        await asyncio.sleep(10**6)
        raise AssertionError

    login = login_for(config_of("PLAIN", credentials_provider=provider, request_timeout_ms=2000))
    with pytest.raises(ClusterConnectionError, match="TimeoutError"):
        await login.client("broker")


async def test_a_provider_must_give_credentials() -> None:
    async def provider() -> Any:
        return {"password": "s3cret"}

    login = login_for(config_of("PLAIN", credentials_provider=provider))
    with pytest.raises(AuthenticationError, match="gave dict, not Credentials") as refusal:
        await login.client("broker")
    assert "s3cret" not in str(refusal.value)


# Tokens


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000_000_000

    def __call__(self) -> float:
        return self.now_ms / 1000


class Issuer:
    """A provider that counts; ``error`` makes it fail."""

    def __init__(self, clock: Clock, life_ms: int | None = HOUR_MS) -> None:
        self.clock = clock
        self.life_ms = life_ms
        self.calls = 0
        self.error: Exception | None = None

    async def __call__(self) -> OAuthToken:
        await asyncio.sleep(0.01)
        self.calls += 1
        if self.error is not None:
            raise self.error
        ends = None if self.life_ms is None else self.clock.now_ms + self.life_ms
        return OAuthToken(f"token{self.calls}", ends)


def token_login(issuer: Any, clock: Clock) -> TokenLogin:
    return TokenLogin(config_of("OAUTHBEARER", token_provider=issuer), issuer, {}, clock=clock)


async def test_a_token_is_kept_until_near_its_end() -> None:
    clock = Clock()
    issuer = Issuer(clock)
    login = token_login(issuer, clock)
    assert b"Bearer token1\x01" in await first_token(login)
    clock.now_ms += HOUR_MS // 2
    assert b"Bearer token1\x01" in await first_token(login)
    clock.now_ms += HOUR_MS // 2 - 300_000
    assert b"Bearer token2\x01" in await first_token(login)


async def test_many_connections_ask_for_one_token() -> None:
    clock = Clock()
    issuer = Issuer(clock)
    login = token_login(issuer, clock)
    await asyncio.gather(*(login.client("broker") for _ in range(20)))
    assert issuer.calls == 1


async def test_a_token_that_does_not_tell_its_end_is_used_once() -> None:
    clock = Clock()
    issuer = Issuer(clock, life_ms=None)
    login = token_login(issuer, clock)
    await login.client("broker")
    await login.client("broker")
    assert issuer.calls == 2


async def test_the_end_of_a_jwt_is_read_from_it() -> None:
    clock = Clock()
    calls = 0

    async def provider() -> str:
        nonlocal calls
        calls += 1
        return jwt({"exp": clock() + 3600})

    login = token_login(provider, clock)
    await login.client("broker")
    await login.client("broker")
    assert calls == 1


async def test_while_the_issuer_is_away_the_last_token_serves_until_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    issuer = Issuer(clock)
    login = token_login(issuer, clock)
    await login.client("broker")
    issuer.error = ConnectionRefusedError()
    clock.now_ms += HOUR_MS - 1000
    assert b"Bearer token1\x01" in await first_token(login)
    assert "good for a while yet" in caplog.text
    clock.now_ms += 2000
    with pytest.raises(ClusterConnectionError):
        await login.client("broker")


async def test_a_refused_token_is_not_offered_again() -> None:
    clock = Clock()
    login = token_login(Issuer(clock), clock)
    await login.client("broker")
    assert not login.may_respell()
    assert b"Bearer token2\x01" in await first_token(login)


async def test_an_expired_token_is_refused_here() -> None:
    clock = Clock()
    login = token_login(Issuer(clock, life_ms=-1), clock)
    with pytest.raises(AuthenticationError, match="expired already"):
        await login.client("broker")


async def test_a_provider_must_give_a_token() -> None:
    async def provider() -> Any:
        return b"t0ken"

    with pytest.raises(AuthenticationError, match="gave bytes, not an OAuthToken"):
        await token_login(provider, Clock()).client("broker")


async def test_extensions_come_from_the_token_and_the_jaas_line() -> None:
    jaas = (
        'OAuthBearerLoginModule required clientId="me" clientSecret="s3cret"'
        ' extension_pool="p" extension_cluster="old";'
    )
    config = config_of(
        "OAUTHBEARER",
        sasl_oauthbearer_token_endpoint_url="https://issuer.test/token",
        sasl_jaas_config=jaas,
    )
    login = login_for(config)
    assert isinstance(login, TokenLogin)
    assert isinstance(login._provider, TokenEndpoint)
    assert (login._provider.client_id, login._provider.client_secret) == ("me", "s3cret")

    async def provider() -> OAuthToken:
        return OAuthToken("t0ken", None, {"cluster": "new"})

    login._provider = provider
    client = await login.client("broker")
    assert isinstance(client, OAuthBearerClient)
    message = client.step(b"")
    assert message is not None
    assert b"\x01pool=p\x01cluster=new\x01" in message


def test_logins_show_no_secrets() -> None:
    login = login_for(config_of("PLAIN", sasl_username="alice", sasl_password="s3cret"))
    assert isinstance(login, PasswordLogin)
    assert "s3cret" not in repr(login)
