"""The cluster of a FakeProducer: the one part of a producer that it has of its own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

from aioproducer.errors import ProducerError
from aioproducer.runtime.brokers import Brokers
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.connection_manager import ConnectionManager
from aioproducer.runtime.sender import Sender
from aioproducer.testing.fake.broker import FEATURES, FakeBroker


class FakeManager(ConnectionManager):
    """Hands requests to the FakeBroker instead of a connection; it has no task."""

    broker: FakeBroker

    @property
    def is_connected(self) -> bool:
        """Always."""
        return True

    @property
    def in_flight(self) -> int:
        """How many records are not answered."""
        return len(self.broker.outstanding)

    def _drain(self) -> None:
        self._drain_scheduled = False
        self.take()

    def take(self) -> None:
        """Take all that the producer has ready."""
        source = self._source
        while source is not None and (work := source.next_work(self.node_id)) is not None:
            request = cast("Any", work)
            self.broker.arrive(cast("Sender", source), request._exchange, request._sent_at)

    async def request(
        self, request: Any, *, at_most: int | None = None, at_least: int | None = None
    ) -> Any:
        """Return the broker's answer."""
        return self.broker.answer(request)

    async def ready(self) -> None:
        """Return: it is connected."""


class FakeBrokers(Brokers):
    """The one broker of a FakeProducer."""

    def __init__(self, broker: FakeBroker, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._broker = broker

    def least_loaded(self) -> ConnectionManager:
        """Return the one manager."""
        (manager,) = self.managers.values()
        return manager

    def _add(self, node_id: int, host: str, port: int) -> ConnectionManager:
        manager = self._make(node_id, host, port, FakeManager)
        assert isinstance(manager, FakeManager)
        manager.broker = self._broker
        manager.connected_at = self._loop.time()
        self._broker.take = manager.take
        self.managers[node_id] = manager
        manager.schedule_drain()
        return manager


class FakeCluster(Cluster):
    """Metadata and managers as ever, with a FakeBroker behind them."""

    def __init__(self, broker: FakeBroker, *args: Any, **named: Any) -> None:
        super().__init__(*args, make_brokers=partial(FakeBrokers, broker), **named)
        self._broker = broker
        self.finalized_features = FEATURES

    def arrive(self, topics: Iterable[str] = ()) -> None:
        """Know the broker, and these topics, without having asked."""
        names = tuple(topics)
        self._adopt(self.view.updated_by(self._broker.metadata(names)), names)

    def learn(self, topic: str) -> None:
        """Know a topic that is there before its first record comes."""
        known = self.view.topics.get(topic)
        count = self._broker.partitions(topic)
        if count and (known is None or len(known.partitions) < count):
            self._topics[topic] = self._loop.time()
            self.arrive([topic])

    async def request_any(self, request: Any) -> Any:
        """Return the broker's answer."""
        return self._broker.answer(request)

    def trouble(self) -> ProducerError | None:
        """Return nothing: a record that is open waits for the test."""
        return None
