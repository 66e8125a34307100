from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.wire.messages import ApiVersionsRequest, ApiVersionsResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey, VersionRange
from tests.wire.messages.samples import (
    VALUES,
    error_code,
    few_examples,
    int16,
    int64,
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

every_version = pytest.mark.parametrize("version", spoken(ApiKey.API_VERSIONS))

response_values = st.fixed_dictionaries(
    {
        "error_code": error_code.filter(lambda code: code != 35),
        "api_keys": rows(api_key=int16, min_version=int16, max_version=int16),
        "throttle_time_ms": milliseconds,
        "supported_features": rows(name=text, min_version=int16, max_version=int16),
        "finalized_features_epoch": int64,
        "finalized_features": rows(name=text, max_version_level=int16, min_version_level=int16),
    }
)


def response_of(values: dict[str, Any], version: int) -> ApiVersionsResponse:
    response = ApiVersionsResponse(
        values["error_code"],
        {
            row["api_key"]: VersionRange(row["min_version"], row["max_version"])
            for row in values["api_keys"]
        },
        values["throttle_time_ms"] if version >= 1 else 0,
    )
    if version < 3:
        return response
    return ApiVersionsResponse(
        response.error_code,
        response.api_versions,
        response.throttle_time_ms,
        {row["name"]: row["max_version_level"] for row in values["finalized_features"]},
        values["finalized_features_epoch"],
        {
            row["name"]: (row["min_version"], row["max_version"])
            for row in values["supported_features"]
        },
    )


@every_version
@few_examples
@given(name=text, software_version=text)
def test_a_request_has_the_bytes_that_others_write_and_understand(
    version: int, name: str, software_version: str
) -> None:
    ours = b"".join(ApiVersionsRequest(name, software_version).encode(version))
    values = {"client_software_name": name, "client_software_version": software_version}
    assert ours == kafka_python_bytes("ApiVersionsRequest", version, values)
    assert ours == kio_bytes("ApiVersionsRequest", version, values)
    assert kafka_python_reencoded("ApiVersionsRequest", version, ours) == ours
    read = kio_decoded("ApiVersionsRequest", version, ours)
    assert read == kio_entity("ApiVersionsRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = response_of(values, version)
    for encode in (kafka_python_bytes, kio_bytes):
        reader = Reader(encode("ApiVersionsResponse", version, values))
        assert ApiVersionsResponse.decode(reader, version) == expected
        reader.finish()


@every_version
def test_features_are_absent_where_the_broker_names_none(version: int) -> None:
    values = {"error_code": 0, "api_keys": [], "throttle_time_ms": 0}
    data = schema_bytes("ApiVersionsResponse", version, values)
    decoded = ApiVersionsResponse.decode(Reader(data), version)
    assert decoded == ApiVersionsResponse(0, {}, 0, {}, -1, {})


@every_version
def test_an_unsupported_version_answered_in_the_oldest_layout_tells_the_range(version: int) -> None:
    """KIP-511: the broker falls back to version 0 and says which ApiVersions it would take."""
    values = {"error_code": 35, "api_keys": VALUES[ApiVersionsResponse]["api_keys"]}
    decoded = ApiVersionsResponse.decode(
        Reader(schema_bytes("ApiVersionsResponse", 0, values)), version
    )
    assert decoded.error_code == 35
    assert decoded.api_versions == {0: VersionRange(0, 13), 18: VersionRange(0, 4)}


@every_version
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("", id="only the error code, as brokers before KIP-511 answer"),
        pytest.param("01 0012 0000 0002 00 00000000 00", id="neither layout, as librdkafka's mock"),
        pytest.param("00000000", id="an empty array"),
        pytest.param("7fffffff 0012 0000 0002", id="a count that lies"),
        pytest.param("ffffffff", id="a null array"),
        pytest.param("0000", id="half a count"),
    ],
)
def test_any_answer_of_unsupported_version_is_read_as_that(version: int, rest: str) -> None:
    data = struct.pack(">h", 35) + bytes.fromhex(rest)
    decoded = ApiVersionsResponse.decode(Reader(data), version)
    assert decoded == ApiVersionsResponse(35, {})


@every_version
@settings(deadline=None)
@given(rest=st.binary(max_size=60))
def test_noise_behind_unsupported_version_never_raises(version: int, rest: bytes) -> None:
    data = struct.pack(">h", 35) + rest
    assert ApiVersionsResponse.decode(Reader(data), version).error_code == 35


@every_version
def test_other_errors_arrive_with_what_the_broker_says(version: int) -> None:
    """INVALID_REQUEST is the answer to a software name that the broker does not like."""
    values = {"error_code": 42, "api_keys": [], "throttle_time_ms": 3}
    data = schema_bytes("ApiVersionsResponse", version, values)
    assert ApiVersionsResponse.decode(Reader(data), version).error_code == 42
