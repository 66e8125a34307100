"""OAUTHBEARER: RFC 7628 and Kafka's extensions."""

from __future__ import annotations

import json

import pytest

from aioproducer.core.sasl.oauthbearer import OAuthBearerClient
from aioproducer.errors import AuthenticationError


def test_the_token_goes_out_at_once() -> None:
    client = OAuthBearerClient("abc.def.ghi")
    assert client.step(b"") == b"n,,\x01auth=Bearer abc.def.ghi\x01\x01"
    assert client.step(b"") is None


def test_extensions_follow_the_token_and_a_name_stands_before_it() -> None:
    client = OAuthBearerClient("t0ken", {"logicalCluster": "lkc-1", "pool": "x y"}, "a,b=c")
    assert client.step(b"") == (
        b"n,a=a=2Cb=3Dc,\x01auth=Bearer t0ken\x01logicalCluster=lkc-1\x01pool=x y\x01\x01"
    )


@pytest.mark.parametrize(
    ("challenge", "remark"),
    [
        ({"status": "invalid_token"}, "status invalid_token"),
        (
            {
                "status": "insufficient_scope",
                "scope": "produce",
                "openid-configuration": "https://i",
            },
            "status insufficient_scope, scope produce, tokens are described at https://i",
        ),
    ],
)
def test_a_refusal_is_answered_by_one_byte_and_remembered(
    challenge: dict[str, str], remark: str
) -> None:
    client = OAuthBearerClient("t0ken")
    client.step(b"")
    assert client.step(json.dumps(challenge).encode()) == b"\x01"
    assert client.remark == remark
    with pytest.raises(AuthenticationError, match="refused the token"):
        client.step(b"")


@pytest.mark.parametrize("challenge", [b"no json", b"[]", b'{"x": 1}', b"\xff\xfe"])
def test_a_refusal_in_other_words_is_remembered_as_it_is(challenge: bytes) -> None:
    client = OAuthBearerClient("t0ken")
    client.step(b"")
    assert client.step(challenge) == b"\x01"
    assert client.remark == challenge.decode("utf-8", "replace")


def test_a_long_refusal_is_cut() -> None:
    client = OAuthBearerClient("t0ken")
    client.step(b"")
    client.step(b"x" * 100_000)
    assert len(client.remark) == 500


@pytest.mark.parametrize("token", ["", "a b", "a\x01auth=Bearer b", "a\nb", "t\u00f6ken"])
def test_what_is_no_token_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(AuthenticationError, match="OAuth token is not one") as refusal:
        OAuthBearerClient(token)
    assert not token or token not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"), [("auth", "x"), ("a1", "x"), ("", "x"), ("ok", "a\x01b"), ("ok", "")]
)
def test_extensions_that_would_break_the_message_are_refused(name: str, value: str) -> None:
    with pytest.raises(AuthenticationError, match="extension"):
        OAuthBearerClient("t0ken", {name: value})
