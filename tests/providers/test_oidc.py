"""OpenID Connect discovery, with a provider that is a function."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aioproducer.errors import AuthenticationError, ConfigurationError
from aioproducer.providers import oidc
from aioproducer.providers.oidc import OidcTokens
from aioproducer.runtime import token_endpoint

ISSUER = "https://issuer.test/realms/main"
GOOD = {"issuer": ISSUER, "token_endpoint": "https://issuer.test/token"}


def provider_with(monkeypatch: pytest.MonkeyPatch, document: Any, status: int = 200) -> list[Any]:
    """Let the provider answer; returns what it was asked."""
    asked: list[Any] = []

    def exchange(method: str, url: str, **more: Any) -> tuple[int, bytes]:
        asked.append((method, url))
        if method == "POST":
            return 200, b'{"access_token": "t0ken"}'
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return status, body

    monkeypatch.setattr(oidc, "exchange", exchange)
    monkeypatch.setattr(token_endpoint, "exchange", exchange)
    return asked


async def test_the_endpoint_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = provider_with(monkeypatch, GOOD)
    tokens = OidcTokens(ISSUER + "/", "me", "s3cret", scope="kafka")
    assert (await tokens()).value == "t0ken"
    assert (await tokens()).value == "t0ken"
    assert asked == [
        ("GET", f"{ISSUER}/.well-known/openid-configuration"),
        ("POST", "https://issuer.test/token"),
        ("POST", "https://issuer.test/token"),
    ]


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        (b"<html>", 200, "no OpenID configuration"),
        ([], 200, "no OpenID configuration"),
        (GOOD, 404, "HTTP 404"),
        ({**GOOD, "issuer": "https://other.test"}, 200, "another issuer"),
        ({"issuer": ISSUER}, 200, "no token endpoint with https"),
        ({**GOOD, "token_endpoint": "http://issuer.test/token"}, 200, "no token endpoint with"),
    ],
)
async def test_an_issuer_that_is_not_the_right_one_gets_no_secret(
    monkeypatch: pytest.MonkeyPatch, document: Any, status: int, words: str
) -> None:
    asked = provider_with(monkeypatch, document, status)
    with pytest.raises(AuthenticationError, match=words):
        await OidcTokens(ISSUER, "me", "s3cret")()
    assert [method for method, _ in asked] == ["GET"]


async def test_an_issuer_in_trouble_may_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    provider_with(monkeypatch, b"", 503)
    with pytest.raises(OSError, match="503"):
        await OidcTokens(ISSUER, "me", "s3cret")()


def test_an_issuer_without_tls_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        OidcTokens("http://issuer.test", "me", "s3cret")


def test_the_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(OidcTokens(ISSUER, "me", "s3cret"))
