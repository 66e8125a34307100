"""Administration through librdkafka: milliseconds where a Java tool costs a second."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ClusterMetadata

REQUEST_SECONDS = 10.0


class MissingClientError(ImportError):
    """confluent-kafka is not installed; the message has the pip line."""


class PartitionState(NamedTuple):
    """Where a partition lives, as one metadata answer has it; leader -1 means none."""

    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


def client_config(bootstrap_servers: str, **more: object) -> dict[str, Any]:
    # librdkafka would log every refused connection, which is the normal state while nodes start.
    return {"bootstrap.servers": bootstrap_servers, "log_level": 0, **more}


def connect(bootstrap_servers: str) -> AdminClient:
    try:
        from confluent_kafka.admin import AdminClient
    except ImportError as error:
        raise MissingClientError(
            'confluent-kafka is needed here: pip install "aioproducer[testing]"'
        ) from error
    return AdminClient(client_config(bootstrap_servers))


def broker_ids(bootstrap_servers: str, timeout: float = 1.0) -> frozenset[int]:
    """The brokers that the cluster lists; empty while nobody answers."""
    metadata = _metadata(connect(bootstrap_servers), timeout)
    return frozenset(metadata.brokers) if metadata is not None else frozenset()


def partition_states(
    bootstrap_servers: str, timeout: float = 5.0
) -> dict[str, list[PartitionState]]:
    """Each topic, internal ones too, with the state of its partitions; empty if unanswered."""
    metadata = _metadata(connect(bootstrap_servers), timeout)
    if metadata is None:
        return {}
    return {
        name: [
            PartitionState(p.leader, tuple(p.replicas), tuple(p.isrs))
            for _, p in sorted(topic.partitions.items())
        ]
        for name, topic in metadata.topics.items()
    }


def all_in_sync(bootstrap_servers: str) -> bool:
    """Whether each partition has a leader and all its replicas in sync."""
    states = partition_states(bootstrap_servers)
    return bool(states) and all(
        partition.leader >= 0 and set(partition.in_sync) == set(partition.replicas)
        for partitions in states.values()
        for partition in partitions
    )


def create_topic(
    bootstrap_servers: str,
    name: str,
    partitions: int,
    replication: int | None,
    configs: Mapping[str, str] | None,
) -> None:
    """Create a topic and wait until every broker that answers knows a leader for each partition."""
    client = connect(bootstrap_servers)
    from confluent_kafka.admin import NewTopic

    if replication is None:
        metadata = _metadata(client, REQUEST_SECONDS)
        replication = min(3, len(metadata.brokers)) if metadata is not None else 1
    topic = NewTopic(name, partitions, replication, config=dict(configs or {}))
    unanswered = False
    for _ in _retries():
        try:
            client.create_topics([topic], request_timeout=REQUEST_SECONDS)[name].result()
            break
        except _kafka_exception() as error:
            if unanswered and _is_there_already(error):
                break
            if not _is_still_being_deleted(error) and not _is_unanswered(error):
                raise
            unanswered = unanswered or _is_unanswered(error)
    _wait_for_leaders(client, name, partitions)


def delete_topic(bootstrap_servers: str, name: str) -> None:
    client = connect(bootstrap_servers)
    client.delete_topics([name], request_timeout=REQUEST_SECONDS)[name].result()


def set_topic_config(bootstrap_servers: str, name: str, configs: Mapping[str, str]) -> None:
    """Change settings of an existing topic; they take effect about a second later."""
    client = connect(bootstrap_servers)
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in configs.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    for done in client.incremental_alter_configs([resource]).values():
        done.result()


def _metadata(client: AdminClient, timeout: float) -> ClusterMetadata | None:
    with contextlib.suppress(_kafka_exception()):
        return client.list_topics(timeout=timeout)
    return None


def _wait_for_leaders(client: AdminClient, name: str, partitions: int) -> None:
    for _ in _retries():
        metadata = _metadata(client, REQUEST_SECONDS)
        topic = metadata.topics.get(name) if metadata is not None else None
        if (
            topic is not None
            and topic.error is None
            and len(topic.partitions) == partitions
            and all(p.leader >= 0 for p in topic.partitions.values())
        ):
            return
    raise TimeoutError(f"topic {name!r}: no leader for each of {partitions} partitions")


def _retries(timeout: float = 15.0) -> Iterator[None]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        yield
        time.sleep(0.02)
    raise TimeoutError(f"the cluster did not do it within {timeout:g} s")


def _kafka_exception() -> type[Exception]:
    from confluent_kafka import KafkaException

    return KafkaException


def _is_still_being_deleted(error: Exception) -> bool:
    return _is_there_already(error) and "marked for deletion" in error.args[0].str()


def _is_there_already(error: Exception) -> bool:
    from confluent_kafka import KafkaError

    return _code_of(error) == KafkaError.TOPIC_ALREADY_EXISTS


def _is_unanswered(error: Exception) -> bool:
    """Whether librdkafka lost the request, as when it drops a bootstrap broker's handle."""
    from confluent_kafka import KafkaError

    lost = (KafkaError._DESTROY_BROKER, KafkaError._TRANSPORT, KafkaError._TIMED_OUT)
    return _code_of(error) in lost


def _code_of(error: Exception) -> int | None:
    from confluent_kafka import KafkaError

    reason = error.args[0]
    return reason.code() if isinstance(reason, KafkaError) else None
