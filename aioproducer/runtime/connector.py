"""From a host and a port to a connection that is encrypted, spoken for and logged in."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import ssl
from collections.abc import Callable
from typing import Any

from aioproducer.config import ProducerConfig
from aioproducer.core.backoff import backoff_ms
from aioproducer.core.meters import NodeSample
from aioproducer.core.sampling import Meter
from aioproducer.core.sasl.session import session_of
from aioproducer.errors import (
    AuthenticationError,
    ClusterConnectionError,
    MalformedResponseError,
)
from aioproducer.runtime.broker_connection import BrokerConnection
from aioproducer.runtime.handshake import authenticate, negotiate_versions
from aioproducer.runtime.security import Security
from aioproducer.runtime.stall import StallWatch
from aioproducer.wire.framing import EncryptedPortError


class Connector:
    """Makes the connections to one broker, one attempt at each call."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        config: ProducerConfig,
        client_id: str,
        rng: random.Random,
        meter: Meter[NodeSample],
        watch: StallWatch,
        security: Security,
        on_room: Callable[[], None],
    ) -> None:
        self.host = host
        self.port = port
        self._config = config
        self._client_id = client_id
        self._rng = rng
        self._watch = watch
        self._meter = meter
        self._security = security
        self._on_room = on_room
        self._loop = asyncio.get_running_loop()
        self._address_turn = 0

    @property
    def address(self) -> str:
        """The broker's advertised or given address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def _listener(self) -> str:
        return f"{self.address} ({self._security.protocol})"

    async def connect(self, failures: int) -> BrokerConnection:
        """Connect to the first of the name's addresses that answers as a Kafka broker.

        Args:
            failures: how many attempts failed before; each may take longer than the last.

        Raises :exc:`AuthenticationError` as soon as one address refuses us, else
        :exc:`ClusterConnectionError` with what each address said.
        """
        security = self._security
        prepared = security.prepared
        try:
            return await self._try_addresses(failures, prepared)
        except AuthenticationError:
            if not security.may_respell():
                raise
        connection = await self._try_addresses(failures, not prepared)
        security.prepared = not prepared
        return connection

    async def _try_addresses(self, failures: int, prepared: bool) -> BrokerConnection:
        config = self._config
        limit = backoff_ms(
            config.socket_connection_setup_timeout_ms,
            config.socket_connection_setup_timeout_max_ms,
            failures,
            self._rng,
        )
        reasons: list[str] = []
        cause: Exception | None = None
        for family, sockaddr in await self._addresses():
            try:
                return await self._connect_to(family, sockaddr, limit / 1000, prepared)
            except AuthenticationError:
                raise
            except TimeoutError as error:
                reasons.append(f"{sockaddr[0]}: no connection within {limit / 1000:.1f} s")
                cause = error
            except OSError as error:
                # asyncio puts the address where the reason should be.
                reason = os.strerror(error.errno) if error.errno else str(error)
                reasons.append(f"{sockaddr[0]}: {reason}")
                cause = error
            except ClusterConnectionError as error:
                reasons.append(str(error))
                cause = error
            except EncryptedPortError as error:
                raise AuthenticationError(
                    f"{self._listener}: the listener speaks TLS",
                    addresses=(self.address,),
                    what_next="Set security.protocol to SSL or SASL_SSL, or dial the port without"
                    " TLS.",
                ) from error
            except MalformedResponseError as error:
                reasons.append(f"{sockaddr[0]}: {error}")
                cause = error
        raise ClusterConnectionError(
            f"cannot connect to {self.address}: {'; '.join(reasons)}", addresses=(self.address,)
        ) from cause

    async def log_in(self, connection: BrokerConnection, prepared: bool | None = None) -> None:
        """Log in, or renew the login of a connection that is in use.

        ``prepared`` chooses between the two spellings of some passwords; not given, it is the one
        that was taken before.

        What was sent before is answered before; from the first token to the last answer the
        connection holds everything else back, because the broker would refuse it (KIP-368).
        """
        security = self._security
        client = await security.sasl_client(
            self.host, security.prepared if prepared is None else prepared
        )
        connection.hold()
        last_used = connection.last_used
        # The broker counts from when it grants the login: sooner is safe, later is not.
        began = self._loop.time()
        renewing = connection.session is not None
        try:
            lifetime = await authenticate(connection, client, self._listener)
        except AuthenticationError:
            now = self._loop.time()
            self._meter.at(now).failed_logins += not renewing
            self._meter.at(now).failed_renewals += renewing
            raise
        self._count_login(renewing, self._loop.time() - began)
        # Else a connection that nobody uses would never be found idle.
        connection.last_used = last_used
        connection.session = session_of(lifetime, began, self._rng)
        connection.release()

    def _count_login(self, renewing: bool, took: float) -> None:
        sample = self._meter.at(self._loop.time())
        if not renewing:
            sample.logins += 1
            return
        sample.renewals += 1
        sample.renewal_time += took
        sample.renewal_time_max = max(sample.renewal_time_max, took)

    async def _addresses(self) -> list[tuple[int, tuple[Any, ...]]]:
        """Resolve the name; start one further at each attempt (client.dns.lookup)."""
        limit = self._config.socket_connection_setup_timeout_max_ms / 1000
        try:
            async with self._watch.timeout(limit):
                infos = await self._loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise ClusterConnectionError(
                f"{self.host} was not resolved within {limit:g} s", addresses=(self.address,)
            ) from error
        except (OSError, UnicodeError) as error:
            # The resolver cannot even encode some names: an empty label, one above 63 characters.
            reason = getattr(error, "strerror", None) or error
            raise ClusterConnectionError(
                f"cannot resolve {self.host}: {reason}", addresses=(self.address,)
            ) from error
        found = list(dict.fromkeys((int(info[0]), info[4]) for info in infos))
        turn = self._address_turn % len(found)
        self._address_turn += 1
        return found[turn:] + found[:turn]

    async def _connect_to(
        self, family: int, sockaddr: tuple[Any, ...], limit: float, prepared: bool
    ) -> BrokerConnection:
        config = self._config
        connection = BrokerConnection(
            self.address,
            self._client_id,
            meter=self._meter,
            watch=self._watch,
            request_timeout=config.request_timeout_ms / 1000,
            max_in_flight=config.max_in_flight_requests_per_connection,
            await_written=config.acks == 0,
            on_room=self._on_room,
        )
        try:
            async with self._watch.timeout(limit):
                await self._open(connection, family, sockaddr)
                connection.announced = await negotiate_versions(connection)
            if not self._security.uses_sasl:
                # Such a listener answers ApiVersions to everybody, and hangs up at the next
                # request of those who do not log in.
                connection.hint = ": is it a SASL listener? (security.protocol is " + (
                    f"{self._security.protocol})"
                )
            else:
                # Outside of the limit, which is for the network: a user's provider may be slower.
                await self.log_in(connection, prepared)
        except BaseException as error:
            connection.abort(
                ClusterConnectionError(
                    f"set-up of {self.address} was given up", addresses=(self.address,)
                )
            )
            refusal = self._security.refusal(error, self._listener, self.host)
            if refusal is not None:
                refusal.addresses = (self.address,)
                raise refusal from refusal.__cause__
            raise
        return connection

    async def _open(
        self, connection: BrokerConnection, family: int, sockaddr: tuple[Any, ...]
    ) -> None:
        config = self._config
        context = await self._security.tls_context()
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            # asyncio sets it only on sockets that it made itself; without it a request's tail
            # waits for the acknowledgement of the one before.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if config.send_buffer_bytes >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.send_buffer_bytes)
            if config.receive_buffer_bytes >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, config.receive_buffer_bytes)
            await self._loop.sock_connect(raw, sockaddr)
            if context is None:
                await self._loop.create_connection(lambda: connection, sock=raw)
            else:
                await self._encrypt(connection, raw, context)
        except BaseException:
            raw.close()
            raise

    async def _encrypt(
        self, connection: BrokerConnection, raw: socket.socket, context: ssl.SSLContext
    ) -> None:
        try:
            if self._config.acks:
                await self._loop.create_connection(
                    lambda: connection, sock=raw, ssl=context, server_hostname=self.host
                )
                return
            # In two steps, so that what lies below TLS can be looked at: a request that nobody
            # answers has gone when both hold nothing back.
            below, _ = await self._loop.create_connection(lambda: connection, sock=raw)
            above = await self._loop.start_tls(
                below, connection, context, server_hostname=self.host
            )
            assert above is not None
            connection.encrypted(above)
        except (ConnectionError, EOFError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise ClusterConnectionError(
                f"{self._listener}: the connection was closed during the TLS handshake: is the"
                " listener one without TLS?",
                addresses=(self.address,),
                what_next="Dial the TLS port, or set security.protocol to PLAINTEXT or"
                " SASL_PLAINTEXT.",
            ) from error
