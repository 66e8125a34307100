"""Administration through librdkafka: milliseconds where a Java tool costs a second."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.messages.metadata import MetadataRequest, MetadataResponse
from aioproducer.wire.primitives import Reader

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ClusterMetadata

REQUEST_SECONDS = 30.0
_PATIENCE = 60.0
# A broker that is frozen, or down, is not waited for.
_ANSWER_SECONDS = 2.0
# Spoken since 1.0, with a fixed layout.
_METADATA_VERSION = 5


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
    bootstrap_servers: str, timeout: float = REQUEST_SECONDS
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


def states_of(
    bootstrap_servers: str, topic: str, timeout: float = _PATIENCE
) -> list[PartitionState]:
    """The state of a topic's partitions, asked for until each has a leader.

    Raises:
        TimeoutError: some have none, or nobody answers.
    """
    for _ in _retries(timeout):
        # Another broker may answer where this one is frozen.
        states = partition_states(bootstrap_servers, timeout=5.0).get(topic, [])
        if states and all(state.leader >= 0 for state in states):
            break
    return states


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
    """Create a topic and wait until its leaders lead and every broker that answers knows them.

    A broker may hear of a topic some time after the one that was asked; the first records and
    questions would meet errors there.
    """
    client = connect(bootstrap_servers)
    from confluent_kafka.admin import NewTopic

    addresses = len(bootstrap_servers.split(","))
    if replication is None:
        replication = min(3, _count_brokers(client, addresses))
    topic = NewTopic(name, partitions, replication, config=dict(configs or {}))
    unanswered = False
    for _ in _retries():
        try:
            client.create_topics([topic], request_timeout=REQUEST_SECONDS)[name].result()
            break
        except _kafka_exception() as error:
            if unanswered and _is_there_already(error):
                break
            # A broker that was too busy for its heartbeats comes back.
            lacks_brokers = _lacks_brokers(error) and replication <= addresses
            if not (_is_still_being_deleted(error) or _is_unanswered(error) or lacks_brokers):
                raise
            unanswered = unanswered or _is_unanswered(error)
    _wait_for_leaders(client, name, partitions)


def delete_topic(bootstrap_servers: str, name: str) -> None:
    client = connect(bootstrap_servers)
    unanswered = False
    for _ in _retries():
        try:
            client.delete_topics([name], request_timeout=REQUEST_SECONDS)[name].result()
            return
        except _kafka_exception() as error:
            if unanswered and _is_unknown(error):
                return
            if not _is_unanswered(error):
                raise
            unanswered = True


def set_topic_config(bootstrap_servers: str, name: str, configs: Mapping[str, str]) -> None:
    """Change settings of an existing topic; they take effect about a second later."""
    client = connect(bootstrap_servers)
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in configs.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    for _ in _retries():
        try:
            for done in client.incremental_alter_configs([resource]).values():
                done.result()
            return
        except _kafka_exception() as error:
            if not _is_unanswered(error):
                raise


def _metadata(client: AdminClient, timeout: float) -> ClusterMetadata | None:
    with contextlib.suppress(_kafka_exception()):
        return client.list_topics(timeout=timeout)
    return None


def _wait_for_leaders(client: AdminClient, name: str, partitions: int) -> None:
    for _ in _retries():
        metadata = _metadata(client, REQUEST_SECONDS)
        if (
            metadata is not None
            and all(_knows(each, name, partitions) for each in _addresses(metadata))
            and _lead(client, name, partitions)
        ):
            return


def _count_brokers(client: AdminClient, wanted: int) -> int:
    """How many brokers the cluster lists; those of its addresses are waited for a while."""
    found = 1
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        metadata = _metadata(client, REQUEST_SECONDS)
        found = len(metadata.brokers) if metadata is not None else found
        if found >= wanted:
            break
        time.sleep(0.1)
    return found


def _addresses(metadata: ClusterMetadata) -> list[tuple[str, int]]:
    # Its types say None, which is what the class begins with.
    brokers: list[Any] = list(metadata.brokers.values())
    return [(each.host, each.port) for each in brokers]


def _knows(address: tuple[str, int], name: str, partitions: int) -> bool:
    """Whether a broker has a leader for each partition; also if it does not answer at all."""
    try:
        topics = _ask_for(address, name).topics
    except (OSError, MalformedResponseError):
        return True
    return any(
        topic.name == name
        and not topic.error_code
        and len(topic.partitions) == partitions
        and all(partition.leader_id >= 0 for partition in topic.partitions)
        for topic in topics
    )


def _ask_for(address: tuple[str, int], name: str) -> MetadataResponse:
    """Ask this very broker: librdkafka asks whichever it likes."""
    request = MetadataRequest((name,), allow_auto_topic_creation=False)
    head = struct.pack(">hhih", request.API_KEY, _METADATA_VERSION, 1, -1)
    message = b"".join((head, *request.encode(_METADATA_VERSION)))
    with socket.create_connection(address, timeout=_ANSWER_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(message)) + message)
        with connection.makefile("rb") as answers:
            (size,) = struct.unpack(">i", _exactly(answers.read, 4))
            answer = _exactly(answers.read, size)
    # Behind the correlation id.
    return MetadataResponse.decode(Reader(answer, 4), _METADATA_VERSION)


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = read(size)
    if len(data) < size:
        raise ConnectionResetError("the broker hung up")
    return data


def _lead(client: AdminClient, name: str, partitions: int) -> bool:
    """Whether the leaders take themselves for such: they tell the partitions' ends."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(name, index): latest for index in range(partitions)}
    try:
        for done in client.list_offsets(wanted, request_timeout=REQUEST_SECONDS).values():
            done.result()
    except _kafka_exception():
        return False
    return True


def _retries(timeout: float = _PATIENCE) -> Iterator[None]:
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


def _is_unknown(error: Exception) -> bool:
    from confluent_kafka import KafkaError

    return _code_of(error) == KafkaError.UNKNOWN_TOPIC_OR_PART


def _is_unanswered(error: Exception) -> bool:
    """Whether librdkafka lost the request, as when it drops a bootstrap broker's handle."""
    from confluent_kafka import KafkaError

    lost = (
        KafkaError._DESTROY_BROKER,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_CONTROLLER,
    )
    return _code_of(error) in lost


def _lacks_brokers(error: Exception) -> bool:
    from confluent_kafka import KafkaError

    return _code_of(error) == KafkaError.INVALID_REPLICATION_FACTOR


def _code_of(error: Exception) -> int | None:
    from confluent_kafka import KafkaError

    reason = error.args[0]
    return reason.code() if isinstance(reason, KafkaError) else None
