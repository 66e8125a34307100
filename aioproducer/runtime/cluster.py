"""The cluster as this producer knows it: metadata, refreshed when asked, when old, when lost."""

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
from aioproducer.runtime.brokers import Brokers
from aioproducer.runtime.connection_manager import ConnectionManager, WorkSource
from aioproducer.runtime.events import EventLog, event
from aioproducer.runtime.handshake import SOFTWARE
from aioproducer.runtime.security import Security
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.runtime.topic_errors import topic_error
from aioproducer.version import __version__
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from aioproducer.wire.messages.metadata import MetadataRequest, MetadataResponse

logger = logging.getLogger("aioproducer")

_SHORTEST_AGE_MS = 10
"""Between metadata requests, whatever the settings say: 0 must not mean as fast as brokers can."""


class Cluster:
    """Keeps the view fresh, and ``brokers`` in step with it; ``run`` is the metadata task."""

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
        make_brokers: Callable[..., Brokers] = Brokers,
    ) -> None:
        self.view = ClusterView()
        self.last_error: ProducerError | None = None
        self._config = config
        self._client_id = client_id
        self._rng = rng
        self.watch = watch
        self._events = events
        self._on_view = on_view
        self._on_forgotten = on_forgotten
        self._on_replaced = on_replaced
        # Called with the broker that refused us, None when all did.
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self.brokers = make_brokers(
            config,
            client_id,
            supervisor,
            rng,
            meters=meters,
            events=events,
            watch=watch,
            security=security,
            on_connected=self._connected,
            on_lost=self.request_update,
            on_refused=on_refused,
        )
        # Asked for each batch: without a call in between.
        self._managers = self.brokers.managers
        self._topics: dict[str, float] = {}
        self._fresh: set[str] = set()
        self._update_wanted = asyncio.Event()
        self._refreshed_at: float | None = None
        self._asked_at = float("-inf")
        self._trying_since: float | None = None
        self._attempt = 0
        self._warned = False
        # What the cluster has finalized (KIP-584), of the newest answer by its epoch.
        self.finalized_features: Mapping[str, int] = {}
        self._features_epoch = -1
        self._features_at = float("-inf")
        self._refused = False

    def attach(self, source: WorkSource) -> None:
        """Tell where managers get produce requests; before :meth:`run`."""
        self.brokers.source = source

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
        return self.brokers.stalled(self._loop.time() - seconds)

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

    async def request_any(self, request: Any) -> Any:
        """Send ``request`` to the least loaded broker that can be reached and return its answer.

        Raises :exc:`ClusterConnectionError` naming every address tried. Cancelling abandons the
        wait only.
        """
        manager = await self.any_ready()
        return await manager.request(request)

    async def any_ready(self) -> ConnectionManager:
        """Return the least loaded connected manager, or the first that connects."""
        manager = self.brokers.least_loaded()
        if manager is not None:
            return manager
        self._maybe_rebootstrap()
        return await self.brokers.first_ready()

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
            if not self._refused:
                # Also if brokers can be reached: they may be none that tell about the cluster.
                self._maybe_rebootstrap()
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
            if self._config.metadata_recovery_strategy == "rebootstrap":
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
            if topic is not None and topic_error(topic) is not None:
                # That lasts; whoever sends to it again asks again.
                continue
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
        self.brokers.update(view.brokers)
        self._on_view(view, topics)

    def _connected(self, answer: ApiVersionsResponse) -> None:
        self._learn_features(answer)
        if self._refused:
            # The refresh waited for somebody to be let in again.
            self._update_wanted.set()

    def _maybe_rebootstrap(self) -> None:
        """Start over from the bootstrap list when no answer came for too long (KIP-1102)."""
        config = self._config
        if config.metadata_recovery_strategy != "rebootstrap" or self._trying_since is None:
            return
        waited_ms = (self._loop.time() - self._trying_since) * 1000
        if waited_ms >= config.metadata_recovery_rebootstrap_trigger_ms:
            self._rebootstrap()

    def _rebootstrap(self) -> None:
        self.brokers.drop_all()
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
