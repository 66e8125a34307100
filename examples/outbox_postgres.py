"""Orders in PostgreSQL and their events in Kafka, each exactly once: a transactional outbox.

    export DATABASE_URL=postgresql://localhost/orders
    python examples/outbox_postgres.py                  # three orders, and their events
    python examples/outbox_postgres.py place KEY...     # an order for each key, once
    python examples/outbox_postgres.py relay            # send events until it is interrupted

No transaction spans a database and Kafka: a crash between two commits leaves one of them done.

1. ``place_order`` writes the order, its idempotency key and its event in one database transaction.
   Whoever repeats a request after a crash meets the key, and nothing is written twice.
2. ``relay`` sends events in a Kafka transaction, which also holds a bookmark: the number of the
   last event, kept where a consumer keeps its offset. Both become visible together.
3. Then it marks the events as sent. A crash before that leaves events unmarked that are in Kafka:
   the bookmark tells the next relay so.

Many write to PostgreSQL at once, and what got the higher number may be committed first. So events
are numbered by the relay, when they are committed: a bookmark never passes over one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AiokafkaPartition

from aioproducer import AsyncProducer, ProducerError, ProducerFencedError, TopicPartition

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")
DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://localhost/orders")
TOPIC = os.environ.get("TOPIC", "orders")

SCHEMA = """
SELECT pg_advisory_xact_lock(7001);
CREATE TABLE IF NOT EXISTS orders (
    id BIGSERIAL PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, item TEXT NOT NULL);
CREATE SEQUENCE IF NOT EXISTS outbox_numbers;
CREATE TABLE IF NOT EXISTS outbox (
    id BIGSERIAL PRIMARY KEY, event_id UUID NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    key TEXT NOT NULL, value TEXT NOT NULL,
    number BIGINT UNIQUE, sent BOOLEAN NOT NULL DEFAULT FALSE);
CREATE INDEX IF NOT EXISTS unsent ON outbox (number) WHERE NOT sent;
"""

# One at a time, so that numbers are committed in their order, also when an older relay still runs.
NUMBER = """
UPDATE outbox SET number = numbered.number FROM (
    SELECT id, nextval('outbox_numbers') AS number
    FROM (SELECT id FROM outbox WHERE number IS NULL ORDER BY id) AS unnumbered
) AS numbered WHERE outbox.id = numbered.id
"""


async def open_database(url: str = DATABASE_URL) -> asyncpg.Connection:
    db = await asyncpg.connect(url)
    async with db.transaction():
        await db.execute(SCHEMA)
    return db


# The service


async def place_order(db: asyncpg.Connection, idempotency_key: str, item: str) -> bool:
    """Write an order and its event, or nothing if that was done before; return which."""
    async with db.transaction():
        order = await insert_order(db, idempotency_key, item)
        if order is not None:
            await insert_event(db, idempotency_key, {"order": order, "item": item})
    return order is not None


async def insert_order(db: asyncpg.Connection, idempotency_key: str, item: str) -> int | None:
    order: int | None = await db.fetchval(
        "INSERT INTO orders (idempotency_key, item) VALUES ($1, $2)"
        " ON CONFLICT (idempotency_key) DO NOTHING RETURNING id",
        idempotency_key,
        item,
    )
    return order


async def insert_event(db: asyncpg.Connection, key: str, event: dict[str, object]) -> None:
    await db.execute("INSERT INTO outbox (key, value) VALUES ($1, $2)", key, json.dumps(event))


# The relay


async def relay(db: asyncpg.Connection, bootstrap: str, topic: str, *, forever: bool) -> None:
    """Send what is in the outbox; one relay at a time, a newer one fences an older."""
    name = f"outbox-{topic}"
    async with AsyncProducer(bootstrap, transactional_id=name) as producer:
        # By now the last transaction of an older relay is either done or aborted.
        await mark_sent(db, await bookmark(bootstrap, topic, name))
        while True:
            await number_events(db)
            events = await unsent(db)
            if not events and not forever:
                return
            if not events:
                # LISTEN and NOTIFY would tell at once.
                await asyncio.sleep(0.2)
                continue
            async with producer.transaction() as tx:
                for event in events:
                    tx.send(
                        topic,
                        event["value"].encode(),
                        key=event["key"].encode(),
                        headers=[("event-id", event["event_id"].bytes)],
                    )
                last = events[-1]["number"]
                await tx.send_offsets({TopicPartition(topic, 0): last}, name)
            await mark_sent(db, last)


async def bookmark(bootstrap: str, topic: str, group: str) -> int:
    """Return the number of the last event that is in Kafka."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        committed: int | None = await consumer.committed(AiokafkaPartition(topic, 0))
    finally:
        await consumer.stop()
    return committed or 0


async def number_events(db: asyncpg.Connection) -> None:
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(7002)")
        await db.execute(NUMBER)


async def unsent(db: asyncpg.Connection, limit: int = 100) -> list[asyncpg.Record]:
    events: list[asyncpg.Record] = await db.fetch(
        "SELECT number, event_id, key, value FROM outbox"
        " WHERE NOT sent AND number IS NOT NULL ORDER BY number LIMIT $1",
        limit,
    )
    return events


async def mark_sent(db: asyncpg.Connection, number: int) -> None:
    await db.execute("UPDATE outbox SET sent = TRUE WHERE NOT sent AND number <= $1", number)


async def keep_relaying(db: asyncpg.Connection, bootstrap: str, topic: str) -> None:
    """Relay for ever. After a failure a new producer finds out what became of the last commit."""
    while True:
        try:
            await relay(db, bootstrap, topic, forever=True)
        except ProducerFencedError:
            # Another relay has taken over.
            raise
        except ProducerError as error:
            print(f"{type(error).__name__}: {error}")
            await asyncio.sleep(1)


async def main(bootstrap: str = BOOTSTRAP, topic: str = TOPIC, url: str = DATABASE_URL) -> int:
    db = await open_database(url)
    try:
        placed = [await place_order(db, key, f"item of {key}") for key in ("a-1", "a-2", "a-1")]
        await relay(db, bootstrap, topic, forever=False)
    finally:
        await db.close()
    print(f"{sum(placed)} orders placed, their events sent")
    return sum(placed)


async def place(keys: list[str]) -> None:
    db = await open_database()
    for key in keys:
        await place_order(db, key, f"item of {key}")
    await db.close()


async def relay_alone() -> None:
    await keep_relaying(await open_database(), BOOTSTRAP, TOPIC)


def command() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("action", nargs="?", choices=["demo", "place", "relay"], default="demo")
    parser.add_argument("keys", nargs="*")
    arguments = parser.parse_args()
    if arguments.action == "place":
        asyncio.run(place(arguments.keys))
    elif arguments.action == "relay":
        asyncio.run(relay_alone())
    else:
        asyncio.run(main())


if __name__ == "__main__":
    command()
