"""What a user gives to log in: name and password, or a token, as values or as async callables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password, for PLAIN and SCRAM."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """A token for OAUTHBEARER.

    Args:
        value: the token as it goes into an ``Authorization: Bearer`` header.
        expires_at_ms: when it ends, in milliseconds since 1970; if not given, the `exp` claim of a
            JWT tells, and a token that does not is asked for anew at each login.
        extensions: further keys and values for the broker (KIP-342).
    """

    value: str = field(repr=False)
    expires_at_ms: int | None = None
    extensions: Mapping[str, str] = field(default_factory=dict, repr=False)


CredentialsProvider = Callable[[], Awaitable[Credentials]]
"""Called at each login, so that what it gives may change while the producer runs."""

TokenProvider = Callable[[], Awaitable[OAuthToken | str]]
"""Called when the last token nears its end; a plain string is a token without extensions."""
