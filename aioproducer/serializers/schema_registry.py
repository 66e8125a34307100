"""The schema registry: an adapter over confluent-kafka's asynchronous client (Confluent's API)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from aioproducer.core.backoff import backoff_ms
from aioproducer.errors import ConfigurationError, SchemaRegistryError

T = TypeVar("T")

_BASE_MS, _MAXIMUM_MS = 100, 5_000
_REQUEST_SECONDS = 10
_REMEMBERED_SECONDS = 1
_CREDENTIALS = object()
# Of a token that could not be had.
_NO_STATUS = -1
_RETRIABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_SCHEMES = ("http://", "https://", "mock://")
_INSTALL = "pip install 'aioproducer[registry]'"


@dataclass(frozen=True, slots=True)
class SchemaReference:
    """A schema that another one names: as ``name``, registered as ``version`` of ``subject``."""

    name: str
    subject: str
    version: int


class SchemaRegistry:
    """A schema registry, shared by any number of serializers; close it when they are done.

    ``url`` may list several, separated by commas; ``mock://name`` is one in memory, for tests.
    ``config`` is handed to confluent-kafka's client: ``basic.auth.user.info``,
    ``ssl.ca.location``, ``bearer.auth.credentials.source`` and so on. While nobody answers, or
    with an error that passes, it is asked again for up to ``patience`` seconds; a record gives up
    after ``max.block.ms``. It is used by one event loop at a time. Raises
    :exc:`ConfigurationError` if the package is missing or refuses the configuration.
    """

    def __init__(
        self, url: str, config: Mapping[str, Any] | None = None, *, patience: float = 60.0
    ) -> None:
        # What may be shown of the address.
        self._names = ", ".join(_without_secrets(url))
        self._config = {
            "timeout": _REQUEST_SECONDS,
            # It retries here instead, where the record that waits can tell what for.
            "max.retries": 0,
            **(config or {}),
            "url": url,
        }
        self._patience = patience
        self._rng = random.Random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_mock = url.startswith("mock://")
        self._refusals: dict[Hashable, tuple[float, SchemaRegistryError]] = {}
        self._client = self._connect()

    def _connect(self) -> Any:
        theirs = modules()
        try:
            return theirs.AsyncSchemaRegistryClient.new_client(self._config)
        except (ValueError, TypeError, OSError) as error:
            raise ConfigurationError(f"the schema registry's client refuses: {error}") from error

    @property
    def client(self) -> Any:
        """confluent-kafka's ``AsyncSchemaRegistryClient``, for whatever else is to be asked."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and not self._is_mock:
                # Its connections belong to a loop that is gone.
                self._client = self._connect()
            self._loop = loop
        return self._client

    async def ask(
        self,
        call: Callable[[], Awaitable[T]],
        on_trouble: Callable[[SchemaRegistryError], None] = lambda error: None,
        about: Hashable = None,
    ) -> T:
        """Return what ``call`` returns, again and again while its failure may pass.

        Each such failure is told to ``on_trouble``. Raises :exc:`SchemaRegistryError`, and what
        has nothing to do with the registry as it is. For a second after one that will not pass
        nobody asks ``about`` the same again; of credentials, nobody asks at all: accounts are
        locked for less. Cancelling ends it.
        """
        loop = asyncio.get_running_loop()
        self._raise_remembered((about, _CREDENTIALS), loop.time())
        give_up = loop.time() + self._patience
        attempt = 0
        while True:
            try:
                return await call()
            except Exception as error:
                # Told apart below: only the registry's and the network's are ours to judge.
                failure = self._judge(error)
                if failure is None:
                    raise
                pause = backoff_ms(_BASE_MS, _MAXIMUM_MS, attempt, self._rng) / 1000
                if not failure.retriable:
                    self._remember(failure, about, loop.time())
                if not failure.retriable or loop.time() + pause > give_up:
                    raise failure from error
                on_trouble(failure)
            attempt += 1
            await asyncio.sleep(pause)

    def _remember(self, refusal: SchemaRegistryError, about: Hashable, now: float) -> None:
        if refusal.status in (401, _NO_STATUS):
            about = _CREDENTIALS
        if about is not None:
            self._refusals[about] = (now, refusal.replica())

    def _raise_remembered(self, about: tuple[Hashable, ...], now: float) -> None:
        for key in about:
            since, refusal = self._refusals.get(key, (0.0, None))
            if refusal is None:
                continue
            # The clock of another loop may be behind.
            if since <= now < since + _REMEMBERED_SECONDS:
                raise refusal.replica()
            del self._refusals[key]

    def _judge(self, error: Exception) -> SchemaRegistryError | None:
        theirs = modules()
        if isinstance(error, theirs.SchemaRegistryError):
            failure = _refusal(error.http_status_code, error.error_code, error.error_message)
        elif isinstance(error, (theirs.TransportError, OSError)):
            failure = SchemaRegistryError(
                f"no answer from the schema registry at {self._names}: {_name(error)}",
                retriable=True,
                what_next="Check that the registry runs and that its address can be reached.",
            )
        elif isinstance(error, theirs.OAuthTokenError):
            failure = SchemaRegistryError("no token for the schema registry could be had")
        else:
            return None
        failure.__cause__ = error
        return failure

    async def close(self) -> None:
        """Close its connections. Cancelling may leave some to the garbage collector."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        """Return itself: nothing is asked yet."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close as :meth:`close` does."""
        await self.close()

    def __repr__(self) -> str:
        return f"<SchemaRegistry {self._names}>"


class _Modules:
    """What is used of confluent-kafka, imported when the first registry is made."""

    def __init__(self) -> None:
        import confluent_kafka.schema_registry as theirs
        from confluent_kafka.schema_registry import error as their_errors
        from confluent_kafka.serialization import SerializationContext

        try:
            import httpx2 as httpx
        except ImportError:
            import httpx  # type: ignore[no-redef]

        self.TransportError: type[Exception] = httpx.TransportError
        self.AsyncSchemaRegistryClient: Any = theirs.AsyncSchemaRegistryClient
        self.Schema: Any = theirs.Schema
        self.SchemaReference: Any = theirs.SchemaReference
        self.SerializationContext: Any = SerializationContext
        self.prefix_schema_id_serializer: Any = theirs.prefix_schema_id_serializer
        self.header_schema_id_serializer: Any = theirs.header_schema_id_serializer
        self.SchemaRegistryError: type[Any] = their_errors.SchemaRegistryError
        self.OAuthTokenError: type[Exception] = their_errors.OAuthTokenError


_modules: _Modules | None = None


def modules() -> _Modules:
    """Return what is used of confluent-kafka; raises ConfigurationError where it is missing."""
    global _modules
    if _modules is None:
        try:
            _modules = _Modules()
        except ImportError as error:
            raise missing(error, _INSTALL) from error
    return _modules


def missing(error: ImportError, install: str) -> ConfigurationError:
    """Return the error for an optional package that is not there."""
    return ConfigurationError(f"{error.name or error} is not installed", what_next=install)


def _refusal(status: int, code: int | None, words: str | None) -> SchemaRegistryError:
    told = (words or "no reason was given").strip().rstrip(".")
    what_next = ""
    if status == 409:
        message = f"the schema is not compatible with those registered before it: {told}"
        what_next = (
            "Make the change compatible (a default for a new field, for one), or set another"
            " compatibility for the subject."
        )
    elif status == 404:
        message = f"the schema registry does not know it: {told}"
        what_next = "Register the schema under its subject, or allow it with auto_register=True."
    elif status in (401, 403):
        message = f"the schema registry lets nobody in with these credentials: {told}"
        what_next = "Correct the credentials in the registry's config, or its permissions."
    elif status == 422:
        message = f"the schema registry takes this for no valid schema: {told}"
    elif status in _RETRIABLE:
        message = f"the schema registry cannot answer just now: {told}"
        what_next = "Look at the registry itself; the same call may succeed later."
    else:
        message = f"the schema registry refuses: {told}"
    return SchemaRegistryError(
        f"{message} (HTTP {status}, code {code})",
        status=status,
        code=-1 if code is None else code,
        retriable=status in _RETRIABLE,
        what_next=what_next,
    )


def _name(error: Exception) -> str:
    words = str(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _without_secrets(url: object) -> list[str]:
    """Return the addresses in ``url`` as they may be shown; raises where they are none.

    Nothing of one that is malformed is quoted: who knows what in it is the password.
    """
    if not isinstance(url, str):
        raise ConfigurationError(
            f"the schema registry's url must be str, not {type(url).__name__}",
            what_next="Give several as one text, separated by commas.",
        )
    found = []
    addresses = url.split(",")
    for number, address in enumerate(addresses, 1):
        try:
            found.append(_shown(address.strip()))
        except ValueError as error:
            which = f", address {number} of {len(addresses)}" if len(addresses) > 1 else ""
            raise ConfigurationError(
                f"the schema registry's url{which}: {error}",
                what_next="Write http://host:8081; in a user or password a comma is %2C, # is %23,"
                " / is %2F, @ is %40.",
            ) from None
    return found


def _shown(address: str) -> str:
    if not address.startswith(_SCHEMES):
        raise ValueError("it does not begin with http:// or https://")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its host or its port is malformed") from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("there is an @ behind its host")
    if not host:
        raise ValueError("it has no host")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
