# pyright: standard
# pyright: reportUnnecessaryTypeIgnoreComment=error
"""What mypy and pyright must see in the public API; `make lint` checks this file with both.

Nothing here runs. Each `type: ignore` stands for a mistake that both have to find: an unused one
is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import assert_type

from aioproducer import (
    AsyncProducer,
    Delivery,
    Record,
    RecordMetadata,
    SendManyResult,
    Transaction,
)
from aioproducer.patterns import TransactionalProducerPool
from aioproducer.serializers import SerializationContext


@dataclass
class Order:
    number: int


def order_to_json(order: Order) -> bytes:
    return str(order.number).encode()


class OrderSerializer:
    def serialize(self, value: Order, context: SerializationContext) -> bytes:
        return f"{context.topic}:{value.number}".encode()


def serializers_decide_the_types() -> None:
    assert_type(AsyncProducer("a:1", linger_ms=3), AsyncProducer[bytes, bytes])
    both = AsyncProducer("a:1", key_serializer=str.encode, value_serializer=order_to_json)
    assert_type(both, AsyncProducer[str, Order])
    by_object = AsyncProducer("a:1", value_serializer=OrderSerializer())
    assert_type(by_object, AsyncProducer[bytes, Order])
    by_name: AsyncProducer[str, Order] = AsyncProducer("a:1", key_serializer="string")
    by_name.send("orders", Order(1), key="k")
    by_name.send("orders", 5, key="k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    by_name.send("orders", Order(1), key=b"k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def deliveries_are_futures(producer: AsyncProducer[bytes, bytes]) -> None:
    delivery = producer.send("orders", b"v")
    assert_type(delivery, Delivery)
    assert_type(await delivery, RecordMetadata)
    assert_type(await asyncio.gather(*[delivery]), list[RecordMetadata])
    assert_type(await asyncio.wait_for(delivery, 1), RecordMetadata)
    assert_type(await asyncio.shield(delivery), RecordMetadata)
    done, _ = await asyncio.wait([delivery])
    assert_type(done, set[Delivery])
    assert_type(await producer.send_and_wait("orders", b"v"), RecordMetadata)
    wrong: str = await delivery  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del wrong


async def pools_have_the_types_of_their_producers() -> None:
    plain = TransactionalProducerPool("a:1", prefix="tx-", linger_ms=3)
    assert_type(plain, TransactionalProducerPool[bytes, bytes])
    pool = TransactionalProducerPool(
        "a:1", prefix="tx-", key_serializer=str.encode, value_serializer=order_to_json
    )
    assert_type(pool, TransactionalProducerPool[str, Order])

    async def book(tx: Transaction[str, Order]) -> int:
        tx.send("orders", Order(1), key="k")
        tx.send("orders", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return 7

    assert_type(await pool.execute_in_transaction(book), int)
    async with pool.producer() as producer:
        assert_type(producer, AsyncProducer[str, Order])
    async with pool.transaction() as tx:
        assert_type(tx, Transaction[str, Order])


async def many_records(producer: AsyncProducer[bytes, bytes]) -> None:
    async def source() -> AsyncIterator[Record[bytes, bytes]]:
        yield Record("orders", b"v")

    assert_type(await producer.send_many(source()), SendManyResult)
    result = await producer.send_many([Record("orders", b"v")])
    for outcome in result:
        if isinstance(outcome, RecordMetadata):
            assert_type(outcome.offset, int)
