"""Asks brokers, one question at a time, on connections of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import TypeVar

from aioproducer.config import ProducerConfig
from aioproducer.core.meters import NodeSample
from aioproducer.core.sampling import Meter
from aioproducer.errors import ClusterConnectionError, ProducerError
from aioproducer.runtime.bootstrap import bootstrap_addresses
from aioproducer.runtime.broker_connection import BrokerConnection
from aioproducer.runtime.connector import Connector
from aioproducer.runtime.security import Security
from aioproducer.runtime.stall import StallWatch
from aioproducer.wire.messages import Request, Response
from aioproducer.wire.messages.metadata import Broker
from aioproducer.wire.versions import negotiate

_R = TypeVar("_R", bound=Response)
_Address = tuple[str, int]


class Inquiry:
    """Connections for as long as questions are asked; ``close()`` ends them.

    Cancelling any of its coroutines abandons the question.
    """

    def __init__(self, config: ProducerConfig) -> None:
        self._config = config
        self._client_id = config.client_id or "aioproducer-doctor"
        self._security = Security(config)
        self._watch = StallWatch(self._client_id)
        self._rng = random.Random()
        self._meter = Meter(NodeSample, 1, 60.0, asyncio.get_running_loop().time())
        self._connections: dict[_Address, BrokerConnection] = {}
        self._brokers: dict[int, _Address] = {}
        self._first: _Address | None = None

    def learn(self, brokers: Iterable[Broker]) -> None:
        """Keep where the brokers of the cluster are."""
        self._brokers = {broker.node_id: (broker.host, broker.port) for broker in brokers}

    async def ask(
        self, request: Request[_R], node: int | None = None, *, at_least: int | None = None
    ) -> _R:
        """Return the answer of broker ``node``, or of the first one that lets us in.

        Raises :exc:`ProducerError` when the broker cannot be asked, or cannot understand.
        """
        address = await self._any() if node is None else self._brokers.get(node)
        if address is None:
            raise ClusterConnectionError(f"broker {node} is not among those of the cluster")
        connection = await self._connection(address)
        version = negotiate(request.API_KEY, connection.protocol.versions, at_least=at_least)
        answer = await connection.ask(request, version)
        assert isinstance(answer, request.Response)
        return answer

    def speaks(self, request: type[Request[Response]], version: int) -> bool:
        """Return whether the broker that was asked first knows that version of a request."""
        assert self._first is not None
        versions = self._connections[self._first].protocol.versions
        offered = versions.get(request.API_KEY)
        return offered is not None and offered.maximum >= version

    async def _any(self) -> _Address:
        if self._first is not None and self._connections[self._first].is_open:
            return self._first
        reasons: list[ProducerError] = []
        for address in await bootstrap_addresses(self._config):
            try:
                await self._connection(address)
            except ProducerError as error:
                reasons.append(error)
            else:
                self._first = address
                return address
        # One that lets us not in says more than one that is away.
        raise max(reasons, key=lambda error: not isinstance(error, ClusterConnectionError))

    async def _connection(self, address: _Address) -> BrokerConnection:
        connection = self._connections.get(address)
        if connection is None or not connection.is_open:
            connector = Connector(
                *address,
                config=self._config,
                client_id=self._client_id,
                rng=self._rng,
                meter=self._meter,
                watch=self._watch,
                security=self._security,
                on_room=lambda: None,
            )
            connection = self._connections[address] = await connector.connect(0)
        return connection

    def close(self) -> None:
        """End all connections."""
        for connection in self._connections.values():
            connection.abort(ClusterConnectionError("the check is over"))
        self._watch.close()
