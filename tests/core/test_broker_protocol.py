"""The conversation with one broker: answers come in the order asked, in any pieces."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.core.broker_protocol import BrokerProtocol
from aioproducer.errors import BrokerError, MalformedResponseError
from aioproducer.wire.messages import (
    Broker,
    InitProducerIdRequest,
    MetadataRequest,
    MetadataResponse,
)
from aioproducer.wire.messages.api_versions import ApiVersionsRequest
from aioproducer.wire.messages.produce import ProduceRequest
from tests import broker_wire as wire
from tests.fake_broker import KAFKA_4


def sent(protocol: BrokerProtocol, request: Any, version: int, tag: object = None) -> wire.Request:
    """Send ``request`` and return it as the broker reads it."""
    data = b"".join(protocol.send(request, version, 0.0, tag))
    (size,) = wire.SIZE.unpack_from(data)
    assert size == len(data) - 4
    return wire.read_request(data[4:])


def metadata_answer(request: wire.Request, cluster_id: str) -> bytes:
    body = wire.metadata_response(
        request.version, [Broker(1, "one", 9092)], [], cluster_id=cluster_id
    )
    return wire.frame_response(request, body)


def ask(protocol: BrokerProtocol, count: int) -> list[bytes]:
    """Ask for metadata ``count`` times and return the answers."""
    requests = [sent(protocol, MetadataRequest(()), 12, tag) for tag in range(count)]
    return [metadata_answer(request, str(tag)) for tag, request in enumerate(requests)]


def received(protocol: BrokerProtocol, data: bytes) -> list[tuple[object, str | None]]:
    pairs = []
    for pending, answer in protocol.receive(data):
        assert isinstance(answer, MetadataResponse)
        pairs.append((pending.tag, answer.cluster_id))
    return pairs


def test_requests_carry_the_client_id_and_count_up() -> None:
    protocol = BrokerProtocol("me")
    requests = [sent(protocol, MetadataRequest(()), 12) for _ in range(3)]
    assert [request.correlation_id for request in requests] == [0, 1, 2]
    assert {request.client_id for request in requests} == {"me"}


def test_correlation_ids_begin_again_before_the_reserved_ones() -> None:
    protocol = BrokerProtocol("me")
    protocol._next_correlation_id = 2**31 - 9
    ids = [sent(protocol, MetadataRequest(()), 12).correlation_id for _ in range(3)]
    assert ids == [2**31 - 9, 0, 1]


def test_pipelined_requests_are_answered_in_order() -> None:
    protocol = BrokerProtocol("me")
    answers = ask(protocol, 5)
    assert len(protocol.in_flight) == 5
    assert received(protocol, b"".join(answers[:2])) == [(0, "0"), (1, "1")]
    assert len(protocol.in_flight) == 3
    assert received(protocol, b"".join(answers[2:])) == [(2, "2"), (3, "3"), (4, "4")]


@given(cuts=st.lists(st.integers(0, 400), max_size=12))
@settings(deadline=None)
def test_any_cutting_of_the_stream_gives_the_same_answers(cuts: list[int]) -> None:
    protocol = BrokerProtocol("me")
    stream = b"".join(ask(protocol, 4))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pairs = []
    for start, end in itertools.pairwise(edges):
        pairs += received(protocol, stream[start:end])
    assert pairs == [(n, str(n)) for n in range(4)]


def test_byte_by_byte() -> None:
    protocol = BrokerProtocol("me")
    stream = b"".join(ask(protocol, 2))
    pairs = [
        pair
        for index in range(len(stream))
        for pair in received(protocol, stream[index : index + 1])
    ]
    assert pairs == [(0, "0"), (1, "1")]


def test_an_answer_out_of_turn_is_malformed() -> None:
    protocol = BrokerProtocol("me")
    answers = ask(protocol, 2)
    with pytest.raises(MalformedResponseError, match="answer 1 where 0 was expected"):
        received(protocol, answers[1])
    assert len(protocol.in_flight) == 2


def test_an_answer_to_nothing_is_malformed() -> None:
    asked = ask(BrokerProtocol("me"), 1)
    with pytest.raises(MalformedResponseError, match="nothing was asked"):
        received(BrokerProtocol("me"), asked[0])


def test_a_request_whose_answer_cannot_be_read_is_still_unanswered() -> None:
    protocol = BrokerProtocol("me")
    ask(protocol, 1)
    garbage = wire.SIZE.pack(6) + wire.SIZE.pack(0) + b"\xff\xff"
    with pytest.raises(MalformedResponseError):
        received(protocol, garbage)
    assert len(protocol.in_flight) == 1


@pytest.mark.parametrize("data", [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\x02\0\0"])
def test_impossible_frames_are_malformed(data: bytes) -> None:
    protocol = BrokerProtocol("me")
    ask(protocol, 1)
    with pytest.raises(MalformedResponseError):
        received(protocol, data + bytes(8))


def test_a_request_without_an_answer_is_not_in_flight() -> None:
    protocol = BrokerProtocol("me")
    request = ProduceRequest(None, 0, 1000, [])
    protocol.send(request, 9, 0.0, None, expect_answer=False)
    assert not protocol.in_flight
    answers = ask(protocol, 1)
    assert received(protocol, answers[0]) == [(0, "0")]


def unanswered(protocol: BrokerProtocol) -> bytes:
    """Send what expects no answer, and return the one that a mock broker of librdkafka's gives."""
    buffers = protocol.send(ProduceRequest(None, 0, 1000, []), 9, 0.0, None, expect_answer=False)
    request = wire.read_request(b"".join(buffers)[4:])
    return wire.frame_response(request, b"anything")


def test_an_answer_that_no_request_expects_is_passed_over() -> None:
    protocol = BrokerProtocol("me")
    first = unanswered(protocol)
    (answer,) = ask(protocol, 1)
    last = unanswered(protocol)
    assert received(protocol, first + answer + last) == [(0, "0")]
    with pytest.raises(MalformedResponseError, match="nothing was asked"):
        received(protocol, last)


def test_an_answer_that_no_request_expects_may_fail_to_come() -> None:
    protocol = BrokerProtocol("me")
    late, _ = unanswered(protocol), unanswered(protocol)
    (answer,) = ask(protocol, 1)
    assert received(protocol, answer) == [(0, "0")]
    with pytest.raises(MalformedResponseError, match="nothing was asked"):
        received(protocol, late)


def test_answers_that_no_request_expects_are_passed_over_where_ids_begin_again() -> None:
    protocol = BrokerProtocol("me")
    protocol._next_correlation_id = 2**31 - 10
    protocol._last_read = 2**31 - 11
    silent = [unanswered(protocol) for _ in range(4)]
    (answer,) = ask(protocol, 1)
    assert received(protocol, b"".join(silent) + answer) == [(0, "0")]


def test_each_api_has_its_own_response_header() -> None:
    """The answer to ApiVersions has none of the tagged fields that others have."""
    protocol = BrokerProtocol("me")
    first = sent(protocol, ApiVersionsRequest("a", "1"), 4)
    second = sent(protocol, InitProducerIdRequest(None, 1000), 4)
    stream = wire.frame_response(first, wire.api_versions_response(first, KAFKA_4))
    stream += wire.frame_response(second, wire.init_producer_id_response(4, 0, 77, 5))
    (_, versions), (_, identity) = protocol.receive(stream)
    assert versions.api_versions == KAFKA_4
    assert (identity.producer_id, identity.producer_epoch) == (77, 5)


def test_the_time_of_sending_is_kept() -> None:
    protocol = BrokerProtocol("me")
    protocol.send(MetadataRequest(()), 12, 17.5, "tag")
    assert (protocol.in_flight[0].sent_at, protocol.in_flight[0].tag) == (17.5, "tag")


def test_a_request_that_its_version_cannot_say_awaits_no_answer() -> None:
    """It was never written; who waited for its answer would take the next one's for it."""
    protocol = BrokerProtocol("me")
    with pytest.raises(BrokerError, match="cannot say"):
        protocol.send(InitProducerIdRequest("payments", 60000, 4000, 3), 1, 0.0, "renewal")
    assert not protocol.in_flight
    (answer,) = ask(protocol, 1)
    assert received(protocol, answer) == [(0, "0")]
