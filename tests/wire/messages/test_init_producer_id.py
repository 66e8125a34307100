from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.errors import BrokerError, MalformedResponseError
from aioproducer.wire.messages import InitProducerIdRequest, InitProducerIdResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    error_code,
    few_examples,
    int16,
    int64,
    maybe_text,
    milliseconds,
    spoken,
)
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.INIT_PRODUCER_ID))

request_values = st.fixed_dictionaries(
    {
        "transactional_id": maybe_text,
        "transaction_timeout_ms": milliseconds,
        "producer_id": int64,
        "producer_epoch": int16,
    }
)
response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "error_code": error_code,
        "producer_id": int64,
        "producer_epoch": int16,
    }
).filter(lambda v: v["error_code"] or (v["producer_id"] >= 0 and v["producer_epoch"] >= 0))


@every_version
@few_examples
@given(values=request_values)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, values: dict[str, Any]
) -> None:
    if version < 3:
        values = {**values, "producer_id": -1, "producer_epoch": -1}
    ours = b"".join(InitProducerIdRequest(**values).encode(version))
    assert ours == kafka_python_bytes("InitProducerIdRequest", version, values)
    assert ours == kio_bytes("InitProducerIdRequest", version, values)
    assert kafka_python_reencoded("InitProducerIdRequest", version, ours) == ours
    read = kio_decoded("InitProducerIdRequest", version, ours)
    assert read == kio_entity("InitProducerIdRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("InitProducerIdResponse", version, values))
        decoded = InitProducerIdResponse.decode(reader, version)
        assert decoded == InitProducerIdResponse(**values)
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = {"throttle_time_ms": 0, "error_code": 9999, "producer_id": -1, "producer_epoch": -1}
    data = schema_bytes("InitProducerIdResponse", version, values)
    assert InitProducerIdResponse.decode(Reader(data), version).error_code == 9999


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_renewal_that_the_version_cannot_carry_is_refused(version: int) -> None:
    """Left out in silence, the broker would hand out a new identity instead of the next epoch."""
    with pytest.raises(BrokerError, match=r"InitProducerId version . cannot say") as refusal:
        InitProducerIdRequest("payments", 60000, 4000, 3).encode(version)
    assert refusal.value.code == 35


@every_version
@pytest.mark.parametrize(("producer_id", "epoch"), [(-1, 0), (7, -1)])
def test_success_without_an_identity_is_refused(version: int, producer_id: int, epoch: int) -> None:
    """Batches stamped with it would count as not idempotent, and be taken twice."""
    values = {
        "throttle_time_ms": 0, "error_code": 0,
        "producer_id": producer_id, "producer_epoch": epoch,
    }  # fmt: skip
    data = schema_bytes("InitProducerIdResponse", version, values)
    with pytest.raises(MalformedResponseError, match="no identity"):
        InitProducerIdResponse.decode(Reader(data), version)
    data = schema_bytes("InitProducerIdResponse", version, {**values, "error_code": 14})
    assert InitProducerIdResponse.decode(Reader(data), version).error_code == 14
