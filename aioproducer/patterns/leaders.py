"""Which broker leads which partition, as a producer knows it, looked up for every record."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from aioproducer import ProducerError
from aioproducer.patterns.wrapper import ProducerWrapper

K = TypeVar("K")

FRESH_SECONDS = 0.5
"""How long an answer is used: a new leader is seen this much later."""

_MOST_TOPICS = 1_000


class Leaders(Generic[K]):
    """Leaders by partition; brokers are named by their ids, as text."""

    def __init__(self, producer: ProducerWrapper[K, Any]) -> None:
        self._producer = producer
        self._known: dict[str, tuple[float, tuple[str | None, ...]]] = {}
        # An own partitioner may want more than the key, and means something by its choice.
        self._is_own = not isinstance(producer.config.partitioner, str | None)

    def partition_of_key(self, topic: str, key: K) -> int | None:
        """Return where a key leads to, ``None`` while that is not known."""
        if self._is_own:
            return None
        try:
            return self._producer.partition_for(topic, key)
        except (ProducerError, TypeError, ValueError):
            # send() says what is wrong with it.
            return None

    def leader(self, topic: str, partition: int, now: float) -> str | None:
        """Return who leads a partition, ``None`` if nobody does or it is not known."""
        leaders = self._of(topic, now)
        return leaders[partition] if 0 <= partition < len(leaders) else None

    def all(self, topic: str, now: float) -> set[str]:
        """Return all who lead a partition of the topic."""
        return {leader for leader in self._of(topic, now) if leader is not None}

    def steer(self, topic: str, node: str, now: float) -> int | None:
        """Return a partition that ``node`` leads, for a record that may go anywhere."""
        leaders = self._of(topic, now)
        return leaders.index(node) if not self._is_own and node in leaders else None

    def _of(self, topic: str, now: float) -> tuple[str | None, ...]:
        known = self._known.get(topic)
        if known is not None and now < known[0]:
            return known[1]
        leaders = tuple(
            None if info.leader is None else str(info.leader)
            for info in self._producer.known_partitions(topic)
        )
        if len(self._known) >= _MOST_TOPICS:
            self._known.clear()
        if leaders:
            self._known[topic] = (now + FRESH_SECONDS, leaders)
        return leaders
