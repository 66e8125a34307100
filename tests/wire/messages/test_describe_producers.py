from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionProducers,
    ProducerState,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    int32,
    int64,
    maybe_text,
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.DESCRIBE_PRODUCERS))

request_topics = st.lists(st.tuples(text, st.lists(int32, max_size=3)), max_size=3)
response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "topics": rows(
            name=text,
            partitions=rows(
                partition_index=int32,
                error_code=error_code,
                error_message=maybe_text,
                active_producers=rows(
                    producer_id=int64,
                    producer_epoch=int32,
                    last_sequence=int32,
                    last_timestamp=int64,
                    coordinator_epoch=int32,
                    current_txn_start_offset=int64,
                ),
            ),
        ),
    }
)


def state_of(row: dict[str, Any]) -> ProducerState:
    return ProducerState(
        row["producer_id"],
        row["producer_epoch"],
        row["last_sequence"],
        row["last_timestamp"],
        row["coordinator_epoch"],
        row["current_txn_start_offset"],
    )


@every_version
@few_examples
@given(topics=request_topics)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, topics: list[tuple[str, list[int]]]
) -> None:
    ours = b"".join(DescribeProducersRequest(topics).encode(version))
    values = {"topics": [{"name": name, "partition_indexes": rows} for name, rows in topics]}
    assert ours == kafka_python_bytes("DescribeProducersRequest", version, values)
    assert ours == kio_bytes("DescribeProducersRequest", version, values)
    assert kafka_python_reencoded("DescribeProducersRequest", version, ours) == ours
    read = kio_decoded("DescribeProducersRequest", version, ours)
    assert read == kio_entity("DescribeProducersRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = DescribeProducersResponse(
        values["throttle_time_ms"],
        tuple(
            PartitionProducers(
                topic["name"],
                row["partition_index"],
                row["error_code"],
                row["error_message"],
                tuple(state_of(state) for state in row["active_producers"]),
            )
            for topic in values["topics"]
            for row in topic["partitions"]
        ),
    )
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("DescribeProducersResponse", version, values))
        assert DescribeProducersResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = VALUES[DescribeProducersResponse]
    topic = values["topics"][0]
    row = {**topic["partitions"][0], "error_code": 9999}
    values = {**values, "topics": [{**topic, "partitions": [row]}]}
    data = schema_bytes("DescribeProducersResponse", version, values)
    (described,) = DescribeProducersResponse.decode(Reader(data), version).partitions
    assert described.error_code == 9999
