"""Orders in SQLite and their events in Kafka, each exactly once: a transactional outbox.

    python examples/outbox_sqlite.py                  # three orders, and their events
    python examples/outbox_sqlite.py place KEY...     # an order for each key, once
    python examples/outbox_sqlite.py relay            # send events until it is interrupted

No transaction spans a database and Kafka: a crash between two commits leaves one of them done.

1. ``place_order`` writes the order, its idempotency key and its event in one database transaction.
   Whoever repeats a request after a crash meets the key, and nothing is written twice.
2. ``relay`` sends events in a Kafka transaction, which also holds a bookmark: the number of the
   last event, kept where a consumer keeps its offset. Both become visible together.
3. Then it marks the events as sent. A crash before that leaves events unmarked that are in Kafka:
   the bookmark tells the next relay so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import uuid
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AiokafkaPartition

from aioproducer import AsyncProducer, ProducerError, ProducerFencedError, TopicPartition

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")
DATABASE = os.environ.get("DATABASE", "orders.sqlite")
TOPIC = os.environ.get("TOPIC", "orders")

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, item TEXT NOT NULL);
-- Writers of SQLite take turns: numbers are committed in their order, and never given out again.
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL, value TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS unsent ON outbox (number) WHERE NOT sent;
"""


class Event(NamedTuple):
    number: int
    event_id: str
    key: str
    value: str


def open_database(path: str = DATABASE) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=30, check_same_thread=False)
    db.executescript(SCHEMA)
    return db


# The service


def place_order(db: sqlite3.Connection, idempotency_key: str, item: str) -> bool:
    """Write an order and its event, or nothing if that was done before; return which."""
    with db:
        order = insert_order(db, idempotency_key, item)
        if order is not None:
            insert_event(db, idempotency_key, {"order": order, "item": item})
    return order is not None


def insert_order(db: sqlite3.Connection, idempotency_key: str, item: str) -> int | None:
    rows: list[tuple[int]] = db.execute(
        "INSERT INTO orders (idempotency_key, item) VALUES (?, ?)"
        " ON CONFLICT (idempotency_key) DO NOTHING RETURNING id",
        (idempotency_key, item),
    ).fetchall()
    return rows[0][0] if rows else None


def insert_event(db: sqlite3.Connection, key: str, event: dict[str, object]) -> None:
    db.execute(
        "INSERT INTO outbox (event_id, key, value) VALUES (?, ?, ?)",
        (str(uuid.uuid4()), key, json.dumps(event)),
    )


# The relay


async def relay(db: sqlite3.Connection, bootstrap: str, topic: str, *, forever: bool) -> None:
    """Send what is in the outbox; one relay at a time, a newer one fences an older."""
    name = f"outbox-{topic}"
    async with AsyncProducer(bootstrap, transactional_id=name) as producer:
        # By now the last transaction of an older relay is either done or aborted.
        mark_sent(db, await bookmark(bootstrap, topic, name))
        while True:
            events = await asyncio.to_thread(unsent, db)
            if not events and not forever:
                return
            if not events:
                await asyncio.sleep(0.2)
                continue
            async with producer.transaction() as tx:
                for event in events:
                    tx.send(
                        topic,
                        event.value.encode(),
                        key=event.key.encode(),
                        headers=[("event-id", event.event_id.encode())],
                    )
                await tx.send_offsets({TopicPartition(topic, 0): events[-1].number}, name)
            await asyncio.to_thread(mark_sent, db, events[-1].number)


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


def unsent(db: sqlite3.Connection, limit: int = 100) -> list[Event]:
    rows = db.execute(
        "SELECT number, event_id, key, value FROM outbox WHERE NOT sent ORDER BY number LIMIT ?",
        (limit,),
    )
    return [Event(*row) for row in rows]


def mark_sent(db: sqlite3.Connection, number: int) -> None:
    with db:
        db.execute("UPDATE outbox SET sent = 1 WHERE NOT sent AND number <= ?", (number,))


async def keep_relaying(db: sqlite3.Connection, bootstrap: str, topic: str) -> None:
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


async def main(bootstrap: str = BOOTSTRAP, topic: str = TOPIC, database: str = DATABASE) -> int:
    db = open_database(database)
    try:
        placed = [place_order(db, key, f"item of {key}") for key in ("a-1", "a-2", "a-1")]
        await relay(db, bootstrap, topic, forever=False)
    finally:
        db.close()
    print(f"{sum(placed)} orders placed, their events sent")
    return sum(placed)


def command() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("action", nargs="?", choices=["demo", "place", "relay"], default="demo")
    parser.add_argument("keys", nargs="*")
    arguments = parser.parse_args()
    if arguments.action == "demo":
        asyncio.run(main())
        return
    db = open_database()
    if arguments.action == "relay":
        asyncio.run(keep_relaying(db, BOOTSTRAP, TOPIC))
    for key in arguments.keys:
        place_order(db, key, f"item of {key}")
    db.close()


if __name__ == "__main__":
    command()
