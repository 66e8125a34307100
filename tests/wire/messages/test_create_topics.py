from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.errors import BrokerError
from aioproducer.wire.messages import (
    CreatedTopic,
    CreateTopicsRequest,
    CreateTopicsResponse,
    NewTopic,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    int8,
    int16,
    int32,
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.CREATE_TOPICS))

new_topics = st.lists(
    st.builds(
        NewTopic,
        text,
        st.integers(1, 2**31 - 1),
        st.integers(1, 2**15 - 1),
        st.dictionaries(text, maybe_text, max_size=3),
    ),
    max_size=3,
)
response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "topics": rows(
            name=text,
            topic_id=topic_id.filter(any),
            error_code=error_code,
            error_message=maybe_text,
            num_partitions=int32,
            replication_factor=int16,
            configs=st.none()
            | rows(
                name=text,
                value=maybe_text,
                read_only=st.booleans(),
                config_source=int8,
                is_sensitive=st.booleans(),
            ),
        ),
    }
)


def values_of(topics: list[NewTopic], timeout_ms: int) -> dict[str, Any]:
    return {
        "topics": [
            {
                "name": topic.name,
                "num_partitions": topic.partitions,
                "replication_factor": topic.replicas,
                "assignments": [],
                "configs": [{"name": key, "value": value} for key, value in topic.configs.items()],
            }
            for topic in topics
        ],
        "timeout_ms": timeout_ms,
        "validate_only": False,
    }


@every_version
@few_examples
@given(topics=new_topics, timeout_ms=milliseconds)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, topics: list[NewTopic], timeout_ms: int
) -> None:
    ours = b"".join(CreateTopicsRequest(topics, timeout_ms).encode(version))
    values = values_of(topics, timeout_ms)
    assert ours == kafka_python_bytes("CreateTopicsRequest", version, values)
    assert ours == kio_bytes("CreateTopicsRequest", version, values)
    assert kafka_python_reencoded("CreateTopicsRequest", version, ours) == ours
    read = kio_decoded("CreateTopicsRequest", version, ours)
    assert read == kio_entity("CreateTopicsRequest", version, values)


@pytest.mark.parametrize("topic", [NewTopic("orders"), NewTopic("orders", 1), NewTopic("o", -1, 1)])
def test_old_brokers_cannot_be_left_the_choice_of_a_number(topic: NewTopic) -> None:
    request = CreateTopicsRequest([topic], 1000)
    with pytest.raises(BrokerError, match="that the brokers choose a number"):
        request.encode(3)
    assert request.encode(4)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = CreateTopicsResponse(
        values["throttle_time_ms"],
        tuple(
            CreatedTopic(
                row["name"],
                row["error_code"],
                row["error_message"],
                row["num_partitions"] if version >= 5 else -1,
                row["replication_factor"] if version >= 5 else -1,
            )
            for row in values["topics"]
        ),
    )
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("CreateTopicsResponse", version, values))
        assert CreateTopicsResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = VALUES[CreateTopicsResponse]
    values = {**values, "topics": [{**values["topics"][0], "error_code": 9999}]}
    data = schema_bytes("CreateTopicsResponse", version, values)
    (topic,) = CreateTopicsResponse.decode(Reader(data), version).topics
    assert (topic.name, topic.error_code) == ("orders", 9999)
