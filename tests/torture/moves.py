"""Replicas and leaders moved, through kafka-python and librdkafka: Java's tools cost seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from aioproducer.testing import admin
from aioproducer.testing.admin import PartitionState


def leaders(bootstrap: str, topic: str) -> list[int]:
    """The leader of each partition; empty if nobody answers."""
    return [state.leader for state in admin.partition_states(bootstrap).get(topic, [])]


def has_replicas(bootstrap: str, topic: str, count: int) -> bool:
    """Whether each partition has exactly so many replicas, all of them in sync."""
    states = admin.partition_states(bootstrap).get(topic, [])
    return bool(states) and all(
        len(state.replicas) == count == len(state.in_sync) and state.leader >= 0 for state in states
    )


def drop_leaders(bootstrap: str, topic: str) -> None:
    """Take from each partition of three replicas the one that leads it."""

    def without_leader(state: PartitionState) -> list[int]:
        # Asked again after a lost answer, this must not take a second one.
        is_full = len(state.replicas) == 3
        return [n for n in state.replicas if n != state.leader or not is_full]

    _reassign(bootstrap, topic, without_leader)


def fill_up(bootstrap: str, topic: str, node_ids: Sequence[int]) -> None:
    """Give each partition a replica on every node, behind those it has."""
    _reassign(
        bootstrap,
        topic,
        lambda state: [*state.replicas, *(n for n in node_ids if n not in state.replicas)],
    )


def elect_preferred(bootstrap: str, topic: str, partitions: int) -> None:
    """Give the lead to the first replica of each partition."""
    from confluent_kafka import ElectionType, TopicPartition

    wanted = [TopicPartition(topic, index) for index in range(partitions)]
    # Held by a name: collected, the client would drop the request.
    client = admin.connect(bootstrap)
    client.elect_leaders(ElectionType.PREFERRED, wanted).result()


def lead_elsewhere(bootstrap: str, topic: str, timeout: float = 120) -> None:
    """Move the leads of a topic to other brokers, and return once that shows.

    Each step may meet a broker that is behind, or one that is not in sync for the moment.
    """
    from confluent_kafka import KafkaException
    from kafka.errors import KafkaError

    def led_by_another(state: PartitionState) -> list[int]:
        # Asked again after a lost answer, this must not go on to the next one.
        first, *others = state.replicas
        return [*others, first] if first == state.leader else [first, *others]

    deadline = time.monotonic() + timeout
    before = [state.leader for state in admin.states_of(bootstrap, topic)]
    while leaders(bootstrap, topic) in ([], before):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"the leaders of {topic} did not move within {timeout:g} s")
        with contextlib.suppress(KafkaException, KafkaError, RuntimeError):
            _reassign(bootstrap, topic, led_by_another)
            elect_preferred(bootstrap, topic, len(before))
        time.sleep(0.05)


def _reassign(bootstrap: str, topic: str, replicas: Callable[[PartitionState], list[int]]) -> None:
    from kafka import TopicPartition
    from kafka.admin import KafkaAdminClient

    states = admin.states_of(bootstrap, topic)
    client = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    try:
        client.alter_partition_reassignments(
            {TopicPartition(topic, i): replicas(state) for i, state in enumerate(states)}
        )
    finally:
        client.close()
