from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import SaslAuthenticateRequest, SaslAuthenticateResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import error_code, few_examples, int64, maybe_text, spoken
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.SASL_AUTHENTICATE))
token = st.binary(max_size=200)

response_values = st.fixed_dictionaries(
    {
        "error_code": error_code,
        "error_message": maybe_text,
        "auth_bytes": token,
        "session_lifetime_ms": int64,
    }
)


@every_version
@few_examples
@given(auth_bytes=token)
def test_a_request_has_the_same_bytes_as_from_other_implementations(
    version: int, auth_bytes: bytes
) -> None:
    values = {"auth_bytes": auth_bytes}
    (ours,) = SaslAuthenticateRequest(auth_bytes).encode(version)
    assert ours == kafka_python_bytes("SaslAuthenticateRequest", version, values)
    assert ours == kio_bytes("SaslAuthenticateRequest", version, values)
    assert ours == kafka_python_reencoded("SaslAuthenticateRequest", version, bytes(ours))
    decoded = kio_decoded("SaslAuthenticateRequest", version, bytes(ours))
    assert decoded == kio_entity("SaslAuthenticateRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    expected = dict(values) if version >= 1 else {**values, "session_lifetime_ms": 0}
    for encode in (kafka_python_bytes, schema_bytes):
        reader = Reader(encode("SaslAuthenticateResponse", version, values))
        decoded = SaslAuthenticateResponse.decode(reader, version)
        assert decoded == SaslAuthenticateResponse(**expected)
        reader.finish()


@every_version
def test_kio_writes_the_same_response(version: int) -> None:
    values = {"error_code": 0, "error_message": None, "auth_bytes": b"x", "session_lifetime_ms": 9}
    data = schema_bytes("SaslAuthenticateResponse", version, values)
    assert kio_bytes("SaslAuthenticateResponse", version, values) == data


def test_tokens_are_not_shown() -> None:
    assert "secret" not in repr(SaslAuthenticateRequest(b"\0alice\0secret"))
    assert "secret" not in repr(SaslAuthenticateResponse(0, None, b"secret"))
