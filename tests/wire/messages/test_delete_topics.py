from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import DeletedTopic, DeleteTopicsRequest, DeleteTopicsResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    maybe_text,
    milliseconds,
    rows,
    spoken,
    text,
    topic_id,
)
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.DELETE_TOPICS))

response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "responses": rows(
            name=text, topic_id=topic_id.filter(any), error_code=error_code,
            error_message=maybe_text,
        ),
    }
)  # fmt: skip


@every_version
@few_examples
@given(names=st.lists(text, max_size=3), timeout_ms=milliseconds)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, names: list[str], timeout_ms: int
) -> None:
    ours = b"".join(DeleteTopicsRequest(names, timeout_ms).encode(version))
    values: dict[str, Any] = {"timeout_ms": timeout_ms}
    if version >= 6:
        values["topics"] = [{"name": name, "topic_id": bytes(16)} for name in names]
    else:
        values["topic_names"] = names
    assert ours == kafka_python_bytes("DeleteTopicsRequest", version, values)
    assert ours == kio_bytes("DeleteTopicsRequest", version, values)
    assert kafka_python_reencoded("DeleteTopicsRequest", version, ours) == ours
    read = kio_decoded("DeleteTopicsRequest", version, ours)
    assert read == kio_entity("DeleteTopicsRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = DeleteTopicsResponse(
        values["throttle_time_ms"],
        tuple(
            DeletedTopic(
                row["name"], row["error_code"], row["error_message"] if version >= 5 else None
            )
            for row in values["responses"]
        ),
    )
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("DeleteTopicsResponse", version, values))
        assert DeleteTopicsResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = VALUES[DeleteTopicsResponse]
    values = {**values, "responses": [{**values["responses"][0], "error_code": 9999}]}
    data = schema_bytes("DeleteTopicsResponse", version, values)
    (topic,) = DeleteTopicsResponse.decode(Reader(data), version).topics
    assert (topic.name, topic.error_code) == ("orders", 9999)
