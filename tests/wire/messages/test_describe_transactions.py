from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TransactionDescription,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    int16,
    int32,
    int64,
    milliseconds,
    rows,
    spoken,
    text,
    timestamp,
)
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.DESCRIBE_TRANSACTIONS))

# kio cannot hold that a transaction has no start.
start = timestamp.filter(lambda time: time >= 0)
response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "transaction_states": rows(
            error_code=error_code,
            transactional_id=text,
            transaction_state=text,
            transaction_timeout_ms=milliseconds,
            transaction_start_time_ms=start,
            producer_id=int64,
            producer_epoch=int16,
            topics=rows(topic=text, partitions=st.lists(int32, max_size=3)),
        ),
    }
)


@every_version
@few_examples
@given(names=st.lists(text, max_size=3))
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, names: list[str]
) -> None:
    ours = b"".join(DescribeTransactionsRequest(names).encode(version))
    values = {"transactional_ids": names}
    assert ours == kafka_python_bytes("DescribeTransactionsRequest", version, values)
    assert ours == kio_bytes("DescribeTransactionsRequest", version, values)
    assert kafka_python_reencoded("DescribeTransactionsRequest", version, ours) == ours
    read = kio_decoded("DescribeTransactionsRequest", version, ours)
    assert read == kio_entity("DescribeTransactionsRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = DescribeTransactionsResponse(
        values["throttle_time_ms"],
        tuple(
            TransactionDescription(
                row["error_code"],
                row["transactional_id"],
                row["transaction_state"],
                row["transaction_timeout_ms"],
                row["transaction_start_time_ms"],
                row["producer_id"],
                row["producer_epoch"],
                tuple((topic["topic"], tuple(topic["partitions"])) for topic in row["topics"]),
            )
            for row in values["transaction_states"]
        ),
    )
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("DescribeTransactionsResponse", version, values))
        assert DescribeTransactionsResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = VALUES[DescribeTransactionsResponse]
    row = {**values["transaction_states"][0], "error_code": 9999}
    values = {**values, "transaction_states": [row]}
    data = schema_bytes("DescribeTransactionsResponse", version, values)
    (described,) = DescribeTransactionsResponse.decode(Reader(data), version).transactions
    assert described.error_code == 9999
