"""Tokens of an OpenID Connect provider that is known by its issuer alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from aioproducer.credentials import OAuthToken
from aioproducer.errors import AuthenticationError, ConfigurationError
from aioproducer.runtime.token_endpoint import TokenEndpoint, exchange

_WELL_KNOWN = "/.well-known/openid-configuration"


class OidcTokens:
    """Call it, get a token by the client-credentials grant.

    The token endpoint is looked up once (OpenID Connect Discovery 1.0).

    Args:
        issuer: the issuer's URL, such as ``https://issuer.example.com/realms/main``.
        client_id: this client's id.
        client_secret: its secret.
        scope: the scopes asked for, separated by spaces.

    Raises:
        ConfigurationError: the issuer is not an ``https:`` URL.
    """

    def __init__(
        self, issuer: str, client_id: str, client_secret: str, *, scope: str | None = None
    ) -> None:
        if urlsplit(issuer).scheme != "https":
            raise ConfigurationError("OidcTokens: the issuer must be an https: URL")
        self._issuer = issuer.rstrip("/")
        self._settings: dict[str, Any] = {
            "client_id": client_id,
            "client_secret": client_secret,
            "scope": scope,
        }
        self._endpoint: TokenEndpoint | None = None

    async def __call__(self) -> OAuthToken:
        """Ask for a token. Cancelling abandons the wait.

        Raises :exc:`AuthenticationError` when the provider refuses or is not the one it should
        be, :exc:`OSError` or :exc:`ClusterConnectionError` when it could not be asked.
        """
        if self._endpoint is None:
            loop = asyncio.get_running_loop()
            url = await loop.run_in_executor(None, self._discover)
            self._endpoint = TokenEndpoint(url=url, **self._settings)
        return await self._endpoint()

    def _discover(self) -> str:
        status, body = exchange("GET", self._issuer + _WELL_KNOWN)
        if status >= 500:
            raise OSError(f"HTTP {status}")
        try:
            document = json.loads(body) if status == 200 else None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise AuthenticationError(
                f"{self._issuer}{_WELL_KNOWN} is no OpenID configuration (HTTP {status})"
            )
        # Else one issuer of several on a host could send the secret elsewhere (Discovery, 4.3).
        if str(document.get("issuer")).rstrip("/") != self._issuer:
            raise AuthenticationError(f"{self._issuer} says that it is another issuer")
        url = document.get("token_endpoint")
        if not isinstance(url, str) or urlsplit(url).scheme != "https":
            raise AuthenticationError(f"{self._issuer} names no token endpoint with https")
        return url
