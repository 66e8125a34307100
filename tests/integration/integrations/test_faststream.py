"""A FastStream broker publishes through our producer, and FastStream does not notice."""

from __future__ import annotations

import asyncio

import pytest
from faststream.exceptions import IncorrectState
from faststream.kafka import KafkaBroker, KafkaMessage, TestKafkaBroker

from aioproducer import AsyncProducer, Delivery, RecordTooLargeError
from aioproducer.integrations.faststream import FastStreamProducer, publish_through
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory


def broker_on(bootstrap: str) -> tuple[KafkaBroker, FastStreamProducer]:
    broker = KafkaBroker(bootstrap.split(","), logger=None)
    kafka = publish_through(
        broker, lambda: AsyncProducer(bootstrap, client_id="ours", max_request_size=10_000)
    )
    return broker, kafka


async def test_every_way_to_publish_goes_through_ours(bootstrap: str, topic: TopicFactory) -> None:
    orders, invoices = topic(), topic()
    broker, kafka = broker_on(bootstrap)

    @broker.subscriber(orders, auto_offset_reset="earliest")
    @broker.publisher(invoices)
    async def invoice(item: str, message: KafkaMessage) -> dict[str, str]:
        return {"invoice for": item}

    assert not kafka
    async with broker:
        await broker.start()
        assert kafka
        assert not kafka.closed
        metadata = await broker.publish("book", orders, key=b"ada", headers={"trace": "a1"})
        assert (metadata.topic, metadata.offset) == (orders, 0)
        later = await broker.publish("pen", orders, no_confirm=True)
        assert isinstance(later, Delivery)
        await broker.publish(None, invoices, key=b"gone")
        await broker.publish_batch("cup", "mug", topic=orders)
        last = await broker.publish_batch("jug", topic=orders, no_confirm=True)
        assert isinstance(last, Delivery)
        async with asyncio.timeout(120):
            while kafka.producer.metrics().record_ack_total < 11:
                await asyncio.sleep(0.05)
        await kafka.flush()
        assert kafka.producer.client_id == "ours"
    assert kafka.closed

    records = await read_topic_async(bootstrap, orders)
    assert [record.value for record in records] == [b"book", b"pen", b"cup", b"mug", b"jug"]
    assert records[0].key == b"ada"
    headers = dict(records[0].headers)
    assert (headers["content-type"], headers["trace"]) == (b"text/plain", b"a1")
    answers = await read_topic_async(bootstrap, invoices)
    (tombstone,) = [record for record in answers if record.key == b"gone"]
    assert tombstone.value is None
    assert {record.value for record in answers} - {None} == {
        b'{"invoice for":"%s"}' % item for item in (b"book", b"pen", b"cup", b"mug", b"jug")
    }


async def test_a_failure_is_raised_to_who_publishes(bootstrap: str, topic: TopicFactory) -> None:
    orders = topic()
    broker, _ = broker_on(bootstrap)
    async with broker:
        await broker.start()
        with pytest.raises(RecordTooLargeError):
            await broker.publish("x" * 20_000, orders)
        with pytest.raises(RecordTooLargeError):
            await broker.publish_batch("fits", "x" * 20_000, topic=orders)
    (record,) = await read_topic_async(bootstrap, orders)
    assert record.value == b"fits"


async def test_faststreams_own_test_broker_still_works() -> None:
    broker, kafka = broker_on("localhost:9092")
    seen = []

    @broker.subscriber("orders")
    async def handle(item: str) -> None:
        seen.append(item)

    async with TestKafkaBroker(broker) as tested:
        await tested.publish("book", "orders")
    assert seen == ["book"]
    with pytest.raises(IncorrectState):
        kafka.producer  # noqa: B018
