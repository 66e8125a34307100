from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire.messages import SaslHandshakeRequest, SaslHandshakeResponse
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import ApiKey
from tests.wire.messages.samples import error_code, few_examples, spoken, text
from tests.wire.oracles import (
    kafka_python_bytes,
    kafka_python_reencoded,
    kio_bytes,
    kio_decoded,
    kio_entity,
    schema_bytes,
)

every_version = pytest.mark.parametrize("version", spoken(ApiKey.SASL_HANDSHAKE))

response_values = st.fixed_dictionaries(
    {"error_code": error_code, "mechanisms": st.lists(text, max_size=4)}
)


@every_version
@few_examples
@given(mechanism=text)
def test_a_request_has_the_same_bytes_as_from_other_implementations(
    version: int, mechanism: str
) -> None:
    values = {"mechanism": mechanism}
    (ours,) = SaslHandshakeRequest(mechanism).encode(version)
    assert ours == kafka_python_bytes("SaslHandshakeRequest", version, values)
    assert ours == kio_bytes("SaslHandshakeRequest", version, values)
    assert ours == kafka_python_reencoded("SaslHandshakeRequest", version, bytes(ours))
    decoded = kio_decoded("SaslHandshakeRequest", version, bytes(ours))
    assert decoded == kio_entity("SaslHandshakeRequest", version, values)


@every_version
@few_examples
@given(values=response_values)
def test_a_response_of_other_implementations_is_understood(
    version: int, values: dict[str, Any]
) -> None:
    for encode in (kafka_python_bytes, kio_bytes, schema_bytes):
        reader = Reader(encode("SaslHandshakeResponse", version, values))
        decoded = SaslHandshakeResponse.decode(reader, version)
        assert decoded.error_code == values["error_code"]
        assert list(decoded.mechanisms) == values["mechanisms"]
        reader.finish()
