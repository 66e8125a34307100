from __future__ import annotations

import struct

import pytest
from kafka.protocol.api_header import RequestHeader  # type: ignore[import-untyped]

from aioproducer.wire.messages import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    ApiVersionsRequest,
    ConfigResource,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DescribeConfigsRequest,
    DescribeProducersRequest,
    DescribeTransactionsRequest,
    EndTxnRequest,
    FindCoordinatorRequest,
    GetTelemetrySubscriptionsRequest,
    InitProducerIdRequest,
    MetadataRequest,
    NewTopic,
    OffsetPartition,
    OffsetTopic,
    ProducePartition,
    ProduceRequest,
    ProduceTopic,
    PushTelemetryRequest,
    Request,
    Response,
    SaslAuthenticateRequest,
    SaslHandshakeRequest,
    TxnOffsetCommitRequest,
    frame_request,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import SPOKEN, request_header_version
from tests.wire.messages.samples import TOPIC_ID, VALUES
from tests.wire.oracles import schema_bytes

BATCH = (b"h" * 61, bytearray(b"b" * 100))
REQUESTS: list[Request[Response]] = [
    ApiVersionsRequest("aioproducer", "1.0"),
    FindCoordinatorRequest("payments", 0),
    InitProducerIdRequest(None, 60000),
    MetadataRequest(("orders", "payments")),
    AddPartitionsToTxnRequest("payments", 4000, 3, [("orders", (0, 1))]),
    AddOffsetsToTxnRequest("payments", 4000, 3, "readers"),
    TxnOffsetCommitRequest(
        "payments", "readers", 4000, 3, [OffsetTopic("orders", [OffsetPartition(0, 17)])]
    ),
    EndTxnRequest("payments", 4000, 3, committed=True),
    SaslHandshakeRequest("PLAIN"),
    SaslAuthenticateRequest(b"\0alice\0secret"),
    CreateTopicsRequest([NewTopic("orders", 3, 2, {"cleanup.policy": "compact"})], 30000),
    DeleteTopicsRequest(["orders"], 30000),
    DescribeConfigsRequest([ConfigResource(2, "orders", ("min.insync.replicas",))]),
    DescribeProducersRequest([("orders", (0, 1))]),
    DescribeTransactionsRequest(["payments"]),
    GetTelemetrySubscriptionsRequest(),
    PushTelemetryRequest(TOPIC_ID, 1, False, 4, b"metrics"),
    ProduceRequest(
        None, -1, 30000, [ProduceTopic("orders", TOPIC_ID, [ProducePartition(3, BATCH)])]
    ),
]
every_request = pytest.mark.parametrize(
    ("request_", "version"),
    [
        pytest.param(request, version, id=f"{request.API_KEY.kafka_name}-v{version}")
        for request in REQUESTS
        for version in range(SPOKEN[request.API_KEY].minimum, SPOKEN[request.API_KEY].maximum + 1)
    ],
)


@every_request
def test_a_framed_request_is_its_size_its_header_and_its_body(
    request_: Request[Response], version: int
) -> None:
    whole = b"".join(frame_request(request_, version, 77, "me"))
    body = b"".join(request_.encode(version))
    header = RequestHeader(
        request_api_key=int(request_.API_KEY),
        request_api_version=version,
        correlation_id=77,
        client_id="me",
    ).encode(flexible=request_header_version(request_.API_KEY, version) == 2)
    assert whole == struct.pack(">i", len(header) + len(body)) + header + body


@every_request
def test_framing_a_request_twice_gives_the_same_bytes(
    request_: Request[Response], version: int
) -> None:
    """A request that is sent again must not find the first framing in its body."""
    first = b"".join(frame_request(request_, version, 1, "me"))
    assert b"".join(frame_request(request_, version, 1, "me")) == first


def test_the_batch_is_not_copied_into_the_frame() -> None:
    frame = frame_request(REQUESTS[-1], 12, 1, "me")
    assert frame[1] is BATCH[0]
    assert frame[2] is BATCH[1]


@every_request
def test_a_request_knows_the_class_of_its_answer(request_: Request[Response], version: int) -> None:
    name = f"{request_.API_KEY.kafka_name}Response"
    assert request_.Response.__name__ == name
    data = schema_bytes(name, version, VALUES[request_.Response])
    decoded = request_.Response.decode(Reader(data), version)
    assert type(decoded) is request_.Response
    assert decoded.throttle_time_ms in (0, 7)
