"""Tokens by the OAuth client-credentials grant (RFC 6749, 4.4), with the standard library alone."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus, unquote, urlencode, urlsplit

from aioproducer.core.backoff import backoff_ms
from aioproducer.credentials import OAuthToken
from aioproducer.errors import AuthenticationError, ClusterConnectionError

_LARGEST_ANSWER = 1_000_000
_FINAL = frozenset({*range(400, 408), *range(409, 416), 501, 505})
"""Asking again cannot help with these, as Java's client has it."""


class _FailedError(Exception):
    """One attempt failed; another may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """A token provider: call it, get a token. Times are milliseconds."""

    url: str
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scope: str | None = None
    urlencode_header: bool = False
    connect_timeout_ms: int = 10_000
    read_timeout_ms: int = 10_000
    retry_backoff_ms: int = 100
    retry_for_ms: int = 10_000
    rng: random.Random = field(default_factory=random.Random, repr=False)

    async def __call__(self) -> OAuthToken:
        """Ask for a token, again after a failure that may pass.

        Raises :exc:`AuthenticationError` when the endpoint refuses, and
        :exc:`ClusterConnectionError` when it could not be asked. Cancelling abandons the wait.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.retry_for_ms / 1000
        attempt = 0
        while True:
            try:
                return await loop.run_in_executor(None, self._ask_once)
            except _FailedError as failure:
                delay = backoff_ms(self.retry_backoff_ms, self.retry_for_ms, attempt, self.rng)
                if loop.time() + delay / 1000 > deadline:
                    raise ClusterConnectionError(
                        f"no token from {self.url}: {failure}", addresses=(self.url,)
                    ) from failure
                await asyncio.sleep(delay / 1000)
                attempt += 1

    def _ask_once(self) -> OAuthToken:
        if urlsplit(self.url).scheme == "file":
            return self._read_file()
        try:
            status, body = self._post()
        except (OSError, http.client.HTTPException) as error:
            raise _FailedError(f"{type(error).__name__}: {error}") from error
        if status in _FINAL:
            raise AuthenticationError(
                f"{self.url} gives no token: HTTP {status}{_oauth_error(body)}",
                what_next="Check the client's id, secret and scope against the token endpoint.",
            )
        if status != 200:
            raise _FailedError(f"HTTP {status}")
        return self._token_in(body)

    def _read_file(self) -> OAuthToken:
        path = unquote(urlsplit(self.url).path)
        try:
            return OAuthToken(Path(path).read_text("ascii").strip())
        except (OSError, ValueError) as error:
            raise _FailedError(f"{type(error).__name__} while reading it") from error

    def _post(self) -> tuple[int, bytes]:
        form = {"grant_type": "client_credentials"}
        if self.scope:
            form["scope"] = self.scope
        return exchange(
            "POST",
            self.url,
            body=urlencode(form),
            headers={
                "Authorization": self._basic(),
                "Content-Type": "application/x-www-form-urlencoded",
            },
            connect_timeout=self.connect_timeout_ms / 1000,
            read_timeout=self.read_timeout_ms / 1000,
        )

    def _basic(self) -> str:
        pair = [self.client_id, self.client_secret]
        if self.urlencode_header:
            pair = [quote_plus(part) for part in pair]
        return "Basic " + base64.b64encode(":".join(pair).encode()).decode("ascii")

    def _token_in(self, body: bytes) -> OAuthToken:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        value = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(value, str) or not value:
            raise AuthenticationError(f"{self.url} answered without an access_token")
        life = answer.get("expires_in")
        if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < 1e9:
            return OAuthToken(value)
        return OAuthToken(value, int((time.time() + life) * 1000))


def exchange(
    method: str,
    url: str,
    *,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    connect_timeout: float = 10.0,
    read_timeout: float = 10.0,
) -> tuple[int, bytes]:
    """Ask ``url`` and return the status and what was answered; this blocks.

    No redirect is followed: a secret in the headers is for this address alone. Raises
    :exc:`OSError` or :exc:`http.client.HTTPException`.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=connect_timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=connect_timeout)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        connection.sock.settimeout(read_timeout)
        wanted = {"Accept": "application/json", **(headers or {})}
        connection.request(method, target, body, wanted)
        answer = connection.getresponse()
        return answer.status, answer.read(_LARGEST_ANSWER)
    finally:
        connection.close()


def _oauth_error(body: bytes) -> str:
    """Return the error as RFC 6749 (5.2) has it; anything else is not repeated."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(error, dict) or not isinstance(error.get("error"), str):
        return ""
    words = error.get("error_description")
    more = f" ({words[:200]})" if isinstance(words, str) else ""
    return f", {error['error'][:100]}{more}"
