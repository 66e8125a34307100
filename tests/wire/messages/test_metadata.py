from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.errors import BrokerError, MalformedResponseError
from aioproducer.wire.messages import (
    Broker,
    MetadataRequest,
    MetadataResponse,
    PartitionMetadata,
    TopicMetadata,
)
from aioproducer.wire.messages.metadata import NOT_ASKED
from aioproducer.wire.primitives import ZERO_UUID, Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    TOPIC_ID,
    error_code,
    few_examples,
    int32,
    maybe_text,
    milliseconds,
    rows,
    spoken,
    text,
    topic_id,
)
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.METADATA))

nodes = st.lists(int32, max_size=4)
response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "brokers": rows(node_id=int32, host=text, port=int32, rack=maybe_text),
        "cluster_id": maybe_text,
        "controller_id": int32,
        "error_code": error_code,
        "topics": rows(
            error_code=error_code,
            name=text,
            topic_id=topic_id,
            is_internal=st.booleans(),
            topic_authorized_operations=int32,
            partitions=rows(
                error_code=error_code,
                partition_index=st.integers(0, 7),
                leader_id=int32,
                leader_epoch=int32,
                replica_nodes=nodes,
                isr_nodes=nodes,
                offline_replicas=nodes,
            ),
        ),
    }
)


def request_values(
    topics: list[str] | None, allow: bool = True, operations: bool = False
) -> dict[str, Any]:
    return {
        "topics": None
        if topics is None
        else [{"topic_id": ZERO_UUID, "name": name} for name in topics],
        "allow_auto_topic_creation": allow,
        "include_cluster_authorized_operations": False,
        "include_topic_authorized_operations": operations,
    }


def partition_of(row: dict[str, Any], version: int) -> PartitionMetadata:
    return PartitionMetadata(
        row["error_code"],
        row["partition_index"],
        row["leader_id"],
        row["leader_epoch"] if version >= 7 else -1,
        tuple(row["replica_nodes"]),
        tuple(row["isr_nodes"]),
        tuple(row["offline_replicas"]) if version >= 5 else (),
    )


def response_of(values: dict[str, Any], version: int) -> MetadataResponse:
    return MetadataResponse(
        throttle_time_ms=values["throttle_time_ms"] if version >= 3 else 0,
        brokers=tuple(Broker(**row) for row in values["brokers"]),
        cluster_id=values["cluster_id"] if version >= 2 else None,
        controller_id=values["controller_id"],
        topics=tuple(
            TopicMetadata(
                topic["error_code"],
                topic["name"],
                topic["topic_id"] if version >= 10 else ZERO_UUID,
                topic["is_internal"],
                tuple(partition_of(row, version) for row in topic["partitions"]),
                topic.get("topic_authorized_operations", NOT_ASKED) if version >= 8 else NOT_ASKED,
            )
            for topic in values["topics"]
        ),
        error_code=values["error_code"] if version >= 13 else 0,
    )


@every_version
@few_examples
@given(topics=st.none() | st.lists(text, max_size=4), allow=st.booleans(), operations=st.booleans())
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, topics: list[str] | None, allow: bool, operations: bool
) -> None:
    allow = allow or version < 4
    operations = operations and version >= 8
    request = MetadataRequest(None if topics is None else tuple(topics), allow, operations)
    values = request_values(topics, allow, operations)
    ours = b"".join(request.encode(version))
    assert ours == kafka_python_bytes("MetadataRequest", version, values)
    assert ours == kio_bytes("MetadataRequest", version, values)
    assert kafka_python_reencoded("MetadataRequest", version, ours) == ours
    read = kio_decoded("MetadataRequest", version, ours)
    assert read == kio_entity("MetadataRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    # kafka-python holds sets of operations, and would not write a bit that it does not know.
    unasked = [{**topic, "topic_authorized_operations": NOT_ASKED} for topic in values["topics"]]
    without = {**values, "topics": unasked}
    for encode, each in ((kafka_python_bytes, without), (kio_bytes, values)):
        reader = Reader(encode("MetadataResponse", version, each))
        assert MetadataResponse.decode(reader, version) == response_of(each, version)
        reader.finish()


@pytest.mark.parametrize("version", [7, 9, 12, 13])
@pytest.mark.parametrize("replicas", [0, 1, 31, 32, 126, 127, 128, 300])
def test_partitions_with_any_number_of_replicas_are_read(version: int, replicas: int) -> None:
    """Few replicas take the straight line, many the general one: both must agree at the border."""
    row = {
        "error_code": 0,
        "partition_index": 0,
        "leader_id": 1,
        "leader_epoch": 2,
        "replica_nodes": list(range(replicas)),
        "isr_nodes": list(range(replicas)),
        "offline_replicas": list(range(replicas)),
    }
    topic = {"error_code": 0, "name": "t", "topic_id": TOPIC_ID, "is_internal": True}
    topic["partitions"] = [row, row]
    values = {
        "throttle_time_ms": 0,
        "brokers": [],
        "cluster_id": None,
        "controller_id": -1,
        "topics": [topic],
        "error_code": 0,
    }
    reader = Reader(kafka_python_bytes("MetadataResponse", version, values))
    assert MetadataResponse.decode(reader, version) == response_of(values, version)
    reader.finish()


@pytest.mark.parametrize("version", [12, 13])
def test_a_topic_without_a_name_is_read_with_an_empty_one(version: int) -> None:
    """That is what brokers answer about a topic id they do not know."""
    topic: dict[str, Any] = {
        "error_code": 100,
        "name": None,
        "topic_id": TOPIC_ID,
        "partitions": [],
    }
    values = {"throttle_time_ms": 0, "brokers": [], "controller_id": -1, "topics": [topic]}
    data = schema_bytes("MetadataResponse", version, {**values, "error_code": 0})
    (decoded,) = MetadataResponse.decode(Reader(data), version).topics
    assert (decoded.error_code, decoded.name, decoded.topic_id) == (100, "", TOPIC_ID)


def test_error_codes_that_nobody_knows_yet_stay_numbers() -> None:
    topic = {"error_code": 9999, "name": "t", "topic_id": TOPIC_ID, "partitions": []}
    values = {"throttle_time_ms": 0, "brokers": [], "controller_id": -1, "topics": [topic]}
    data = schema_bytes("MetadataResponse", 13, {**values, "error_code": 8888})
    decoded = MetadataResponse.decode(Reader(data), 13)
    assert (decoded.error_code, decoded.topics[0].error_code) == (8888, 9999)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_wish_that_the_version_cannot_carry_is_refused(version: int) -> None:
    """Left out in silence, the broker would create topics against the user's word."""
    with pytest.raises(BrokerError, match=r"Metadata version . cannot say") as refusal:
        MetadataRequest(("orders",), allow_auto_topic_creation=False).encode(version)
    assert refusal.value.code == 35


@pytest.mark.parametrize("version", [4, 7])
def test_rights_cannot_be_asked_of_brokers_that_do_not_tell_them(version: int) -> None:
    request = MetadataRequest(("orders",), include_topic_authorized_operations=True)
    with pytest.raises(BrokerError, match=r"Metadata version . cannot say") as refusal:
        request.encode(version)
    assert refusal.value.code == 35


@every_version
def test_an_index_far_beyond_the_partitions_listed_is_refused(version: int) -> None:
    """What is left out is filled up: one number must not ask for two billion partitions."""
    row = {
        "error_code": 0, "leader_id": 1, "leader_epoch": 1,
        "replica_nodes": [1], "isr_nodes": [1], "offline_replicas": [],
    }  # fmt: skip

    def answer(*indexes: int) -> Reader:
        partitions = [{**row, "partition_index": index} for index in indexes]
        topic = {
            "error_code": 0, "name": "orders", "topic_id": TOPIC_ID, "is_internal": False,
            "partitions": partitions,
        }  # fmt: skip
        values = {
            "throttle_time_ms": 0, "brokers": [], "cluster_id": None, "controller_id": 1,
            "error_code": 0, "topics": [topic],
        }  # fmt: skip
        return Reader(schema_bytes("MetadataResponse", version, values))

    for indexes in [(2**31 - 1,), (0, 1, 14)]:
        with pytest.raises(MalformedResponseError, match="indexes up to"):
            MetadataResponse.decode(answer(*indexes), version)
    [topic] = MetadataResponse.decode(answer(2, 0, 13), version).topics
    assert [partition.partition_index for partition in topic.partitions] == [2, 0, 13]
