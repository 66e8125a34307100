from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    int8,
    int32,
    milliseconds,
    spoken,
    text,
    topic_id,
)
from tests.wire.oracles import kio_bytes, kio_decoded, kio_entity, schema_bytes

every_version = pytest.mark.parametrize("version", spoken(ApiKey.GET_TELEMETRY_SUBSCRIPTIONS))

response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "error_code": error_code,
        "client_instance_id": topic_id,
        "subscription_id": int32,
        "accepted_compression_types": st.lists(int8, max_size=5),
        "push_interval_ms": milliseconds,
        "telemetry_max_bytes": int32,
        "delta_temporality": st.booleans(),
        "requested_metrics": st.lists(text, max_size=3),
    }
)


@every_version
@few_examples
@given(instance=topic_id)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, instance: bytes
) -> None:
    ours = b"".join(GetTelemetrySubscriptionsRequest(instance).encode(version))
    values = {"client_instance_id": instance}
    assert ours == kio_bytes("GetTelemetrySubscriptionsRequest", version, values)
    read = kio_decoded("GetTelemetrySubscriptionsRequest", version, ours)
    assert read == kio_entity("GetTelemetrySubscriptionsRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    reader = Reader(kio_bytes("GetTelemetrySubscriptionsResponse", version, values))
    lists = ("accepted_compression_types", "requested_metrics")
    expected = {**values, **{name: tuple(values[name]) for name in lists}}
    decoded = GetTelemetrySubscriptionsResponse.decode(reader, version)
    assert decoded == GetTelemetrySubscriptionsResponse(**expected)
    reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = {**VALUES[GetTelemetrySubscriptionsResponse], "error_code": 9999}
    data = schema_bytes("GetTelemetrySubscriptionsResponse", version, values)
    assert GetTelemetrySubscriptionsResponse.decode(Reader(data), version).error_code == 9999
