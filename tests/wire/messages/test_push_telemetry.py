from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import PushTelemetryRequest, PushTelemetryResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    error_code,
    few_examples,
    int8,
    int32,
    milliseconds,
    spoken,
    topic_id,
)
from tests.wire.oracles import kio_bytes, kio_decoded, kio_entity, schema_bytes

every_version = pytest.mark.parametrize("version", spoken(ApiKey.PUSH_TELEMETRY))


@every_version
@few_examples
@given(
    instance=topic_id,
    subscription=int32,
    terminating=st.booleans(),
    codec=int8,
    metrics=st.binary(max_size=200),
)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, instance: bytes, subscription: int, terminating: bool, codec: int, metrics: bytes
) -> None:
    request = PushTelemetryRequest(instance, subscription, terminating, codec, metrics)
    values = {
        "client_instance_id": instance,
        "subscription_id": subscription,
        "terminating": terminating,
        "compression_type": codec,
        "metrics": metrics,
    }
    ours = b"".join(request.encode(version))
    assert ours == kio_bytes("PushTelemetryRequest", version, values)
    read = kio_decoded("PushTelemetryRequest", version, ours)
    assert read == kio_entity("PushTelemetryRequest", version, values)


@every_version
@few_examples
@given(throttle=milliseconds, code=error_code)
def test_a_response_of_other_implementations_is_understood(
    version: int, throttle: int, code: int
) -> None:
    values = {"throttle_time_ms": throttle, "error_code": code}
    reader = Reader(kio_bytes("PushTelemetryResponse", version, values))
    assert PushTelemetryResponse.decode(reader, version) == PushTelemetryResponse(throttle, code)
    reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = {"throttle_time_ms": 0, "error_code": 9999}
    data = schema_bytes("PushTelemetryResponse", version, values)
    assert PushTelemetryResponse.decode(Reader(data), version).error_code == 9999
