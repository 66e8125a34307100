from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    error_code,
    few_examples,
    int16,
    int64,
    milliseconds,
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.ADD_OFFSETS_TO_TXN))

request_values = st.fixed_dictionaries(
    {"transactional_id": text, "producer_id": int64, "producer_epoch": int16, "group_id": text}
)
response_values = st.fixed_dictionaries(
    {"throttle_time_ms": milliseconds, "error_code": error_code}
)


@every_version
@few_examples
@given(values=request_values)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, values: dict[str, Any]
) -> None:
    ours = b"".join(AddOffsetsToTxnRequest(**values).encode(version))
    assert ours == kafka_python_bytes("AddOffsetsToTxnRequest", version, values)
    assert ours == kio_bytes("AddOffsetsToTxnRequest", version, values)
    assert kafka_python_reencoded("AddOffsetsToTxnRequest", version, ours) == ours
    read = kio_decoded("AddOffsetsToTxnRequest", version, ours)
    assert read == kio_entity("AddOffsetsToTxnRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("AddOffsetsToTxnResponse", version, values))
        decoded = AddOffsetsToTxnResponse.decode(reader, version)
        assert decoded == AddOffsetsToTxnResponse(**values)
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = {"throttle_time_ms": 0, "error_code": 9999}
    data = schema_bytes("AddOffsetsToTxnResponse", version, values)
    assert AddOffsetsToTxnResponse.decode(Reader(data), version).error_code == 9999
