"""Answers about topics, for callers that wait for metadata without sending."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aioproducer.core.cluster_view import ClusterView, TopicView
from aioproducer.errors import MetadataTimeoutError, ProducerError, because
from aioproducer.records import PartitionInfo
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.topic_errors import topic_error


class TopicDirectory:
    """Who waits for which topic's metadata."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[str, list[asyncio.Future[TopicView]]] = {}

    async def known(self, topic: str) -> TopicView:
        """Return the topic's view once its partitions are known; the caller bounds the wait.

        Raises the cluster's error for a topic that may not be used.
        """
        self._cluster.track(topic, self._loop.time())
        view = self._cluster.view.topics.get(topic)
        if view is not None and view.is_known:
            return view
        waiter: asyncio.Future[TopicView] = self._loop.create_future()
        self._waiters.setdefault(topic, []).append(waiter)
        self._cluster.request_update(topic)
        try:
            return await waiter
        finally:
            waiters = self._waiters.get(topic, [])
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self._waiters.pop(topic, None)

    async def partitions(self, topic: str, limit: float) -> tuple[PartitionInfo, ...]:
        """Do what :meth:`AsyncProducer.partitions_for` promises, within ``limit`` seconds."""
        try:
            async with self._cluster.watch.timeout(limit):
                view = await self.known(topic)
        except TimeoutError as error:
            cause = self._cluster.trouble() or self._refusal(topic)
            raise MetadataTimeoutError(
                f"topic {topic} not present in metadata after {limit:g} s{because(cause)}",
                topic=topic,
            ) from (cause or error)
        return _infos(view)

    def known_partitions(self, topic: str) -> tuple[PartitionInfo, ...]:
        """Return what is known of the topic's partitions now."""
        view = self._cluster.view.topics.get(topic)
        return () if view is None else _infos(view)

    async def warm_up(self, topics: Iterable[str], limit: float) -> None:
        """Do what :meth:`AsyncProducer.warm_up` promises, within ``limit`` seconds."""
        deadline = self._loop.time() + limit
        found = await asyncio.gather(*(self.partitions(topic, limit) for topic in topics))
        leaders = {info.leader for infos in found for info in infos if info.leader is not None}
        try:
            async with self._cluster.watch.timeout(deadline - self._loop.time()):
                await self._cluster.brokers.connect(leaders)
        except TimeoutError as error:
            missing = ", ".join(self._cluster.brokers.unconnected(leaders))
            raise MetadataTimeoutError(
                f"the leaders at {missing} could not be connected to within {limit:g} s"
                f"{because(self._cluster.trouble())}"
            ) from error

    def _refusal(self, topic: str) -> ProducerError | None:
        """Return what the cluster says of ``topic`` instead of its partitions."""
        view = self._cluster.view.topics.get(topic)
        return topic_error(view, also_passing=True) if view is not None else None

    def view_changed(self, view: ClusterView, topics: Iterable[str]) -> None:
        """Answer those who waited for ``topics``."""
        for name in topics:
            topic = view.topics.get(name)
            if topic is None:
                continue
            error = topic_error(topic)
            if not topic.is_known and error is None:
                continue
            for waiter in self._waiters.pop(name, ()):
                if waiter.done():
                    continue
                if topic.is_known:
                    waiter.set_result(topic)
                elif error is not None:
                    waiter.set_exception(error.replica())

    def fail_all(self, error: ProducerError) -> None:
        """Let nobody wait any longer."""
        groups, self._waiters = self._waiters, {}
        for waiters in groups.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error.replica())


def _infos(view: TopicView) -> tuple[PartitionInfo, ...]:
    return tuple(
        PartitionInfo(
            view.name, p.index, p.leader if p.leader >= 0 else None,
            p.replicas, p.in_sync_replicas, p.offline_replicas,
        )
        for p in view.partitions
    )  # fmt: skip
