"""An immutable picture of the cluster: brokers, topics, leaders and their epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.metadata import (
    Broker,
    MetadataResponse,
    PartitionMetadata,
    TopicMetadata,
)

NO_LEADER = -1
NO_EPOCH = -1
NO_TOPIC_ID = bytes(16)


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One partition: who leads it, since which epoch, who follows."""

    index: int
    leader: int = NO_LEADER
    leader_epoch: int = NO_EPOCH
    replicas: tuple[int, ...] = ()
    in_sync_replicas: tuple[int, ...] = ()
    offline_replicas: tuple[int, ...] = ()
    error_code: int = 0


@dataclass(frozen=True, slots=True)
class TopicView:
    """One topic. ``error_code`` is what the cluster said instead of partitions, 0 if nothing."""

    name: str
    topic_id: bytes = NO_TOPIC_ID
    partitions: tuple[PartitionView, ...] = ()
    error_code: int = 0
    available: tuple[int, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether records can be assigned to partitions of this topic."""
        return bool(self.partitions)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Everything metadata answers have told so far."""

    cluster_id: str | None = None
    brokers: Mapping[int, Broker] = field(default_factory=dict)
    topics: Mapping[str, TopicView] = field(default_factory=dict)

    def updated_by(self, response: MetadataResponse) -> ClusterView:
        """Return the view after ``response``: its brokers replace ours, its topics join ours.

        Of another cluster's answer nothing joins: its epochs cannot be compared with what we know.
        """
        brokers = {broker.node_id: broker for broker in response.brokers}
        topics = {} if self.is_replaced_by(response) else dict(self.topics)
        for topic in response.topics:
            topics[topic.name] = _merge_topic(topics.get(topic.name), topic, brokers)
        return ClusterView(
            cluster_id=response.cluster_id or self.cluster_id, brokers=brokers, topics=topics
        )

    def is_replaced_by(self, response: MetadataResponse) -> bool:
        """Return whether ``response`` comes from another cluster than this view."""
        theirs = response.cluster_id
        return bool(theirs and self.cluster_id) and theirs != self.cluster_id

    def with_leader(
        self, topic: str, index: int, leader: int, epoch: int, endpoints: Iterable[Broker] = ()
    ) -> ClusterView | None:
        """Return the view after a leader hint (KIP-951), ``None`` if the hint teaches nothing.

        A hint counts only with a newer epoch and a leader whose address is known.
        """
        known = self.topics.get(topic)
        if known is None or not 0 <= index < len(known.partitions):
            return None
        partition = known.partitions[index]
        brokers = {**self.brokers, **{broker.node_id: broker for broker in endpoints}}
        if epoch <= partition.leader_epoch or leader not in brokers:
            return None
        partitions = list(known.partitions)
        partitions[index] = replace(partition, leader=leader, leader_epoch=epoch)
        changed = replace(known, partitions=tuple(partitions), available=_available(partitions))
        return replace(self, brokers=brokers, topics={**self.topics, topic: changed})

    def without_topics(self, names: Iterable[str]) -> ClusterView:
        """Return the view without topics that nobody has used for long."""
        gone = set(names)
        return replace(
            self, topics={name: view for name, view in self.topics.items() if name not in gone}
        )

    def leader_of(self, topic: str, index: int) -> int:
        """Return the leader's node id, -1 where none is known."""
        known = self.topics.get(topic)
        if known is None or not 0 <= index < len(known.partitions):
            return NO_LEADER
        return known.partitions[index].leader


def _merge_topic(
    known: TopicView | None, fresh: TopicMetadata, brokers: Mapping[int, Broker]
) -> TopicView:
    if fresh.error_code not in (ErrorCode.NONE, ErrorCode.LEADER_NOT_AVAILABLE):
        # What was known stays usable: a broker that is behind must not fail a working topic.
        kept = known.partitions if known is not None else ()
        kept_id = known.topic_id if known is not None else NO_TOPIC_ID
        return TopicView(fresh.name, kept_id, kept, fresh.error_code, _available(kept))
    # Brokers that speak Metadata below v10 tell no id: that is not another topic, unless there was
    # none in between.
    same = known is not None and (
        known.topic_id == fresh.topic_id
        if any(known.topic_id) and any(fresh.topic_id)
        else known.error_code != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    )
    older = {p.index: p for p in known.partitions} if known is not None and same else {}
    by_index = {p.partition_index: p for p in fresh.partitions}
    count = max(by_index, default=-1) + 1
    if same and known is not None:
        # A view that omits a fresh partition must not take it away again.
        count = max(count, len(known.partitions))
    partitions = tuple(
        _merge_partition(index, older.get(index), by_index.get(index), brokers)
        for index in range(count)
    )
    return TopicView(
        fresh.name, fresh.topic_id, partitions, fresh.error_code, _available(partitions)
    )


def _merge_partition(
    index: int,
    known: PartitionView | None,
    fresh: PartitionMetadata | None,
    brokers: Mapping[int, Broker],
) -> PartitionView:
    if fresh is None:
        return known or PartitionView(index)
    # Older news; but a leader that is no broker of the cluster would never be corrected.
    if (
        known is not None
        and NO_EPOCH < fresh.leader_epoch < known.leader_epoch
        and (known.leader == NO_LEADER or known.leader in brokers)
    ):
        return known
    return PartitionView(
        index=index,
        leader=fresh.leader_id,
        leader_epoch=fresh.leader_epoch,
        replicas=tuple(fresh.replica_nodes),
        in_sync_replicas=tuple(fresh.isr_nodes),
        offline_replicas=tuple(fresh.offline_replicas),
        error_code=fresh.error_code,
    )


def _available(partitions: Iterable[PartitionView]) -> tuple[int, ...]:
    return tuple(p.index for p in partitions if p.leader != NO_LEADER)
