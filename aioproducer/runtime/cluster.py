"""The cluster as this producer knows it: metadata refresh, one ConnectionManager per broker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aioproducer.config import ProducerConfig
from aioproducer.core.backoff import backoff_ms
from aioproducer.core.cluster_view import ClusterView
from aioproducer.core.meters import Meters
from aioproducer.errors import (
    AuthenticationError,
    BrokerError,
    ClusterConnectionError,
    ProducerError,
)
from aioproducer.runtime.bootstrap import bootstrap_addresses
from aioproducer.runtime.connection_manager import ConnectionManager, WorkSource
from aioproducer.runtime.events import EventLog, event
from aioproducer.runtime.handshake import SOFTWARE
from aioproducer.runtime.security import Security
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.version import __version__
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from aioproducer.wire.messages.metadata import Broker, MetadataRequest, MetadataResponse

logger = logging.getLogger("aioproducer")

_SHORTEST_AGE_MS = 10
"""Between metadata requests, whatever the settings say: 0 must not mean as fast as brokers can."""


class Cluster:
    """Keeps the view fresh and the brokers' tasks alive; ``run`` is the metadata task."""

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
        on_view: Callable[[ClusterView, Iterable[str]], None],
        on_forgotten: Callable[[Iterable[str]], None],
        on_replaced: Callable[[], None] = lambda: None,
        on_refused: Callable[[AuthenticationError, int | None], None],
        security: Security,
    ) -> None:
        self.view = ClusterView()
        self.last_error: ProducerError | None = None
        self._config = config
        self._client_id = client_id
        self._supervisor = supervisor
        self._rng = rng
        self.watch = watch
        self._meters = meters
        self._events = events
        self._on_view = on_view
        self._on_forgotten = on_forgotten
        self._on_replaced = on_replaced
        # Called with the broker that refused us, None when all did.
        self._on_refused = on_refused
        self._security = security
        self._source: WorkSource | None = None
        self._loop = asyncio.get_running_loop()
        self._managers: dict[int, ConnectionManager] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._topics: dict[str, float] = {}
        self._fresh: set[str] = set()
        self._update_wanted = asyncio.Event()
        self._refreshed_at: float | None = None
        self._asked_at = float("-inf")
        self._trying_since: float | None = None
        self._attempt = 0
        self._warned = False
        self._next_bootstrap_id = -1
        # What the cluster has finalized (KIP-584), of the newest answer by its epoch.
        self.finalized_features: Mapping[str, int] = {}
        self._features_epoch = -1
        self._features_at = float("-inf")
        self._refused = False

    def attach(self, source: WorkSource) -> None:
        """Tell where managers get produce requests; before :meth:`run`."""
        self._source = source

    # What others ask for

    def track(self, topic: str, now: float) -> None:
        """Keep ``topic`` in the metadata; a new one is asked for at once (KIP-526)."""
        if topic not in self._topics:
            self._fresh.add(topic)
            self._update_wanted.set()
        self._topics[topic] = now

    def request_update(self, topic: str | None = None) -> None:
        """Have the metadata refreshed soon, backing off if that was just done."""
        if topic is not None:
            # Who asks about a topic uses it: else one without a leader for long were forgotten.
            self._topics[topic] = self._loop.time()
            self._fresh.add(topic)
        self._update_wanted.set()

    def apply_hint(self, topic: str, index: int, leader: int, epoch: int, nodes: Any) -> bool:
        """Move a partition to the leader that a produce answer named (KIP-951)."""
        view = self.view.with_leader(topic, index, leader, epoch, nodes)
        if view is None:
            return False
        self._adopt(view, (topic,))
        return True

    def manager(self, node_id: int) -> ConnectionManager | None:
        """Return the manager of a known broker."""
        return self._managers.get(node_id)

    def managers(self) -> Mapping[int, ConnectionManager]:
        """Return the managers of all brokers by node id; bootstrap addresses have negative ones."""
        return self._managers

    @property
    def refreshed_at(self) -> float | None:
        """When the metadata was last refreshed as a whole, ``None`` if never or on order."""
        return self._refreshed_at

    def stalled_nodes(self, seconds: float) -> frozenset[int]:
        """Return the brokers to which ready batches could not be written for that long."""
        limit = self._loop.time() - seconds
        return frozenset(
            node_id
            for node_id, manager in self._managers.items()
            if manager.stalled_since is not None and manager.stalled_since < limit
        )

    def trouble(self) -> ProducerError | None:
        """Return why the cluster does not answer, ``None`` if it does."""
        managers = self._managers.values()
        if self.last_error is not None or not managers or any(m.is_connected for m in managers):
            return self.last_error
        addresses = tuple(dict.fromkeys(manager.address for manager in managers))
        return ClusterConnectionError(
            f"still connecting to {', '.join(addresses)}: no answer yet", addresses=addresses
        )

    @property
    def is_cut_off(self) -> bool:
        """Whether no broker is connected although one is wanted; a resting producer needs none."""
        brokers = [manager for node_id, manager in self._managers.items() if node_id >= 0]
        if any(manager.is_connected for manager in brokers):
            return False
        if any(_is_out_of_reach(manager) for manager in brokers):
            # The address to begin with may answer where the brokers' own ones do not.
            return True
        if any(manager.is_connected for manager in self._managers.values()):
            return False
        return self._trying_since is not None or self._update_wanted.is_set()

    def requests_in_flight(self) -> int:
        """Return how many requests await their answer."""
        return sum(manager.in_flight for manager in self._managers.values())

    async def connect(self, node_ids: Iterable[int]) -> None:
        """Connect to these brokers; raises if one cannot be reached. The caller bounds the wait."""
        managers = [m for n in node_ids if (m := self._managers.get(n)) is not None]
        await asyncio.gather(*(self._readiness(manager) for manager in managers))

    def unconnected(self, node_ids: Iterable[int]) -> list[str]:
        """Return the addresses of those among these brokers that are not connected."""
        managers = [m for n in node_ids if (m := self._managers.get(n)) is not None]
        return [manager.address for manager in managers if not manager.is_connected]

    async def request_any(self, request: Any) -> Any:
        """Send ``request`` to the least loaded broker that can be reached and return its answer.

        Raises :exc:`ClusterConnectionError` naming every address tried. Cancelling abandons the
        wait only.
        """
        manager = await self.any_ready()
        return await manager.request(request)

    async def refresh_features(self, now: float) -> None:
        """Ask what the cluster has finalized, if no broker said so for metadata.max.age.ms."""
        if now - self._features_at < self._config.metadata_max_age_ms / 1000:
            return
        # Once in that time, whether or not it is answered.
        self._features_at = now
        self._learn_features(await self.request_any(ApiVersionsRequest(SOFTWARE, __version__)))

    def _learn_features(self, answer: ApiVersionsResponse) -> None:
        self._features_at = self._loop.time()
        if answer.finalized_features_epoch >= self._features_epoch:
            self._features_epoch = answer.finalized_features_epoch
            self.finalized_features = answer.finalized_features

    # The metadata task

    async def run(self) -> None:
        """Refresh the metadata when asked, when it is old, and until the cluster answers."""
        while True:
            await self._wait_until_due()
            self._update_wanted.clear()
            if self._trying_since is None:
                self._trying_since = self._loop.time()
            try:
                await self._refresh()
            except (ProducerError, TimeoutError) as error:
                self._note_failure(error)
                self._refused = isinstance(error, AuthenticationError)
                if isinstance(error, AuthenticationError):
                    self._on_refused(error, None)
                await self._pause()
                if not self._refused:
                    self._update_wanted.set()
            else:
                self._refused = False

    async def _wait_until_due(self) -> None:
        config = self._config
        if self._refused:
            # Knocking again is for when somebody wants in: accounts are locked for less.
            await self._update_wanted.wait()
            return
        # However short the age: no faster than retries are.
        age = max(config.metadata_max_age_ms, config.retry_backoff_ms, _SHORTEST_AGE_MS) / 1000
        if self._refreshed_at is not None:
            left = self._refreshed_at + age - self._loop.time()
            try:
                async with asyncio.timeout(max(left, 0)):
                    await self._update_wanted.wait()
            except TimeoutError:
                return
            if not self._fresh - set(self.view.topics):
                # Only a topic never asked for skips the backoff between refreshes.
                await self._pause()

    async def _pause(self) -> None:
        """Wait out what is left of the backoff since the last request."""
        config = self._config
        since = self._loop.time() - self._asked_at
        if since * 1000 > config.retry_backoff_max_ms:
            self._attempt = 0
        delay = backoff_ms(
            config.retry_backoff_ms, config.retry_backoff_max_ms, self._attempt, self._rng
        )
        self._attempt += 1
        await asyncio.sleep(max(0.0, max(delay, _SHORTEST_AGE_MS) / 1000 - since))

    async def _refresh(self) -> None:
        now = self._loop.time()
        age = self._config.metadata_max_age_ms / 1000
        whole = self._refreshed_at is None or now - self._refreshed_at >= age
        self._forget_idle(now)
        unknown = self._fresh - set(self.view.topics)
        asked = tuple(sorted(unknown if unknown and not whole else set(self._topics)))
        request = MetadataRequest(
            topics=asked, allow_auto_topic_creation=self._config.allow_auto_create_topics
        )
        self._asked_at = now
        response = await self.request_any(request)
        assert isinstance(response, MetadataResponse)
        if response.error_code == ErrorCode.REBOOTSTRAP_REQUIRED:
            self._rebootstrap()
            raise ClusterConnectionError("the cluster asked for a new bootstrap")
        if not response.brokers:
            raise ClusterConnectionError("the metadata answer names no broker")
        before = self.view
        self._fresh -= set(asked)
        if self._fresh:
            # Known topics that somebody asked about beside the new ones.
            self._update_wanted.set()
        if whole or not unknown:
            self._refreshed_at = now
        self._trying_since = None
        self.last_error = None
        if self._warned:
            self._warned = False
            self._events.say(
                logging.INFO, "cluster.reachable", "the cluster answers again",
                cluster_id=response.cluster_id,
            )  # fmt: skip
        view = before.updated_by(response)
        if view != before:
            # Equivalent answers back off further and further (KIP-580).
            self._attempt = 0
        if before.is_replaced_by(response):
            self._meet_another_cluster(before, view)
        self._adopt(view, asked)
        self._chase_incomplete(view, asked)

    def _meet_another_cluster(self, before: ClusterView, view: ClusterView) -> None:
        """Ask about all topics again: what was known of them was another cluster's."""
        logger.warning(
            "[%s] cluster %s has been replaced by %s; records go to that from now on",
            self._client_id,
            before.cluster_id,
            view.cluster_id,
            extra=event(
                "cluster.replaced", self._client_id, before=before.cluster_id, now=view.cluster_id
            ),
        )
        self._refreshed_at = None
        self._update_wanted.set()
        self._on_replaced()

    def _chase_incomplete(self, view: ClusterView, asked: Iterable[str]) -> None:
        """Ask again for topics that are still being created or elected."""
        for name in asked:
            topic = view.topics.get(name)
            if name in self._topics and (topic is None or not topic.is_known or topic.error_code):
                self._update_wanted.set()

    def _forget_idle(self, now: float) -> None:
        idle = self._config.metadata_max_idle_ms / 1000
        gone = [name for name, used in self._topics.items() if now - used > idle]
        for name in gone:
            del self._topics[name]
        if gone:
            self.view = self.view.without_topics(gone)
            self._on_forgotten(gone)

    def _adopt(self, view: ClusterView, topics: Iterable[str]) -> None:
        self.view = view
        for broker in view.brokers.values():
            self._keep_manager(broker)
        for node_id in [n for n in self._managers if n >= 0 and n not in view.brokers]:
            # A broker on its way out may still answer what it was asked.
            if not self._managers[node_id].in_flight:
                self._drop_manager(node_id)
        self._drop_bootstrap()
        self._on_view(view, topics)

    def _drop_bootstrap(self) -> None:
        """End the connections of the beginning once a broker of the cluster is connected."""
        if any(m.is_connected for n, m in self._managers.items() if n >= 0):
            for node_id, manager in list(self._managers.items()):
                if node_id < 0 and not manager.in_flight:
                    self._drop_manager(node_id)

    # Managers

    def _keep_manager(self, broker: Broker) -> None:
        known = self._managers.get(broker.node_id)
        if known is not None and (known.host, known.port) != (broker.host, broker.port):
            self._drop_manager(broker.node_id)
            known = None
        if known is None:
            self._add_manager(broker.node_id, broker.host, broker.port)

    def _add_manager(self, node_id: int, host: str, port: int) -> ConnectionManager:
        manager = ConnectionManager(
            node_id,
            host,
            port,
            config=self._config,
            client_id=self._client_id,
            rng=self._rng,
            meter=self._meters.node(node_id, self._loop.time()),
            events=self._events,
            watch=self.watch,
            source=self._source if node_id >= 0 else None,
            on_connected=self._connected,
            on_lost=self._manager_lost,
            on_refused=self._manager_refused,
            security=self._security,
        )
        self._managers[node_id] = manager
        self._tasks[node_id] = self._supervisor.start(
            manager.run(), name=f"{self._client_id}:broker-{node_id}"
        )
        # Partitions may stand in line for a broker that was gone for a while.
        manager.schedule_drain()
        return manager

    def _drop_manager(self, node_id: int) -> None:
        self._managers.pop(node_id).let_go()
        if node_id < 0:
            self._meters.node_gone(node_id)
        self._supervisor.dismiss(self._tasks.pop(node_id))
        if self._source is not None and node_id >= 0:
            self._source.node_gone(node_id)

    def _connected(self, answer: ApiVersionsResponse) -> None:
        self._learn_features(answer)
        if self._refused:
            # The refresh waited for somebody to be let in again.
            self._update_wanted.set()
        # Soon: the manager that calls this is about to be connected.
        self._loop.call_soon(self._drop_bootstrap)

    def _manager_lost(self, manager: ConnectionManager, error: ProducerError) -> None:
        if manager.node_id >= 0:
            self.request_update()

    def _manager_refused(self, manager: ConnectionManager, error: AuthenticationError) -> None:
        if manager.node_id >= 0:
            self._on_refused(error, manager.node_id)

    async def any_ready(self) -> ConnectionManager:
        """Return the least loaded connected manager, or the first that connects."""
        connected = [m for m in self._managers.values() if m.is_connected]
        if connected:
            self._rng.shuffle(connected)
            return min(connected, key=lambda each: (each.is_throttled, each.in_flight))
        self._maybe_rebootstrap()
        candidates = list(self._managers.values()) or await self._add_bootstrap()
        if all(m.failures for m in candidates) and not any(n < 0 for n in self._managers):
            candidates += await self._add_bootstrap()
        return await self._first_ready(candidates)

    async def _first_ready(self, candidates: list[ConnectionManager]) -> ConnectionManager:
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

    def _readiness(self, manager: ConnectionManager) -> asyncio.Task[None]:
        # A Task of asyncio's own: the application's task factory may do as it likes with others.
        name = f"{self._client_id}:ready-{manager.node_id}"
        return asyncio.Task(manager.ready(), loop=self._loop, name=name)

    async def _add_bootstrap(self) -> list[ConnectionManager]:
        added = []
        for host, port in await bootstrap_addresses(self._config):
            added.append(self._add_manager(self._next_bootstrap_id, host, port))
            self._next_bootstrap_id -= 1
        return added

    def _maybe_rebootstrap(self) -> None:
        """Start over from the bootstrap list when no answer came for too long (KIP-1102)."""
        config = self._config
        if config.metadata_recovery_strategy != "rebootstrap" or self._trying_since is None:
            return
        waited_ms = (self._loop.time() - self._trying_since) * 1000
        if waited_ms >= config.metadata_recovery_rebootstrap_trigger_ms:
            self._rebootstrap()

    def _rebootstrap(self) -> None:
        for node_id in list(self._managers):
            self._drop_manager(node_id)
        self._trying_since = None

    def _note_failure(self, error: BaseException) -> None:
        if isinstance(error, ProducerError):
            self.last_error = error
        else:
            self.last_error = ClusterConnectionError("the metadata request timed out")
        if isinstance(error, BrokerError) or self._warned:
            logger.debug("[%s] metadata refresh failed: %s", self._client_id, error)
        elif isinstance(error, AuthenticationError):
            self._warned = True
            logger.error(
                "[%s] %s. %s",
                self._client_id,
                error,
                error.what_next,
                extra=event("login.refused", self._client_id, addresses=error.addresses),
            )
        else:
            self._warned = True
            logger.warning(
                "[%s] %s; still trying",
                self._client_id,
                self.last_error,
                extra=event("cluster.unreachable", self._client_id, error=str(self.last_error)),
            )


def _is_out_of_reach(manager: ConnectionManager) -> bool:
    """Return whether a broker refused us, or could not be reached with what waits for it."""
    waits = manager.stalled_since is not None
    return isinstance(manager.last_error, AuthenticationError) or (waits and manager.failures > 0)


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
