from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    ConfigResource,
    ConfigResult,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    int8,
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.DESCRIBE_CONFIGS))

resources = rows(
    resource_type=int8,
    resource_name=text,
    configuration_keys=st.none() | st.lists(text, max_size=3),
)
response_values = st.fixed_dictionaries(
    {
        "throttle_time_ms": milliseconds,
        "results": rows(
            error_code=error_code,
            error_message=maybe_text,
            resource_type=int8,
            resource_name=text,
            configs=rows(
                name=text,
                value=maybe_text,
                read_only=st.booleans(),
                config_source=int8,
                is_sensitive=st.booleans(),
                synonyms=rows(name=text, value=maybe_text, source=int8),
                config_type=int8,
                documentation=maybe_text,
            ),
        ),
    }
)


@every_version
@few_examples
@given(rows=resources)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, rows: list[dict[str, Any]]
) -> None:
    request = DescribeConfigsRequest(
        [
            ConfigResource(
                row["resource_type"],
                row["resource_name"],
                None if (keys := row["configuration_keys"]) is None else tuple(keys),
            )
            for row in rows
        ]
    )
    values = {"resources": rows, "include_synonyms": False, "include_documentation": False}
    ours = b"".join(request.encode(version))
    assert ours == kafka_python_bytes("DescribeConfigsRequest", version, values)
    assert ours == kio_bytes("DescribeConfigsRequest", version, values)
    assert kafka_python_reencoded("DescribeConfigsRequest", version, ours) == ours
    read = kio_decoded("DescribeConfigsRequest", version, ours)
    assert read == kio_entity("DescribeConfigsRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = DescribeConfigsResponse(
        values["throttle_time_ms"],
        tuple(
            ConfigResult(
                row["error_code"],
                row["error_message"],
                row["resource_type"],
                row["resource_name"],
                {entry["name"]: entry["value"] for entry in row["configs"]},
            )
            for row in values["results"]
        ),
    )
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("DescribeConfigsResponse", version, values))
        assert DescribeConfigsResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_an_error_code_that_nobody_knows_yet_stays_a_number(version: int) -> None:
    values = VALUES[DescribeConfigsResponse]
    values = {**values, "results": [{**values["results"][0], "error_code": 9999}]}
    data = schema_bytes("DescribeConfigsResponse", version, values)
    (result,) = DescribeConfigsResponse.decode(Reader(data), version).results
    assert result.error_code == 9999
