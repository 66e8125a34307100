"""One task per broker: connects, backs off, keeps up to five requests in flight."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from typing import Any, Protocol

from aioproducer.config import ProducerConfig
from aioproducer.core.backoff import backoff_ms
from aioproducer.core.meters import NodeSample
from aioproducer.core.sampling import Meter
from aioproducer.errors import AuthenticationError, ClusterConnectionError, ProducerError
from aioproducer.runtime.broker_connection import BrokerConnection
from aioproducer.runtime.connector import Connector
from aioproducer.runtime.events import EventLog, event
from aioproducer.runtime.security import Security
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.timers import SLACK
from aioproducer.wire.messages.api_versions import ApiVersionsResponse
from aioproducer.wire.versions import ApiKey, negotiate

logger = logging.getLogger("aioproducer")


class ProduceWork(Protocol):
    """A produce request with what to call when it is answered or lost.

    ``at_most`` and ``at_least`` bound the version. Of the calls exactly one is made, once; without
    an expected answer that is ``written`` at best.
    """

    request: Any
    at_most: int | None
    at_least: int | None
    expect_answer: bool

    def answered(self, response: Any) -> None:
        """Take the broker's answer."""

    def lost(self, error: ProducerError) -> None:
        """Take note that no answer will come."""

    def refused(self, error: ProducerError) -> None:
        """Take note that this broker's versions cannot say it."""

    def written(self) -> None:
        """Take note that it has left."""


class WorkSource(Protocol):
    """Where a manager gets produce requests from: the Sender."""

    def next_work(self, node_id: int) -> ProduceWork | None:
        """Return the next request for this broker, ``None`` if nothing is ready for it."""

    def has_work(self, node_id: int) -> bool:
        """Return whether any partition stands in line for this broker."""

    def node_gone(self, node_id: int) -> None:
        """Take note that this broker's manager is no more."""


class ConnectionManager:
    """Everything about one broker's connection; ``run`` is its one task."""

    def __init__(
        self,
        node_id: int,
        host: str,
        port: int,
        *,
        config: ProducerConfig,
        client_id: str,
        rng: random.Random,
        meter: Meter[NodeSample],
        events: EventLog,
        watch: StallWatch,
        source: WorkSource | None,
        on_connected: Callable[[ApiVersionsResponse], None],
        on_lost: Callable[[ConnectionManager, ProducerError], None],
        on_refused: Callable[[ConnectionManager, AuthenticationError], None],
        security: Security,
    ) -> None:
        self.node_id = node_id
        self.host = host
        self.port = port
        self.last_error: ProducerError | None = None
        self.failures = 0
        self.connected_at = float("-inf")
        # Since when something is ready for this broker and nothing could be written.
        self.stalled_since: float | None = None
        self._config = config
        self._client_id = client_id
        self._rng = rng
        self._events = events
        self._source = source
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._connection: BrokerConnection | None = None
        self._wanted = asyncio.Event()
        self._ready_waiters: list[asyncio.Future[None]] = []
        self._drain_scheduled = False
        self._throttle_timer: asyncio.TimerHandle | None = None
        self._let_go = False
        self._renewals_failed = 0
        self._connector = Connector(
            host,
            port,
            config=config,
            client_id=client_id,
            rng=rng,
            meter=meter,
            watch=watch,
            security=security,
            on_room=self._on_room,
        )

    @property
    def address(self) -> str:
        """The broker's advertised or given address."""
        return self._connector.address

    @property
    def is_connected(self) -> bool:
        """Whether requests can go out now."""
        return self._connection is not None and self._connection.is_open

    @property
    def is_throttled(self) -> bool:
        """Whether the broker asked for a pause that is not yet over."""
        connection = self._connection
        return connection is not None and connection.throttled_until > self._loop.time()

    @property
    def paused_until(self) -> float:
        """When the last pause is over that the broker asked for."""
        connection = self._connection
        return float("-inf") if connection is None else connection.throttled_until

    @property
    def cipher(self) -> tuple[str, str] | None:
        """Cipher and protocol of its TLS connection, ``None`` if it has none."""
        return self._connection.cipher if self.is_connected and self._connection else None

    @property
    def in_flight(self) -> int:
        """Requests on the wire; decides which broker is least loaded."""
        return self._connection.in_flight if self._connection is not None else 0

    # Called by the Sender: data moves by plain calls

    def schedule_drain(self) -> None:
        """Have what is ready for this broker written, once, later in this turn of the loop."""
        if not self._drain_scheduled:
            self._drain_scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_scheduled = False
        connection, source = self._connection, self._source
        if source is None:
            return
        if not source.has_work(self.node_id):
            self.stalled_since = None
            return
        if self.stalled_since is None:
            self.stalled_since = self._loop.time()
        if connection is None or not connection.is_open:
            self._wanted.set()
            return
        wait = connection.throttled_until - self._loop.time()
        if wait > 0:
            if self._throttle_timer is None:
                self._throttle_timer = self._loop.call_later(wait, self._after_throttle)
            return
        self._write_ready(connection, source)

    def _write_ready(self, connection: BrokerConnection, source: WorkSource) -> None:
        """Write as many requests as there is room for, in one go."""
        buffers: list[bytes | bytearray | memoryview] = []
        unanswered: list[ProduceWork] = []
        count = size = 0
        while count < _REQUESTS_PER_WRITE and size < _BYTES_PER_WRITE and connection.has_room:
            work = source.next_work(self.node_id)
            if work is None:
                break
            if (bytes_of_work := self._register(connection, work)) is None:
                continue
            buffers += bytes_of_work
            count += 1
            size += connection.last_size
            if not work.expect_answer:
                unanswered.append(work)
        if not buffers:
            if not source.has_work(self.node_id):
                self.stalled_since = None
            return
        self.stalled_since = None
        connection.write(buffers)
        for work in unanswered:
            connection.when_written(work.written, work.lost)
        if count == _REQUESTS_PER_WRITE or size >= _BYTES_PER_WRITE:
            self.schedule_drain()

    def _register(
        self, connection: BrokerConnection, work: ProduceWork
    ) -> list[bytes | bytearray | memoryview] | None:
        """Put ``work`` in flight; ``None`` if this broker cannot take it and it was told so."""
        try:
            version = negotiate(
                ApiKey.PRODUCE,
                connection.protocol.versions,
                at_most=work.at_most,
                at_least=work.at_least,
            )
            return connection.send(
                work.request, version, work.answered, work.lost, expect_answer=work.expect_answer
            )
        except ProducerError as error:
            work.refused(error)
            return None

    def _after_throttle(self) -> None:
        self._throttle_timer = None
        self._drain()

    def throttle(self, milliseconds: int) -> None:
        """Pause sending to this broker; answers are still read."""
        if self._connection is not None and milliseconds > 0:
            self._events.repeat(
                logging.INFO, "broker.throttles",
                f"broker {self.node_id} asks for a pause of {milliseconds} ms: a quota is used up",
                key=str(self.node_id), broker=self.node_id, milliseconds=milliseconds,
            )  # fmt: skip
            self._connection.throttle(milliseconds)

    # Awaited by the Cluster and its helpers

    async def request(
        self, request: Any, *, at_most: int | None = None, at_least: int | None = None
    ) -> Any:
        """Send ``request``, connecting first if need be, and return its answer.

        ``at_most`` and ``at_least`` bound the version where not simply the newest will do.

        Raises :exc:`ClusterConnectionError` when the connection cannot be had or ends first, and
        the error of code 35 when the broker does not know the request. Cancelling abandons the
        wait only.
        """
        await self.ready()
        connection = self._connection
        if connection is not None:
            await connection.released()
            # Whoever is throttled waits with all requests (KIP-219).
            wait = connection.throttled_until - self._loop.time()
            while wait > 0 and connection.is_open:
                await asyncio.wait([connection.closed], timeout=wait)
                wait = connection.throttled_until - self._loop.time()
                # A login may have begun meanwhile.
                await connection.released()
        if connection is None or not connection.is_open:
            raise self.last_error or ClusterConnectionError(
                f"no connection to {self.address}", addresses=(self.address,)
            )
        version = negotiate(
            request.API_KEY, connection.protocol.versions, at_most=at_most, at_least=at_least
        )
        response = await connection.ask(request, version)
        self.throttle(response.throttle_time_ms)
        return response

    async def ready(self) -> None:
        """Return once connected; raise this attempt's error if it fails."""
        if self.is_connected:
            return
        if self._let_go:
            raise self._closed_by_us()
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._ready_waiters.append(waiter)
        self._wanted.set()
        try:
            await waiter
        finally:
            if waiter in self._ready_waiters:
                self._ready_waiters.remove(waiter)

    # The task

    async def run(self) -> None:
        """Keep the connection up while it is wanted, until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._connect_once()
                if self._connection is not None:
                    self._wanted.clear()
                    await self._stay(self._connection)
                    self.schedule_drain()
        finally:
            self._tear_down()

    async def _connect_once(self) -> None:
        try:
            connection = await self._connector.connect(self.failures)
        except ProducerError as error:
            self.failures += 1
            self.last_error = error
            logger.debug("[%s] %s", self._client_id, error)
            if self.failures == 1 and self.node_id >= 0:
                self._events.repeat(
                    logging.INFO, "broker.unreachable",
                    f"broker {self.node_id} cannot be reached: {error}; still trying",
                    key=str(self.node_id), broker=self.node_id, address=self.address,
                )  # fmt: skip
            self._wake_ready(error)
            if isinstance(error, AuthenticationError):
                self._on_refused(self, error)
            else:
                self._on_lost(self, error)
            await asyncio.sleep(self._reconnect_delay(self.failures - 1))
            self.schedule_drain()
            return
        if self._throttle_timer is not None:
            # The last connection's: this one may go on sooner.
            self._throttle_timer.cancel()
            self._throttle_timer = None
        self._connection = connection
        self.connected_at = self._loop.time()
        if self.node_id >= 0:
            self._events.repeat(
                logging.INFO, "broker.connected",
                f"connected to broker {self.node_id} at {self.address}",
                key=str(self.node_id), broker=self.node_id, address=self.address,
                attempts=self.failures + 1,
            )  # fmt: skip
        self.failures = 0
        self.last_error = None
        assert connection.announced is not None
        self._on_connected(connection.announced)
        self._wake_ready(None)
        self.schedule_drain()

    def _reconnect_delay(self, attempt: int) -> float:
        config = self._config
        base, maximum = config.reconnect_backoff_ms, config.reconnect_backoff_max_ms
        return backoff_ms(base, maximum, attempt, self._rng) / 1000

    async def _stay(self, connection: BrokerConnection) -> None:
        """Wait until the connection ends, or end it when nothing used it for long."""
        idle_limit = self._config.connections_max_idle_ms / 1000
        while not connection.closed.done():
            now = self._loop.time()
            until_renewal = math.inf
            if connection.session is not None:
                until_renewal = connection.session.renew_at - now
                if until_renewal <= SLACK:
                    await self._renew_login(connection)
                    continue
            left = connection.last_used + idle_limit - now if idle_limit >= 0 else math.inf
            if left <= 0 and not connection.in_flight:
                connection.abort(
                    ClusterConnectionError(
                        f"connection to {self.address} was idle", addresses=(self.address,)
                    )
                )
                self._connection = None
                return
            wait = min(max(left, 0.1), until_renewal)
            await asyncio.wait([connection.closed], timeout=wait if wait < math.inf else None)
        self._connection = None
        cause = connection.closed.result()
        if self.node_id >= 0:
            self._events.repeat(
                logging.INFO, "broker.lost", f"{cause}; connecting again when needed",
                key=str(self.node_id), broker=self.node_id, address=self.address,
            )  # fmt: skip
        self.last_error = cause
        self._on_lost(self, cause)
        # A broker that accepts and hangs up must not be called in a tight circle.
        await asyncio.sleep(self._reconnect_delay(0))

    async def _renew_login(self, connection: BrokerConnection) -> None:
        """Log in anew before the login ends; a connection whose login is refused is closed."""
        session = connection.session
        assert session is not None
        try:
            await self._connector.log_in(connection)
        except AuthenticationError as error:
            connection.abort(error)
        except ProducerError as error:
            if connection.closed.done():
                return
            # The credentials could not be had. There is time left to ask again.
            logger.warning(
                "[%s] %s; the login cannot be renewed",
                self._client_id,
                error,
                extra=event("login.not_renewed", self._client_id, broker=self.node_id),
            )
            left = session.ends_at - self._loop.time()
            if left <= 0:
                connection.abort(error)
                return
            delay = min(left, self._reconnect_delay(self._renewals_failed))
            self._renewals_failed += 1
            await asyncio.wait([connection.closed], timeout=delay)
        else:
            self._renewals_failed = 0

    def _on_room(self) -> None:
        if self._source is not None and self._connection is not None:
            self.schedule_drain()

    def _wake_ready(self, error: ProducerError | None) -> None:
        waiters, self._ready_waiters = self._ready_waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error.replica())

    def let_go(self) -> None:
        """Keep nobody waiting: the task is about to be cancelled, and may never have begun."""
        self._let_go = True
        self._wake_ready(self._closed_by_us())

    def _closed_by_us(self) -> ClusterConnectionError:
        return ClusterConnectionError(
            f"the connection to {self.address} was closed by this producer",
            addresses=(self.address,),
        )

    def _tear_down(self) -> None:
        self.let_go()
        if self._throttle_timer is not None:
            self._throttle_timer.cancel()
        if self._connection is not None:
            self._connection.abort(self._closed_by_us())
            self._connection = None


_REQUESTS_PER_WRITE = 64
"""A bound for acks=0, where no answer limits what is in flight."""

_BYTES_PER_WRITE = 1 << 19
"""After that many the loop has a turn: to make, check and copy them takes a millisecond or two."""
