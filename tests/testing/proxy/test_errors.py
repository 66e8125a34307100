"""Answers with an error, for every API and version that the proxy writes, read by others."""

from __future__ import annotations

from typing import Any

import pytest

from aioproducer.errors import NotLeaderOrFollowerError
from aioproducer.testing.proxy.errors import (
    check_failable,
    code_of,
    error_answer,
    split_produce,
    spoil,
    topics_in,
)
from aioproducer.testing.proxy.frames import Frame, encode_answer
from aioproducer.testing.proxy.messages import API_NAMES, MESSAGES, api_key
from aioproducer.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from aioproducer.wire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest
from aioproducer.wire.messages.api_versions import ApiVersionsRequest
from aioproducer.wire.messages.end_txn import EndTxnRequest
from aioproducer.wire.messages.find_coordinator import GROUP, FindCoordinatorRequest
from aioproducer.wire.messages.init_producer_id import InitProducerIdRequest
from aioproducer.wire.messages.produce import ProducePartition, ProduceRequest, ProduceTopic
from aioproducer.wire.messages.sasl_authenticate import SaslAuthenticateRequest
from aioproducer.wire.messages.sasl_handshake import SaslHandshakeRequest
from aioproducer.wire.messages.txn_offset_commit import (
    OffsetPartition,
    OffsetTopic,
    TxnOffsetCommitRequest,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import SPOKEN, response_header_version

CODE = 47
ID = bytes(range(16))
TOPICS = [
    ProduceTopic("a", ID, [ProducePartition(3, [b"xx"]), ProducePartition(1, [b"yy"])]),
    ProduceTopic("b", ID[::-1], [ProducePartition(0, [b"zz"])]),
]
REQUESTS: list[Any] = [
    ProduceRequest(None, -1, 5, TOPICS),
    FindCoordinatorRequest("g", GROUP),
    InitProducerIdRequest("tx", 5),
    AddPartitionsToTxnRequest("tx", 1, 0, [("a", [1, 2])]),
    AddOffsetsToTxnRequest("tx", 1, 0, "g"),
    EndTxnRequest("tx", 1, 0, True),
    TxnOffsetCommitRequest("tx", "g", 1, 0, [OffsetTopic("a", [OffsetPartition(2, 7)])]),
    SaslHandshakeRequest("PLAIN"),
    SaslAuthenticateRequest(b"x"),
    ApiVersionsRequest("me", "1"),
]
CASES = [
    pytest.param(request, version, id=f"{request.API_KEY.kafka_name}-{version}")
    for request in REQUESTS
    for version in range(SPOKEN[request.API_KEY][0], SPOKEN[request.API_KEY][1] + 1)
]


def encoded(request: Any, version: int) -> bytes:
    parts = request.encode(version)
    return bytes(parts) if isinstance(parts, bytes | bytearray) else b"".join(parts)


def codes_in(answer: Any) -> set[int]:
    if hasattr(answer, "error_code"):
        return {answer.error_code}
    if hasattr(answer, "results"):
        return {row.error_code for row in answer.results}
    return {row.error_code for topic in answer.topics for row in topic.partitions}


@pytest.mark.parametrize(("request_", "version"), CASES)
def test_the_producer_reads_the_error(request_: Any, version: int) -> None:
    """Our own decoders are held against three others in tests/wire."""
    api = request_.API_KEY
    pair = MESSAGES[api]
    asked = pair.request.decode(encoded(request_, version), version)
    values, version_there = error_answer(api, version, asked, CODE)
    assert version_there == version
    data = encode_answer(Frame(api, version, 5, 9092, 0), values)
    reader = Reader(data)
    assert reader.int32() == 5
    if response_header_version(api, version):
        assert reader.tagged_fields() == {}
    answer = request_.Response.decode(reader, version)
    reader.finish()
    assert codes_in(answer) == {CODE}
    if isinstance(request_, ProduceRequest):
        rows = [(t.name or t.topic_id, p.index) for t in answer.topics for p in t.partitions]
        first, second = ("a", "b") if version < 13 else (ID, ID[::-1])
        assert rows == [(first, 3), (first, 1), (second, 0)]


def test_a_client_that_is_too_new_is_told_so_in_the_oldest_version() -> None:
    values, version = error_answer(api_key("ApiVersions"), 4, {}, 35)
    data = encode_answer(Frame(18, 4, 5, 9092, 0), values, version)
    assert data == b"\0\0\0\5\0\x23\0\0\0\0"


def test_newer_versions_than_ours_are_answered_in_full() -> None:
    asked = {
        "Transactions": [{"TransactionalId": "tx", "Topics": [{"Name": "a", "Partitions": [2]}]}]
    }
    values, _ = error_answer(api_key("AddPartitionsToTxn"), 5, asked, CODE)
    (row,) = values["ResultsByTransaction"]
    assert row["TopicResults"][0]["ResultsByPartition"] == [
        {"PartitionIndex": 2, "PartitionErrorCode": CODE}
    ]


def test_a_produce_request_is_split_by_topic() -> None:
    asked = {
        "Acks": 1,
        "TopicData": [
            {"Name": "a", "PartitionData": [{"Index": 0, "Records": b""}]},
            {"TopicId": ID, "PartitionData": [{"Index": 4, "Records": b""}]},
        ],
    }
    names = {ID: "b"}
    assert topics_in(0, asked, names) == {"a", "b"}
    rest, refused = split_produce(asked, CODE, lambda topic: topic == "b", names)
    assert [topic["Name"] for topic in rest["TopicData"]] == ["a"]
    assert refused == [{"TopicId": ID, "PartitionResponses": [{"Index": 4, "ErrorCode": CODE}]}]


def test_errors_are_put_into_what_the_broker_said() -> None:
    metadata = {"Topics": [{"Name": "a", "ErrorCode": 0, "Partitions": [1]}, {"Name": "b"}]}
    spoil(api_key("Metadata"), metadata, CODE, lambda topic: topic == "a", {})
    assert metadata["Topics"] == [{"Name": "a", "ErrorCode": CODE, "Partitions": []}, {"Name": "b"}]
    done = {"Topics": [{"Name": "a", "Partitions": [{"PartitionIndex": 1, "ErrorCode": 0}]}]}
    spoil(api_key("TxnOffsetCommit"), done, CODE, lambda topic: True, {})
    assert done["Topics"][0]["Partitions"][0]["ErrorCode"] == CODE


@pytest.mark.parametrize(
    "error",
    [6, "NOT_LEADER_OR_FOLLOWER", NotLeaderOrFollowerError, NotLeaderOrFollowerError("moved")],
)
def test_an_error_is_given_in_any_way(error: Any) -> None:
    assert code_of(error) == 6


@pytest.mark.parametrize("error", ["NO_SUCH_CODE", ValueError, None])
def test_what_is_no_error_of_kafka_s_is_refused(error: Any) -> None:
    with pytest.raises(ValueError, match="error code"):
        code_of(error)


def test_an_api_that_cannot_be_answered_is_refused_with_those_that_can() -> None:
    with pytest.raises(ValueError, match="JoinGroup; of these it can: Produce"):
        check_failable(API_NAMES.index("JoinGroup"))
    with pytest.raises(ValueError, match="every API"):
        check_failable(None)
