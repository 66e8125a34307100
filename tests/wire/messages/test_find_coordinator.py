from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.errors import BrokerError, MalformedResponseError
from aioproducer.wire.messages import FindCoordinatorRequest, FindCoordinatorResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    int8,
    int32,
    maybe_text,
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.FIND_COORDINATOR))

response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "error_code": error_code,
        "error_message": maybe_text,
        "node_id": int32,
        "host": text,
        "port": int32,
    }
)


@every_version
@few_examples
@given(key=text, key_type=int8)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, key: str, key_type: int
) -> None:
    key_type = key_type if version else 0
    ours = b"".join(FindCoordinatorRequest(key, key_type).encode(version))
    values = {"key_type": key_type, "coordinator_keys": [key]}
    if version < 4:
        values = {"key_type": key_type, "key": key}
    assert ours == kafka_python_bytes("FindCoordinatorRequest", version, values)
    assert ours == kio_bytes("FindCoordinatorRequest", version, values)
    assert kafka_python_reencoded("FindCoordinatorRequest", version, ours) == ours
    read = kio_decoded("FindCoordinatorRequest", version, ours)
    assert read == kio_entity("FindCoordinatorRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    throttle = {"throttle_time_ms": values["throttle_time_ms"]}
    answer = {name: value for name, value in values.items() if name != "throttle_time_ms"}
    on_the_wire: dict[str, Any] = {**throttle, **answer}
    if version >= 4:
        on_the_wire = {**throttle, "coordinators": [{"key": "payments", **answer}]}
    if version < 1:
        values = {**values, "throttle_time_ms": 0, "error_message": None}
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("FindCoordinatorResponse", version, on_the_wire))
        decoded = FindCoordinatorResponse.decode(reader, version)
        assert decoded == FindCoordinatorResponse(**values)
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = VALUES[FindCoordinatorResponse]
    values = {**values, "error_code": 9999}
    values["coordinators"] = [{**values["coordinators"][0], "error_code": 9999}]
    data = schema_bytes("FindCoordinatorResponse", version, values)
    assert FindCoordinatorResponse.decode(Reader(data), version).error_code == 9999


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("version", [4, 5, 6])
def test_one_question_takes_exactly_one_answer(version: int, count: int) -> None:
    row = VALUES[FindCoordinatorResponse]["coordinators"][0]
    values = {"throttle_time_ms": 0, "coordinators": [row] * count}
    data = schema_bytes("FindCoordinatorResponse", version, values)
    with pytest.raises(MalformedResponseError, match=f"one coordinator .* {count} came back"):
        FindCoordinatorResponse.decode(Reader(data), version)


def test_version_zero_cannot_ask_for_the_coordinator_of_a_transaction() -> None:
    """It would answer with the coordinator of a group of that name, which is another broker."""
    with pytest.raises(BrokerError, match="not a group's") as refusal:
        FindCoordinatorRequest("payments", key_type=1).encode(0)
    assert refusal.value.code == 35
