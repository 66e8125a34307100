"""Where credentials come from: each login makes the SASL machine for one attempt."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from aioproducer.config import ProducerConfig
from aioproducer.core.sasl import SaslClient
from aioproducer.core.sasl.gssapi import GssapiClient
from aioproducer.core.sasl.oauthbearer import OAuthBearerClient
from aioproducer.core.sasl.plain import PlainClient
from aioproducer.core.sasl.saslprep import has_two_spellings
from aioproducer.core.sasl.scram import ScramClient
from aioproducer.core.sasl.token import RefreshPolicy, expiry_of
from aioproducer.credentials import Credentials, OAuthToken
from aioproducer.errors import AuthenticationError, ClusterConnectionError, ProducerError
from aioproducer.jaas import JaasEntry, parse_jaas
from aioproducer.runtime import kerberos
from aioproducer.runtime.token_endpoint import TokenEndpoint

logger = logging.getLogger("aioproducer")

_EXTENSION = "extension_"


class Login(Protocol):
    """Makes a machine for each attempt to log in."""

    async def client(self, host: str, prepared: bool = False) -> SaslClient:
        """Return a machine with the credentials of now, for the broker at ``host``.

        With ``prepared``, name and password are spelt as SASLprep has it, if that matters.
        """

    def may_respell(self) -> bool:
        """After a refusal: return whether the other spelling is worth one attempt."""


def login_for(config: ProducerConfig) -> Login:
    """Return the login that ``config`` describes.

    Raises :exc:`ConfigurationError` when a package is missing.
    """
    jaas = parse_jaas(config.sasl_jaas_config) if config.sasl_jaas_config else None
    if config.sasl_mechanism == "OAUTHBEARER":
        return TokenLogin(config, _token_provider(config, jaas), _extensions(jaas))
    if config.sasl_mechanism == "GSSAPI":
        return KerberosLogin(config, jaas)
    return PasswordLogin(config, jaas)


async def _ask_provider(provider: Callable[[], Any], what: str, limit: float) -> Any:
    """Return what the user's ``provider`` gives.

    A failure of the network or the clock may pass; anything else is a refusal. Its words stay out
    of the message, as they may hold what is not to be shown; the error itself is the cause.
    """
    try:
        async with asyncio.timeout(limit):
            answer = provider()
            return await answer if inspect.isawaitable(answer) else answer
    except ProducerError:
        raise
    except OSError as error:
        raise ClusterConnectionError(
            f"{what} could not answer ({type(error).__name__})",
            what_next=f"Look after {what}; it is asked again at the next attempt to connect.",
        ) from error
    except Exception as error:
        # The user's provider may raise anything; it fails this attempt alone.
        raise AuthenticationError(
            f"{what} raised {type(error).__name__}", what_next=f"Correct {what}."
        ) from error


class PasswordLogin:
    """PLAIN and SCRAM: a name and a password, given plainly or asked for at each login."""

    def __init__(self, config: ProducerConfig, jaas: JaasEntry | None) -> None:
        options = jaas.options if jaas is not None else {}
        self._mechanism = config.sasl_mechanism
        self._provider = config.credentials_provider
        self._limit = config.request_timeout_ms / 1000
        self._fixed = Credentials(
            config.sasl_username or options.get("username", ""),
            config.sasl_password or options.get("password", ""),
        )
        self._token_auth = options.get("tokenauth", "").lower() == "true"
        self._last = self._fixed

    async def client(self, host: str, prepared: bool = False) -> SaslClient:
        given = self._fixed
        if self._provider is not None:
            given = await _ask_provider(self._provider, "credentials_provider", self._limit)
            if not isinstance(given, Credentials):
                kind = type(given).__name__
                raise AuthenticationError(f"credentials_provider gave {kind}, not Credentials")
        self._last = given
        if self._mechanism == "PLAIN":
            return PlainClient(given.username, given.password)
        return ScramClient(
            self._mechanism,
            given.username,
            given.password,
            secrets.token_urlsafe(24),
            prepared=prepared,
            token_auth=self._token_auth,
        )

    def may_respell(self) -> bool:
        """Kafka's own brokers take passwords as they are, others prepare them as RFC 5802 has it.

        Only few hold a character that makes a difference.
        """
        return self._mechanism != "PLAIN" and has_two_spellings(
            self._last.username, self._last.password
        )


class TokenLogin:
    """OAUTHBEARER: the last token while it is fresh, else a new one; one request for all."""

    def __init__(
        self,
        config: ProducerConfig,
        provider: Callable[[], Any],
        extensions: dict[str, str],
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._provider = provider
        self._extensions = extensions
        self._limit = (config.request_timeout_ms + config.sasl_login_retry_backoff_max_ms) / 1000
        self._policy = RefreshPolicy(
            config.sasl_login_refresh_window_factor,
            config.sasl_login_refresh_window_jitter,
            config.sasl_login_refresh_min_period_seconds * 1000,
            config.sasl_login_refresh_buffer_seconds * 1000,
        )
        self._clock = clock
        self._rng = rng if rng is not None else random.Random()
        self._lock = asyncio.Lock()
        self._token: OAuthToken | None = None
        self._ends_at_ms = 0.0
        self._refresh_at_ms = 0.0

    async def client(self, host: str, prepared: bool = False) -> SaslClient:
        token = await self._current()
        return OAuthBearerClient(token.value, {**self._extensions, **token.extensions})

    def may_respell(self) -> bool:
        """A token that was refused is not offered again."""
        self._token = None
        return False

    async def _current(self) -> OAuthToken:
        async with self._lock:
            if self._token is None or self._clock() * 1000 >= self._refresh_at_ms:
                await self._renew()
            assert self._token is not None
            return self._token

    async def _renew(self) -> None:
        try:
            token = await _ask_provider(self._provider, "token_provider", self._limit)
        except ProducerError as error:
            if self._token is None or self._clock() * 1000 >= self._ends_at_ms:
                self._token = None
                raise
            logger.warning("%s; the last token is good for a while yet", error)
            return
        if isinstance(token, str):
            token = OAuthToken(token)
        if not isinstance(token, OAuthToken):
            raise AuthenticationError(
                f"token_provider gave {type(token).__name__}, not an OAuthToken or a string"
            )
        ends = token.expires_at_ms if token.expires_at_ms is not None else expiry_of(token.value)
        now = self._clock() * 1000
        if ends is not None and ends <= now:
            raise AuthenticationError(
                "the OAuth token has expired already",
                what_next="Correct token_provider, or the clock of this machine.",
            )
        self._token = token
        # One that does not tell its end is used once.
        self._ends_at_ms = now if ends is None else ends
        self._refresh_at_ms = (
            now if ends is None else self._policy.refresh_at_ms(now, ends, self._rng)
        )


def _token_provider(config: ProducerConfig, jaas: JaasEntry | None) -> Callable[[], Any]:
    if config.token_provider is not None:
        return config.token_provider
    options = jaas.options if jaas is not None else {}
    url = config.sasl_oauthbearer_token_endpoint_url
    assert url is not None
    return TokenEndpoint(
        url=url,
        client_id=config.sasl_oauthbearer_client_credentials_client_id
        or options.get("clientId", ""),
        client_secret=config.sasl_oauthbearer_client_credentials_client_secret
        or options.get("clientSecret", ""),
        scope=config.sasl_oauthbearer_scope or options.get("scope"),
        urlencode_header=config.sasl_oauthbearer_header_urlencode,
        connect_timeout_ms=config.sasl_login_connect_timeout_ms or 10_000,
        read_timeout_ms=config.sasl_login_read_timeout_ms or 10_000,
        retry_backoff_ms=config.sasl_login_retry_backoff_ms,
        retry_for_ms=config.sasl_login_retry_backoff_max_ms,
    )


def _extensions(jaas: JaasEntry | None) -> dict[str, str]:
    if jaas is None:
        return {}
    return {
        name.removeprefix(_EXTENSION): value
        for name, value in jaas.options.items()
        if name.startswith(_EXTENSION)
    }


class KerberosLogin:
    """GSSAPI: the tickets of the system, or a keytab."""

    def __init__(self, config: ProducerConfig, jaas: JaasEntry | None) -> None:
        kerberos.check_installed()
        options = jaas.options if jaas is not None else {}
        self._service = config.sasl_kerberos_service_name or options["serviceName"]
        self._principal = options.get("principal", "")
        uses_keytab = options.get("useKeyTab", "false").lower() == "true"
        self._keytab = options.get("keyTab", "") if uses_keytab else ""

    async def client(self, host: str, prepared: bool = False) -> SaslClient:
        return GssapiClient(
            kerberos.make_context(self._service, host, self._principal, self._keytab)
        )

    def may_respell(self) -> bool:
        return False
