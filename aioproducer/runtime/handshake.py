"""What is said first on a new connection: which versions of which requests both sides know."""

from __future__ import annotations

from aioproducer.errors import ClusterConnectionError, broker_error
from aioproducer.runtime.broker_connection import BrokerConnection
from aioproducer.version import __version__
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from aioproducer.wire.versions import SPOKEN, ApiKey

SOFTWARE = "aioproducer"
"""What brokers count this client as (KIP-511)."""

OLDEST_PRODUCE = 7
"""Produce v7 came with Kafka 2.1, the oldest broker spoken to (KIP-896)."""


async def negotiate_versions(connection: BrokerConnection) -> ApiVersionsResponse:
    """Ask for the broker's versions and keep them on the connection's protocol.

    A broker that does not know our ApiVersions version answers with error 35 and, if it is kind,
    with what it knows; then its best or version 0 is asked (KIP-511).
    """
    version = SPOKEN[ApiKey.API_VERSIONS][1]
    answer = await _ask(connection, version)
    if answer.error_code == ErrorCode.UNSUPPORTED_VERSION:
        known = answer.api_versions.get(ApiKey.API_VERSIONS)
        version = min(known.maximum, version - 1) if known is not None else 0
        answer = await _ask(connection, max(version, 0))
    if answer.error_code:
        raise ClusterConnectionError(
            f"{connection.address} refused the handshake: {broker_error(answer.error_code)}",
            addresses=(connection.address,),
        )
    connection.protocol.versions = answer.api_versions
    _refuse_old(connection, answer)
    return answer


def _refuse_old(connection: BrokerConnection, answer: ApiVersionsResponse) -> None:
    produce = answer.api_versions.get(ApiKey.PRODUCE)
    if produce is None or produce.maximum < OLDEST_PRODUCE:
        spoken = "no Produce at all" if produce is None else f"Produce up to v{produce.maximum}"
        raise ClusterConnectionError(
            f"{connection.address} speaks {spoken}: it is older than Kafka 2.1, the oldest"
            " broker that aioproducer supports",
            addresses=(connection.address,),
        )


async def _ask(connection: BrokerConnection, version: int) -> ApiVersionsResponse:
    try:
        response = await connection.ask(ApiVersionsRequest(SOFTWARE, __version__), version)
    except ClusterConnectionError as error:
        raise ClusterConnectionError(
            f"{error} during the handshake: is it a TLS or SASL listener, or no Kafka at all?",
            addresses=error.addresses,
        ) from error
    assert isinstance(response, ApiVersionsResponse)
    return response
