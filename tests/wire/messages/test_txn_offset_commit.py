from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.errors import BrokerError
from aioproducer.wire.messages import (
    OffsetPartition,
    OffsetTopic,
    PartitionResult,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
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
)
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.TXN_OFFSET_COMMIT))

NO_MEMBER = {"generation_id": -1, "member_id": "", "group_instance_id": None}

request_values = st.fixed_dictionaries(
    {
        "transactional_id": text,
        "group_id": text,
        "producer_id": int64,
        "producer_epoch": int16,
        "generation_id": int32,
        "member_id": text,
        "group_instance_id": maybe_text,
        "topics": rows(
            name=text,
            partitions=rows(
                partition_index=int32,
                committed_offset=int64,
                committed_leader_epoch=int32,
                committed_metadata=maybe_text,
            ),
        ),
    }
)


def request_of(values: dict[str, Any]) -> TxnOffsetCommitRequest:
    topics = [
        OffsetTopic(topic["name"], [OffsetPartition(**row) for row in topic["partitions"]])
        for topic in values["topics"]
    ]
    return TxnOffsetCommitRequest(**{**values, "topics": topics})


@every_version
@few_examples
@given(values=request_values)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, values: dict[str, Any]
) -> None:
    if version < 3:
        values = {**values, **NO_MEMBER}
    ours = b"".join(request_of(values).encode(version))
    assert ours == kafka_python_bytes("TxnOffsetCommitRequest", version, values)
    assert ours == kio_bytes("TxnOffsetCommitRequest", version, values)
    assert kafka_python_reencoded("TxnOffsetCommitRequest", version, ours) == ours
    read = kio_decoded("TxnOffsetCommitRequest", version, ours)
    assert read == kio_entity("TxnOffsetCommitRequest", version, values)


@every_version
@few_examples
@given(
    throttle_time_ms=milliseconds,
    topics=rows(name=text, partitions=rows(partition_index=int32, error_code=error_code)),
)
def test_a_response_of_other_implementations_is_understood(
    version: int, throttle_time_ms: int, topics: list[dict[str, Any]]
) -> None:
    values = {"throttle_time_ms": throttle_time_ms, "topics": topics}
    expected = TxnOffsetCommitResponse(
        throttle_time_ms,
        tuple(
            PartitionResult(topic["name"], row["partition_index"], row["error_code"])
            for topic in topics
            for row in topic["partitions"]
        ),
    )
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("TxnOffsetCommitResponse", version, values))
        assert TxnOffsetCommitResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    topic = {"name": "orders", "partitions": [{"partition_index": 3, "error_code": 9999}]}
    values = {"throttle_time_ms": 0, "topics": [topic]}
    data = schema_bytes("TxnOffsetCommitResponse", version, values)
    decoded = TxnOffsetCommitResponse.decode(Reader(data), version)
    assert decoded.results == (PartitionResult("orders", 3, 9999),)


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize(
    "member", [{"generation_id": 4}, {"member_id": "one"}, {"group_instance_id": "pod-0"}]
)
def test_a_member_that_the_version_cannot_name_is_refused(
    version: int, member: dict[str, Any]
) -> None:
    """Left out in silence, a consumer that lost its partitions would commit over the new owner."""
    request = TxnOffsetCommitRequest("payments", "readers", 4000, 3, (), **member)
    with pytest.raises(BrokerError, match=r"TxnOffsetCommit version . cannot say") as refusal:
        request.encode(version)
    assert refusal.value.code == 35
