"""The brokers: a ConnectionManager for each, made and let go as the metadata says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping

from aioproducer.config import ProducerConfig
from aioproducer.core.meters import Meters
from aioproducer.errors import AuthenticationError, ClusterConnectionError, ProducerError
from aioproducer.runtime.bootstrap import bootstrap_addresses
from aioproducer.runtime.connection_manager import ConnectionManager, WorkSource
from aioproducer.runtime.events import EventLog
from aioproducer.runtime.security import Security
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.wire.messages.api_versions import ApiVersionsResponse
from aioproducer.wire.messages.metadata import Broker


class Brokers:
    """Owns the managers and their tasks, and finds one that can be asked.

    ``managers`` has them by node id; the addresses to begin with have negative ones. ``source``,
    where produce requests come from, is set before the first is made.
    """

    def __init__(
        self,
        config: ProducerConfig,
        client_id: str,
        supervisor: Supervisor,
        rng: random.Random,
        *,
        meters: Meters,
        events: EventLog,
        watch: StallWatch,
        security: Security,
        on_connected: Callable[[ApiVersionsResponse], None],
        on_lost: Callable[[], None],
        on_refused: Callable[[AuthenticationError, int], None],
    ) -> None:
        self.managers: dict[int, ConnectionManager] = {}
        self.source: WorkSource | None = None
        self._config = config
        self._client_id = client_id
        self._supervisor = supervisor
        self._rng = rng
        self._meters = meters
        self._events = events
        self._watch = watch
        self._security = security
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._next_bootstrap_id = -1

    # Which there are

    def update(self, brokers: Mapping[int, Broker]) -> None:
        """Have a manager for each of these brokers, and for no other that owes no answer."""
        for broker in brokers.values():
            self._keep(broker)
        for node_id in [n for n in self.managers if n >= 0 and n not in brokers]:
            # A broker on its way out may still answer what it was asked.
            if not self.managers[node_id].in_flight:
                self.drop(node_id)
        self._drop_bootstrap()

    def _keep(self, broker: Broker) -> None:
        known = self.managers.get(broker.node_id)
        if known is not None and (known.host, known.port) != (broker.host, broker.port):
            self.drop(broker.node_id)
            known = None
        if known is None:
            self._add(broker.node_id, broker.host, broker.port)

    def _add(self, node_id: int, host: str, port: int) -> ConnectionManager:
        manager = self._make(node_id, host, port)
        self.managers[node_id] = manager
        self._tasks[node_id] = self._supervisor.start(
            manager.run(), name=f"{self._client_id}:broker-{node_id}"
        )
        # Partitions may stand in line for a broker that was gone for a while.
        manager.schedule_drain()
        return manager

    def _make(
        self, node_id: int, host: str, port: int, make: type[ConnectionManager] = ConnectionManager
    ) -> ConnectionManager:
        return make(
            node_id,
            host,
            port,
            config=self._config,
            client_id=self._client_id,
            rng=self._rng,
            meter=self._meters.node(node_id, self._loop.time()),
            events=self._events,
            watch=self._watch,
            source=self.source if node_id >= 0 else None,
            on_connected=self._connected,
            on_lost=self._lost,
            on_refused=self._refused,
            security=self._security,
        )

    def drop(self, node_id: int) -> None:
        """Let go of a broker's manager and end its task."""
        self.managers.pop(node_id).let_go()
        if node_id < 0:
            self._meters.node_gone(node_id)
        self._supervisor.dismiss(self._tasks.pop(node_id))
        if self.source is not None and node_id >= 0:
            self.source.node_gone(node_id)

    def drop_all(self) -> None:
        """Let go of all, to start over from the addresses to begin with."""
        for node_id in list(self.managers):
            self.drop(node_id)

    def _drop_bootstrap(self) -> None:
        """End the connections of the beginning once a broker of the cluster is connected."""
        if any(m.is_connected for n, m in self.managers.items() if n >= 0):
            for node_id, manager in list(self.managers.items()):
                if node_id < 0 and not manager.in_flight:
                    self.drop(node_id)

    async def _add_bootstrap(self) -> list[ConnectionManager]:
        added = []
        for host, port in await bootstrap_addresses(self._config):
            added.append(self._add(self._next_bootstrap_id, host, port))
            self._next_bootstrap_id -= 1
        return added

    # What managers tell

    def _connected(self, answer: ApiVersionsResponse) -> None:
        self._on_connected(answer)
        # Soon: the manager that calls this is about to be connected.
        self._loop.call_soon(self._drop_bootstrap)

    def _lost(self, manager: ConnectionManager, error: ProducerError) -> None:
        if manager.node_id >= 0:
            self._on_lost()

    def _refused(self, manager: ConnectionManager, error: AuthenticationError) -> None:
        if manager.node_id >= 0:
            self._on_refused(error, manager.node_id)

    # Which can be asked

    def least_loaded(self) -> ConnectionManager | None:
        """Return the least loaded connected manager, ``None`` if none is connected."""
        connected = [m for m in self.managers.values() if m.is_connected]
        if not connected:
            return None
        self._rng.shuffle(connected)
        return min(connected, key=lambda each: (each.is_throttled, each.in_flight))

    async def first_ready(self) -> ConnectionManager:
        """Return the first manager that connects.

        Raises :exc:`ClusterConnectionError` naming every address tried. Cancelling abandons the
        wait only.
        """
        candidates = list(self.managers.values()) or await self._add_bootstrap()
        if (
            self._config.metadata_recovery_strategy == "rebootstrap"
            and all(m.failures for m in candidates)
            and not any(n < 0 for n in self.managers)
        ):
            candidates += await self._add_bootstrap()
        attempts = {self._readiness(m): m for m in candidates}
        pending = set(attempts)
        reasons: list[ProducerError] = []
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                # Every outcome is looked at, or asyncio reports a failure that nobody retrieved.
                outcomes = [(attempts[attempt], attempt.exception()) for attempt in done]
                for manager, error in outcomes:
                    if error is None:
                        return manager
                    assert isinstance(error, ProducerError)
                    reasons.append(error)
        finally:
            for attempt in pending:
                attempt.cancel()
        raise _nobody_ready(candidates, reasons)

    async def connect(self, node_ids: Iterable[int]) -> None:
        """Connect to these brokers; raises if one cannot be reached. The caller bounds the wait."""
        managers = [m for n in node_ids if (m := self.managers.get(n)) is not None]
        await asyncio.gather(*(self._readiness(manager) for manager in managers))

    def _readiness(self, manager: ConnectionManager) -> asyncio.Task[None]:
        # A Task of asyncio's own: the application's task factory may do as it likes with others.
        name = f"{self._client_id}:ready-{manager.node_id}"
        return asyncio.Task(manager.ready(), loop=self._loop, name=name)

    # How they fare

    def unconnected(self, node_ids: Iterable[int]) -> list[str]:
        """Return the addresses of those among these brokers that are not connected."""
        managers = [m for n in node_ids if (m := self.managers.get(n)) is not None]
        return [manager.address for manager in managers if not manager.is_connected]

    def stalled(self, since: float) -> frozenset[int]:
        """Return the brokers to which ready batches could not be written from then on."""
        return frozenset(
            node_id
            for node_id, manager in self.managers.items()
            if manager.stalled_since is not None and manager.stalled_since < since
        )

    def requests_in_flight(self) -> int:
        """Return how many requests await their answer."""
        return sum(manager.in_flight for manager in self.managers.values())


def _nobody_ready(
    candidates: list[ConnectionManager], reasons: list[ProducerError]
) -> ClusterConnectionError:
    """Return why no broker can be asked; one that refuses us counts more than one that is away."""
    addresses = tuple(dict.fromkeys(manager.address for manager in candidates))
    refusals = [reason for reason in reasons if isinstance(reason, AuthenticationError)]
    if not refusals:
        words = "; ".join(dict.fromkeys(str(reason) for reason in reasons))
        error = ClusterConnectionError(f"no broker can be reached: {words}", addresses=addresses)
        error.__cause__ = reasons[0]
        return error
    # One says it all: the brokers of a cluster are set up alike.
    refusal = refusals[0].replica()
    refusal.addresses = addresses
    return refusal
