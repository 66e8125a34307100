"""Which APIs and versions this client speaks, request headers, and the choice of a version."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from aioproducer.errors import BrokerError, broker_error

_UNSUPPORTED_VERSION = 35
_HEADER = struct.Struct(">hhih")


class ApiKey(IntEnum):
    PRODUCE = 0
    METADATA = 3
    FIND_COORDINATOR = 10
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_CONFIGS = 32
    SASL_AUTHENTICATE = 36
    DESCRIBE_PRODUCERS = 61
    DESCRIBE_TRANSACTIONS = 65
    GET_TELEMETRY_SUBSCRIPTIONS = 71
    PUSH_TELEMETRY = 72

    @property
    def kafka_name(self) -> str:
        """Kafka's own spelling, such as InitProducerId."""
        return _KAFKA_NAMES[self]


_KAFKA_NAMES = {key: key.name.title().replace("_", "") for key in ApiKey}


class VersionRange(NamedTuple):
    minimum: int
    maximum: int

    def __str__(self) -> str:
        return f"{self.minimum} to {self.maximum}"


SPOKEN: Mapping[ApiKey, VersionRange] = MappingProxyType(
    {
        ApiKey.PRODUCE: VersionRange(3, 13),
        ApiKey.METADATA: VersionRange(1, 13),
        ApiKey.FIND_COORDINATOR: VersionRange(0, 6),
        ApiKey.API_VERSIONS: VersionRange(0, 4),
        ApiKey.INIT_PRODUCER_ID: VersionRange(0, 5),
        # From 4 on it is a request among brokers.
        ApiKey.ADD_PARTITIONS_TO_TXN: VersionRange(0, 3),
        ApiKey.ADD_OFFSETS_TO_TXN: VersionRange(0, 4),
        ApiKey.END_TXN: VersionRange(0, 5),
        ApiKey.TXN_OFFSET_COMMIT: VersionRange(0, 5),
        ApiKey.SASL_HANDSHAKE: VersionRange(1, 1),
        ApiKey.SASL_AUTHENTICATE: VersionRange(0, 2),
        ApiKey.CREATE_TOPICS: VersionRange(2, 7),
        ApiKey.DELETE_TOPICS: VersionRange(1, 6),
        ApiKey.DESCRIBE_CONFIGS: VersionRange(1, 4),
        ApiKey.DESCRIBE_PRODUCERS: VersionRange(0, 0),
        ApiKey.DESCRIBE_TRANSACTIONS: VersionRange(0, 0),
        ApiKey.GET_TELEMETRY_SUBSCRIPTIONS: VersionRange(0, 0),
        ApiKey.PUSH_TELEMETRY: VersionRange(0, 0),
    }
)

NEVER_FLEXIBLE = 2**15
"""Above every version: of SaslHandshake there will be no flexible one (KAFKA-9577)."""

FLEXIBLE_FROM: Mapping[ApiKey, int] = MappingProxyType(
    {
        ApiKey.PRODUCE: 9,
        ApiKey.METADATA: 9,
        ApiKey.FIND_COORDINATOR: 3,
        ApiKey.API_VERSIONS: 3,
        ApiKey.INIT_PRODUCER_ID: 2,
        ApiKey.ADD_PARTITIONS_TO_TXN: 3,
        ApiKey.ADD_OFFSETS_TO_TXN: 3,
        ApiKey.END_TXN: 3,
        ApiKey.TXN_OFFSET_COMMIT: 3,
        ApiKey.SASL_HANDSHAKE: NEVER_FLEXIBLE,
        ApiKey.SASL_AUTHENTICATE: 2,
        ApiKey.CREATE_TOPICS: 5,
        ApiKey.DELETE_TOPICS: 4,
        ApiKey.DESCRIBE_CONFIGS: 4,
        ApiKey.DESCRIBE_PRODUCERS: 0,
        ApiKey.DESCRIBE_TRANSACTIONS: 0,
        ApiKey.GET_TELEMETRY_SUBSCRIPTIONS: 0,
        ApiKey.PUSH_TELEMETRY: 0,
    }
)


def request_header_version(api: ApiKey, version: int) -> int:
    return 2 if version >= FLEXIBLE_FROM[api] else 1


def response_header_version(api: ApiKey, version: int) -> int:
    """Return 1 when tagged fields follow the correlation id of the response, else 0.

    Always 0 for ApiVersions: a client reads that answer before it knows what the broker speaks
    (KIP-511).
    """
    if api is ApiKey.API_VERSIONS:
        return 0
    return 1 if version >= FLEXIBLE_FROM[api] else 0


def encode_request_header(
    api: ApiKey, version: int, correlation_id: int, client_id: str | None
) -> bytes:
    # The client id keeps its int16 length even in flexible headers, so that any broker can read it.
    if client_id is None:
        header = _HEADER.pack(api, version, correlation_id, -1)
    else:
        name = client_id.encode()
        header = _HEADER.pack(api, version, correlation_id, len(name)) + name
    return header + b"\x00" if version >= FLEXIBLE_FROM[api] else header


def negotiate(
    api: ApiKey,
    broker: Mapping[int, VersionRange],
    *,
    at_most: int | None = None,
    at_least: int | None = None,
) -> int:
    """Return the highest version of ``api`` that both sides speak.

    Args:
        api: what is about to be asked.
        broker: what the broker offers, by API key.
        at_most: the highest version that may be used here, where it is not simply the newest.
        at_least: the lowest version that can say what must be said.

    Raises:
        BrokerError: of code 35 (UNSUPPORTED_VERSION), when there is no such version.
    """
    low, high = SPOKEN[api]
    if at_least is not None and at_least > low:
        low = at_least
    if at_most is not None and at_most < high:
        high = at_most
    offered = broker.get(api)
    if offered is not None:
        version = min(high, offered.maximum)
        if version >= low and version >= offered.minimum:
            return version
    raise broker_error(_UNSUPPORTED_VERSION, _why_none(api, VersionRange(low, high), offered))


def cannot_say(api: ApiKey, version: int, what: str) -> BrokerError:
    """Return (not raise) the error for a request that ``version`` has no field for."""
    return broker_error(
        _UNSUPPORTED_VERSION, f"{api.kafka_name} version {version} cannot say {what}"
    )


def _why_none(api: ApiKey, needed: VersionRange, offered: VersionRange | None) -> str:
    words = f"no common version of {api.kafka_name}: versions {needed} would do here"
    if offered is None:
        return (
            f"{words}, but the broker does not offer this API"
            " (Kafka 2.1 or newer is needed, at a broker's port and not at a controller's)"
        )
    words = f"{words}, the broker speaks {offered}"
    if needed.minimum > needed.maximum or offered.minimum > offered.maximum:
        return words
    if offered.maximum < SPOKEN[api].minimum:
        return f"{words}; Kafka 2.1 or newer is needed"
    if offered.maximum < needed.minimum:
        return f"{words}; a newer broker is needed"
    return f"{words}; the broker is newer than this client allows"
