from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    Broker,
    ProducePartition,
    ProducePartitionResponse,
    ProduceRequest,
    ProduceResponse,
    ProduceTopic,
    ProduceTopicResponse,
    RecordError,
)
from aioproducer.wire.primitives import ZERO_UUID, Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    BROKERS,
    TOPIC_ID,
    VALUES,
    error_code,
    few_examples,
    int16,
    int32,
    int64,
    maybe_text,
    milliseconds,
    rows,
    spoken,
    text,
    timestamp,
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.PRODUCE))

request_values = st.fixed_dictionaries(
    {
        "transactional_id": maybe_text,
        "acks": int16,
        "timeout_ms": milliseconds,
        "topic_data": rows(
            name=text,
            topic_id=topic_id,
            partition_data=rows(index=int32, records=st.binary(max_size=300)),
        ),
    }
)

response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "responses": rows(
            name=text,
            topic_id=topic_id,
            partition_responses=rows(
                index=int32,
                error_code=error_code,
                base_offset=int64,
                log_append_time_ms=timestamp,
                log_start_offset=int64,
                record_errors=rows(batch_index=int32, batch_index_error_message=maybe_text),
                error_message=maybe_text,
            ),
        ),
    }
)


def request_of(values: dict[str, Any], cut: int = 0) -> ProduceRequest:
    """Build our request, the records of each partition given as two buffers cut at ``cut``."""
    topics = []
    for topic in values["topic_data"]:
        partitions = []
        for row in topic["partition_data"]:
            records = row["records"]
            buffers = [records[:cut], memoryview(records)[cut:]] if cut else [records]
            partitions.append(ProducePartition(row["index"], buffers))
        topics.append(ProduceTopic(topic["name"], topic["topic_id"], partitions))
    return ProduceRequest(values["transactional_id"], values["acks"], values["timeout_ms"], topics)


def response_of(values: dict[str, Any], version: int) -> ProduceResponse:
    def row(row: dict[str, Any]) -> ProducePartitionResponse:
        leader = row.get("current_leader") if version >= 10 else None
        return ProducePartitionResponse(
            row["index"],
            row["error_code"],
            row["base_offset"],
            row["log_append_time_ms"],
            row["log_start_offset"] if version >= 5 else -1,
            tuple(
                RecordError(error["batch_index"], error["batch_index_error_message"])
                for error in row["record_errors"]
            )
            if version >= 8
            else (),
            row["error_message"] if version >= 8 else None,
            None if leader is None else (leader["leader_id"], leader["leader_epoch"]),
        )

    topics = tuple(
        ProduceTopicResponse(
            topic["name"] if version < 13 else "",
            topic["topic_id"] if version >= 13 else ZERO_UUID,
            tuple(row(one) for one in topic["partition_responses"]),
        )
        for topic in values["responses"]
    )
    endpoints = values.get("node_endpoints", ()) if version >= 10 else ()
    return ProduceResponse(
        topics, values["throttle_time_ms"], tuple(Broker(**one) for one in endpoints)
    )


@every_version
@few_examples
@given(values=request_values, cut=st.integers(0, 80))
def test_a_request_has_the_bytes_that_other_clients_write(
    version: int, values: dict[str, Any], cut: int
) -> None:
    ours = b"".join(request_of(values, cut).encode(version))
    assert ours == kafka_python_bytes("ProduceRequest", version, values)
    assert ours == kio_bytes("ProduceRequest", version, values)


@every_version
@few_examples
@given(values=request_values)
def test_a_request_is_understood_by_other_implementations(
    version: int, values: dict[str, Any]
) -> None:
    ours = b"".join(request_of(values).encode(version))
    assert kafka_python_reencoded("ProduceRequest", version, ours) == ours
    read = kio_decoded("ProduceRequest", version, ours)
    assert read == kio_entity("ProduceRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = response_of(values, version)
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("ProduceResponse", version, values))
        assert ProduceResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_leader_and_endpoints_are_read_where_a_version_has_them(version: int) -> None:
    values = VALUES[ProduceResponse]
    data = schema_bytes("ProduceResponse", version, values)
    decoded = ProduceResponse.decode(Reader(data), version)
    assert decoded == response_of(values, version)
    assert decoded.topics[0].partitions[1].current_leader == ((2, 9) if version >= 10 else None)
    assert len(decoded.node_endpoints) == (len(BROKERS) if version >= 10 else 0)


def test_a_leader_that_the_broker_does_not_know_is_no_leader() -> None:
    row = {
        "index": 0,
        "error_code": 6,
        "base_offset": -1,
        "log_append_time_ms": -1,
        "log_start_offset": -1,
        "record_errors": [],
        "error_message": None,
        "current_leader": {"leader_id": -1, "leader_epoch": -1},
    }
    topic = {"name": "orders", "topic_id": TOPIC_ID, "partition_responses": [row]}
    data = schema_bytes("ProduceResponse", 12, {"responses": [topic], "throttle_time_ms": 0})
    decoded = ProduceResponse.decode(Reader(data), 12)
    assert decoded.topics[0].partitions[0].current_leader is None


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    topic = {**VALUES[ProduceResponse]["responses"][0]}
    topic["partition_responses"] = [
        {**row, "error_code": 9999} for row in topic["partition_responses"]
    ]
    values = {**VALUES[ProduceResponse], "responses": [topic]}
    decoded = ProduceResponse.decode(
        Reader(schema_bytes("ProduceResponse", version, values)), version
    )
    assert [row.error_code for row in decoded.topics[0].partitions] == [9999, 9999]


@pytest.mark.parametrize("version", [3, 8, 9, 13])
def test_records_are_passed_on_as_the_very_buffers_that_came(version: int) -> None:
    """Copying a batch of a megabyte costs more than everything else about a request."""
    header, body, other = b"h" * 61, bytearray(b"b" * 500), memoryview(b"o" * 20)
    partitions = [ProducePartition(0, [header, body]), ProducePartition(1, [other])]
    request = ProduceRequest(None, -1, 30000, [ProduceTopic("orders", TOPIC_ID, partitions)])
    encoded = request.encode(version)
    assert encoded[1] is header
    assert encoded[2] is body
    assert encoded[4] is other


@pytest.mark.parametrize("version", [5, 9, 13])
def test_a_batch_of_many_megabytes_has_a_correct_length(version: int) -> None:
    for size in (127, 128, 16383, 16384, 2**21 - 1, 2**21, 3 * 2**20):
        row = {"index": 0, "records": bytes(size)}
        topic = {"name": "t", "topic_id": TOPIC_ID, "partition_data": [row]}
        values = {"transactional_id": None, "acks": 1, "timeout_ms": 1, "topic_data": [topic]}
        ours = b"".join(request_of(values).encode(version))
        assert ours == kafka_python_bytes("ProduceRequest", version, values)
