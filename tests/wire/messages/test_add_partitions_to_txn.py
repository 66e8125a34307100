from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    PartitionResult,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    error_code,
    few_examples,
    int16,
    int32,
    int64,
    milliseconds,
    rows,
    spoken,
    text,
)
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.ADD_PARTITIONS_TO_TXN))

topics = rows(name=text, partitions=st.lists(int32, max_size=3))
results = rows(
    name=text,
    results_by_partition=rows(partition_index=int32, partition_error_code=error_code),
)


def on_the_wire(values: dict[str, Any]) -> dict[str, Any]:
    """The schema marks each field of the form that clients speak as belonging to old versions."""
    return {f"v3_and_below_{name}": value for name, value in values.items()}


@every_version
@few_examples
@given(transactional_id=text, producer_id=int64, producer_epoch=int16, topics=topics)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int,
    transactional_id: str,
    producer_id: int,
    producer_epoch: int,
    topics: list[dict[str, Any]],
) -> None:
    plain = [(topic["name"], topic["partitions"]) for topic in topics]
    request = AddPartitionsToTxnRequest(transactional_id, producer_id, producer_epoch, plain)
    ours = b"".join(request.encode(version))
    values = on_the_wire(
        {
            "transactional_id": transactional_id,
            "producer_id": producer_id,
            "producer_epoch": producer_epoch,
            "topics": topics,
        }
    )
    assert ours == kafka_python_bytes("AddPartitionsToTxnRequest", version, values)
    assert ours == kio_bytes("AddPartitionsToTxnRequest", version, values)
    assert kafka_python_reencoded("AddPartitionsToTxnRequest", version, ours) == ours
    read = kio_decoded("AddPartitionsToTxnRequest", version, ours)
    assert read == kio_entity("AddPartitionsToTxnRequest", version, values)


@every_version
@few_examples
@given(throttle_time_ms=milliseconds, topics=results)
def test_a_response_of_other_implementations_is_understood(
    version: int, throttle_time_ms: int, topics: list[dict[str, Any]]
) -> None:
    values = {
        "throttle_time_ms": throttle_time_ms,
        "results_by_topic_v3_and_below": topics,
    }
    expected = AddPartitionsToTxnResponse(
        throttle_time_ms,
        tuple(
            PartitionResult(topic["name"], row["partition_index"], row["partition_error_code"])
            for topic in topics
            for row in topic["results_by_partition"]
        ),
    )
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("AddPartitionsToTxnResponse", version, values))
        assert AddPartitionsToTxnResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    row = {"partition_index": 3, "partition_error_code": 9999}
    topic = {"name": "orders", "results_by_partition": [row]}
    values = {"throttle_time_ms": 0, "results_by_topic_v3_and_below": [topic]}
    data = schema_bytes("AddPartitionsToTxnResponse", version, values)
    decoded = AddPartitionsToTxnResponse.decode(Reader(data), version)
    assert decoded.results == (PartitionResult("orders", 3, 9999),)
