"""What is given to log in does not show what is secret."""

from __future__ import annotations

from aioproducer.credentials import Credentials, OAuthToken


def test_secrets_are_not_shown() -> None:
    assert repr(Credentials("alice", "s3cret")) == "Credentials(username='alice')"
    token = OAuthToken("s3cret", 5, {"key": "s3cret"})
    assert repr(token) == "OAuthToken(expires_at_ms=5)"
