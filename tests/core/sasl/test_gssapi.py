"""GSSAPI: RFC 4752 around a context that somebody else made."""

from __future__ import annotations

import pytest

from aioproducer.core.sasl.gssapi import GssapiClient
from aioproducer.errors import AuthenticationError


class FakeContext:
    """Complete after two tokens; a wrapped message stands in brackets."""

    def __init__(self, tokens: list[bytes | None]) -> None:
        self.tokens = tokens
        self.seen: list[bytes | None] = []

    @property
    def complete(self) -> bool:
        return not self.tokens

    def step(self, token: bytes | None) -> bytes | None:
        self.seen.append(token)
        return self.tokens.pop(0)

    def wrap(self, message: bytes) -> bytes:
        return b"<" + message + b">"

    def unwrap(self, message: bytes) -> bytes:
        assert message[:1] + message[-1:] == b"<>"
        return message[1:-1]


def test_the_context_is_driven_to_its_end_and_no_layer_is_chosen() -> None:
    context = FakeContext([b"ticket", b"reply"])
    client = GssapiClient(context, "alice")
    assert client.step(b"") == b"ticket"
    assert client.step(b"challenge") == b"reply"
    assert client.step(b"<\x07\x00\xff\xff>") == b"<\x01\x00\x00\x00alice>"
    assert client.step(b"") is None
    assert context.seen == [None, b"challenge"]
    with pytest.raises(AuthenticationError, match="after the end"):
        client.step(b"")


def test_a_context_that_has_nothing_to_say_sends_an_empty_token() -> None:
    """Kerberos with mutual authentication ends so: the client needs nothing more of the server."""
    client = GssapiClient(FakeContext([b"ticket", None]))
    client.step(b"")
    assert client.step(b"reply") == b""
    assert client.step(b"<\x01\x00\x00\x00>") == b"<\x01\x00\x00\x00>"


@pytest.mark.parametrize("offer", [b"<\x06\x00\x00\x00>", b"<>", b"<\x01\x00\x00>"])
def test_a_broker_that_insists_on_a_layer_is_refused(offer: bytes) -> None:
    client = GssapiClient(FakeContext([b"ticket"]))
    client.step(b"")
    with pytest.raises(AuthenticationError, match="security layer"):
        client.step(offer)
