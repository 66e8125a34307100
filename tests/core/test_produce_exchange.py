"""Batches in a request and their places in the answer."""

from __future__ import annotations

import pytest

from aioproducer.core.batch import Stamp
from aioproducer.core.produce_exchange import ProduceExchange, Shipment
from aioproducer.core.topic_queues import TopicQueues
from aioproducer.errors import MalformedResponseError
from aioproducer.wire.messages.produce import (
    ProducePartitionResponse,
    ProduceResponse,
    ProduceTopicResponse,
)
from aioproducer.wire.record_batch import decode_batches
from tests.core.makers import make_batch
from tests.core.test_topic_queues import view

IDS = {"orders": b"id-of-the-orders", "others": b"id-of-the-others"}


def shipments(*places: tuple[str, int], with_ids: bool = True) -> list[Shipment]:
    topics: dict[str, TopicQueues] = {}
    made = []
    for name, index in places:
        if name not in topics:
            topics[name] = TopicQueues(name, adaptive=True)
            topic_id = IDS[name] if with_ids else bytes(16)
            topics[name].update(view(1, 1, 1, topic_id=topic_id), lambda *_: None, True)
        batch = make_batch(values=[f"{name}-{index}".encode()])
        batch.payload = batch.body
        batch.stamp = Stamp(5, 1, index)
        made.append(Shipment(topics[name].partitions[index], batch))
    return made


def row(index: int, offset: int = 0) -> ProducePartitionResponse:
    return ProducePartitionResponse(index, 0, offset, -1, 0, (), None, None)


def answer(*topics: tuple[str, bytes, list[int]]) -> ProduceResponse:
    return ProduceResponse(
        tuple(
            ProduceTopicResponse(name, topic_id, tuple(row(index, index + 100) for index in rows))
            for name, topic_id, rows in topics
        )
    )


def test_the_request_groups_batches_by_topic() -> None:
    places = [("orders", 0), ("others", 2), ("orders", 1)]
    exchange = ProduceExchange(shipments(*places), acks=-1, timeout_ms=30_000)
    request = exchange.request
    assert (request.acks, request.timeout_ms, request.transactional_id) == (-1, 30_000, None)
    assert [
        (topic.name, topic.topic_id, [partition.index for partition in topic.partitions])
        for topic in request.topics
    ] == [("orders", IDS["orders"], [0, 1]), ("others", IDS["others"], [2])]
    data = b"".join(request.topics[1].partitions[0].records)
    (batch,) = decode_batches(data)
    assert batch.records[0].value == b"others-2"
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (5, 1, 2)


@pytest.mark.parametrize("by_id", [True, False])
def test_answers_find_their_batches_by_name_or_by_id(by_id: bool) -> None:
    sent = shipments(("orders", 0), ("others", 2), ("orders", 1))
    exchange = ProduceExchange(sent, acks=-1, timeout_ms=1)
    names = {name: ("" if by_id else name) for name in IDS}
    pairs = exchange.answers(
        answer(
            (names["others"], IDS["others"] if by_id else bytes(16), [2]),
            (names["orders"], IDS["orders"] if by_id else bytes(16), [1, 0]),
        )
    )
    found = {shipment: result.base_offset for shipment, result in pairs}
    assert found == {sent[0]: 100, sent[1]: 102, sent[2]: 101}


@pytest.mark.parametrize(
    "response",
    [
        answer(("orders", bytes(16), [0])),
        answer(("orders", bytes(16), [0, 1, 2])),
        answer(("orders", bytes(16), [0, 1]), ("others", bytes(16), [0])),
        answer(("orders", bytes(16), [0, 0])),
        answer(("", b"an-unknown-topic", [0, 1])),
        answer(),
    ],
    ids=["one left out", "one made up", "a topic made up", "one twice", "unknown id", "nothing"],
)
def test_an_answer_that_does_not_fit_is_malformed(response: ProduceResponse) -> None:
    exchange = ProduceExchange(shipments(("orders", 0), ("orders", 1)), acks=-1, timeout_ms=1)
    with pytest.raises(MalformedResponseError, match="produce answer"):
        list(exchange.answers(response))


def test_ids_that_are_not_known_are_seen() -> None:
    known = ProduceExchange(shipments(("orders", 0)), acks=-1, timeout_ms=1)
    unknown = ProduceExchange(shipments(("orders", 0), with_ids=False), acks=-1, timeout_ms=1)
    assert known.has_topic_ids
    assert not unknown.has_topic_ids
