"""What is said first on a new connection: which versions both sides know, and who we are."""

from __future__ import annotations

import asyncio

from aioproducer.core.sasl import SaslClient
from aioproducer.errors import (
    AuthenticationError,
    BrokerError,
    ClusterConnectionError,
    broker_error,
)
from aioproducer.runtime.broker_connection import BrokerConnection
from aioproducer.version import __version__
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from aioproducer.wire.messages.sasl_authenticate import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
)
from aioproducer.wire.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse
from aioproducer.wire.versions import SPOKEN, ApiKey, negotiate

SOFTWARE = "aioproducer"
"""What brokers count this client as (KIP-511)."""

OLDEST_PRODUCE = 7
"""Produce v7 came with Kafka 2.1, the oldest broker spoken to (KIP-896)."""

_MOST_ROUNDS = 20
"""No mechanism needs more than a few; a broker must not keep us at it for ever."""


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


# Logging in


async def authenticate(connection: BrokerConnection, client: SaslClient, listener: str) -> int:
    """Log in with ``client`` and return how many milliseconds the login lasts, 0 for ever.

    On a connection that is in use this renews the login (KIP-368); nothing else may be sent until
    it returns. Raises :exc:`AuthenticationError` when either side refuses. Cancelling leaves the
    connection half logged in: it must be closed then.
    """
    exchange = f"{listener}, {client.mechanism}"
    lifetime = 0
    try:
        await _choose_mechanism(connection, client, listener)
        version = negotiate(ApiKey.SASL_AUTHENTICATE, connection.protocol.versions)
        token = await _step(client, b"")
        for _ in range(_MOST_ROUNDS):
            if token is None:
                return lifetime
            answer = await connection.ask(SaslAuthenticateRequest(token), version)
            assert isinstance(answer, SaslAuthenticateResponse)
            if answer.error_code:
                raise _refused(answer, client)
            lifetime = answer.session_lifetime_ms
            token = await _step(client, answer.auth_bytes)
    except AuthenticationError as error:
        raise _located(error, exchange, connection.address) from error.__cause__
    except BrokerError as error:
        raise _located(AuthenticationError(str(error)), exchange, connection.address) from error
    raise _located(
        AuthenticationError("the broker does not come to an end"), exchange, connection.address
    )


async def _step(client: SaslClient, challenge: bytes) -> bytes | None:
    if not client.is_slow:
        return client.step(challenge)
    return await asyncio.get_running_loop().run_in_executor(None, client.step, challenge)


async def _choose_mechanism(
    connection: BrokerConnection, client: SaslClient, listener: str
) -> None:
    version = negotiate(ApiKey.SASL_HANDSHAKE, connection.protocol.versions)
    answer = await connection.ask(SaslHandshakeRequest(client.mechanism), version)
    assert isinstance(answer, SaslHandshakeResponse)
    if not answer.error_code:
        return
    cause = broker_error(answer.error_code)
    if answer.error_code == ErrorCode.UNSUPPORTED_SASL_MECHANISM:
        offered = ", ".join(answer.mechanisms) or "none"
        error = AuthenticationError(
            f"the broker does not offer this mechanism here, but {offered}",
            what_next="Set sasl.mechanism to one that the listener offers.",
        )
    elif answer.error_code == ErrorCode.ILLEGAL_SASL_STATE:
        error = AuthenticationError(
            "the listener does not ask for a login",
            what_next="Set security.protocol to PLAINTEXT or SSL, or dial the SASL listener.",
        )
    else:
        error = AuthenticationError(f"the broker refused the mechanism: {cause}")
    raise error from cause


def _refused(answer: SaslAuthenticateResponse, client: SaslClient) -> AuthenticationError:
    cause = broker_error(answer.error_code, answer.error_message)
    said = answer.error_message or cause.message
    remark = f" ({client.remark})" if client.remark else ""
    error = AuthenticationError(
        f"the broker refused the login: {said}{remark}",
        what_next="Check the credentials; what is sent later logs in anew with those of then.",
    )
    error.__cause__ = cause
    return error


def _located(error: AuthenticationError, exchange: str, address: str) -> AuthenticationError:
    return AuthenticationError(
        f"{exchange}: {error.message}", addresses=(address,), what_next=error.what_next
    )
