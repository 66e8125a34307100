from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import EndTxnRequest, EndTxnResponse
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.END_TXN))

request_values = st.fixed_dictionaries(
    {
        "transactional_id": text,
        "producer_id": int64,
        "producer_epoch": int16,
        "committed": st.booleans(),
    }
)
response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "error_code": error_code,
        "producer_id": int64,
        "producer_epoch": int16,
    }
)


@every_version
@few_examples
@given(values=request_values)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, values: dict[str, Any]
) -> None:
    ours = b"".join(EndTxnRequest(**values).encode(version))
    assert ours == kafka_python_bytes("EndTxnRequest", version, values)
    assert ours == kio_bytes("EndTxnRequest", version, values)
    assert kafka_python_reencoded("EndTxnRequest", version, ours) == ours
    read = kio_decoded("EndTxnRequest", version, ours)
    assert read == kio_entity("EndTxnRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = EndTxnResponse(**values)
    if version < 5:
        expected = EndTxnResponse(values["throttle_time_ms"], values["error_code"])
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("EndTxnResponse", version, values))
        assert EndTxnResponse.decode(reader, version) == expected
        reader.finish()


@pytest.mark.parametrize("version", range(5))
def test_before_version_five_there_is_no_identity_to_adopt(version: int) -> None:
    data = schema_bytes("EndTxnResponse", version, {"throttle_time_ms": 0, "error_code": 0})
    decoded = EndTxnResponse.decode(Reader(data), version)
    assert (decoded.producer_id, decoded.producer_epoch) == (-1, -1)


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = {"throttle_time_ms": 0, "error_code": 9999, "producer_id": -1, "producer_epoch": -1}
    data = schema_bytes("EndTxnResponse", version, values)
    assert EndTxnResponse.decode(Reader(data), version).error_code == 9999
