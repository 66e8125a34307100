"""From the options of aiokafka's constructor to the configuration of this producer."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from aioproducer import OAuthToken, PartitionerRecord, PartitionList

UNSET: Any = object()
"""What ``acks`` is unless it is given: 1, or ``all`` with idempotence."""

_DEFAULT_PORT = 9092
_BUFFER_MEMORY = 32 * 1024 * 1024
_numbers = itertools.count(1)


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return this producer's settings for aiokafka's ``options``.

    Raises:
        ValueError: as aiokafka does.
    """
    request_timeout = options["request_timeout_ms"]
    idle = options["connections_max_idle_ms"]
    transactional_id = options["transactional_id"]
    idempotent = bool(options["enable_idempotence"]) or transactional_id is not None
    settings: dict[str, Any] = {
        "bootstrap_servers": with_ports(options["bootstrap_servers"]),
        "client_id": options["client_id"] or f"aiokafka-producer-{next(_numbers)}",
        "acks": _acks(options["acks"], idempotent),
        "enable_idempotence": idempotent,
        "compression_type": _compression(options["compression_type"]),
        "batch_size": options["max_batch_size"],
        "linger_ms": options["linger_ms"],
        "max_request_size": options["max_request_size"],
        # A record of that size has to fit.
        "buffer_memory": max(_BUFFER_MEMORY, 2 * options["max_request_size"]),
        "metadata_max_age_ms": options["metadata_max_age_ms"],
        "request_timeout_ms": request_timeout,
        "max_block_ms": request_timeout,
        # A record has that long to be sent, and then as long to be answered.
        "delivery_timeout_ms": max(2 * request_timeout, options["linger_ms"] + request_timeout),
        "retry_backoff_ms": options["retry_backoff_ms"],
        "retry_backoff_max_ms": max(1000, options["retry_backoff_ms"]),
        "connections_max_idle_ms": -1 if idle is None else idle,
        "security_protocol": options["security_protocol"],
        "partitioner": _partitioner(options["partitioner"]),
    }
    if transactional_id is not None:
        settings["transactional_id"] = transactional_id
        settings["transaction_timeout_ms"] = options["transaction_timeout_ms"]
    return settings | _security(options)


def with_ports(servers: str | Iterable[str]) -> list[str]:
    """Return each server as host:port; 9092 where there is none."""
    names = servers.split(",") if isinstance(servers, str) else list(servers)
    return [_with_port(name.strip()) for name in names]


def _with_port(server: str) -> str:
    if server.startswith("["):
        return server if "]:" in server else f"{server}:{_DEFAULT_PORT}"
    if server.count(":") > 1:
        return f"[{server}]:{_DEFAULT_PORT}"
    return server if ":" in server else f"{server}:{_DEFAULT_PORT}"


def _acks(acks: Any, idempotent: bool) -> Any:
    if acks is UNSET:
        return "all" if idempotent else 1
    if acks not in (0, 1, -1, "all"):
        raise ValueError("Invalid ACKS parameter")
    if idempotent and acks not in ("all", -1):
        raise ValueError(f"acks={acks} not supported if enable_idempotence=True")
    return acks


def _compression(name: str | None) -> str:
    if name not in ("gzip", "snappy", "lz4", "zstd", None):
        raise ValueError("Invalid compression type!")
    return name or "none"


def _security(options: dict[str, Any]) -> dict[str, Any]:
    protocol = options["security_protocol"]
    settings: dict[str, Any] = {}
    if protocol in ("SSL", "SASL_SSL"):
        if not isinstance(options["ssl_context"], ssl.SSLContext):
            raise ValueError("`ssl_context` is mandatory if security_protocol=='SSL'")
        settings["ssl_context"] = options["ssl_context"]
    if protocol not in ("SASL_PLAINTEXT", "SASL_SSL"):
        return settings
    mechanism = settings["sasl_mechanism"] = options["sasl_mechanism"]
    if mechanism == "GSSAPI":
        if options["sasl_kerberos_domain_name"] is not None:
            raise ValueError("sasl_kerberos_domain_name: here the principal has the broker's name")
        settings["sasl_kerberos_service_name"] = options["sasl_kerberos_service_name"]
    elif mechanism == "OAUTHBEARER":
        settings["token_provider"] = _token_provider(options["sasl_oauth_token_provider"])
    else:
        settings["sasl_username"] = options["sasl_plain_username"]
        settings["sasl_password"] = options["sasl_plain_password"]
    return settings


def _token_provider(provider: Any) -> Callable[[], Awaitable[OAuthToken]]:
    if not callable(getattr(provider, "token", None)):
        raise ValueError("sasl_oauth_token_provider needs a coroutine method token()")

    async def token() -> OAuthToken:
        value = await provider.token()
        extensions: Any = getattr(provider, "extensions", dict)()
        return OAuthToken(value, extensions=dict(extensions or {}))

    return token


def _partitioner(function: Any) -> _Partitioner | None:
    return None if function is None else _Partitioner(function)


class _Partitioner:
    """A partitioner as aiokafka has them: a function of key, all and available partitions."""

    def __init__(
        self, function: Callable[[bytes | None, Sequence[int], Sequence[int]], int]
    ) -> None:
        self._function = function

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        return self._function(
            record.key_bytes, list(range(partitions.all)), list(partitions.available)
        )
