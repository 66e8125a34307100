"""The outbox examples: killed at every step, each event ends in database and log exactly once."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from aioproducer.testing.judge import ReadRecord
from tests.conftest import TopicFactory
from tests.integration.committed import read_settled
from tests.integration.examples.processes import KILLED, PATIENCE, Example, wait_until

pytestmark = pytest.mark.timeout(900)

KEYS = [f"order-{n}" for n in range(8)]


class Outbox(NamedTuple):
    """One of the two examples with a database and a topic of its own."""

    example: Example
    bootstrap: str
    topic: str
    rows: Callable[[str], list[tuple[object, ...]]]

    def orders(self) -> list[object]:
        return [key for (key,) in self.rows("SELECT idempotency_key FROM orders")]

    def events(self) -> list[tuple[str, str, bool]]:
        rows = self.rows("SELECT event_id, key, sent FROM outbox ORDER BY number")
        return [(str(event), str(key), bool(sent)) for event, key, sent in rows]

    def committed(self) -> list[ReadRecord]:
        return read_settled(self.bootstrap, self.topic)


@pytest.fixture(params=["sqlite", "postgres"])
def outbox(
    request: pytest.FixtureRequest, tmp_path: Path, bootstrap: str, topic: TopicFactory
) -> Outbox:
    name = topic(2)
    environment = {"AIOPRODUCER_BOOTSTRAP": bootstrap, "TOPIC": name}
    if request.param == "sqlite":
        path = str(tmp_path / "orders.sqlite")
        environment["DATABASE"] = path
        return Outbox(
            Example("outbox_sqlite", tmp_path, environment), bootstrap, name, _sqlite(path)
        )
    url: str = request.getfixturevalue("database_url")
    environment["DATABASE_URL"] = url
    return Outbox(
        Example("outbox_postgres", tmp_path, environment), bootstrap, name, _postgres(url)
    )


def _sqlite(path: str) -> Callable[[str], list[tuple[object, ...]]]:
    def rows(statement: str) -> list[tuple[object, ...]]:
        db = sqlite3.connect(path, timeout=30)
        try:
            return db.execute(statement).fetchall()
        finally:
            db.close()

    return rows


def _postgres(url: str) -> Callable[[str], list[tuple[object, ...]]]:
    async def ask(statement: str) -> list[tuple[object, ...]]:
        db = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await db.fetch(statement)]
        finally:
            await db.close()

    return lambda statement: asyncio.run(ask(statement))


def _place(outbox: Outbox, *keys: str, **environment: str) -> int:
    return outbox.example.run("place", *keys, **environment)


def _relay_until_all_is_sent(outbox: Outbox) -> None:
    with outbox.example.running("relay") as relay:

        def is_done() -> bool:
            assert relay.poll() is None, outbox.example.output()
            return all(sent for _, _, sent in outbox.events())

        wait_until(is_done, PATIENCE, "every event is marked as sent")


def _assert_exactly_once(outbox: Outbox, keys: list[str]) -> None:
    assert Counter(outbox.orders()) == Counter(keys), outbox.example.output()
    events = outbox.events()
    assert Counter(key for _, key, _ in events) == Counter(keys)
    assert all(sent for _, _, sent in events)
    records = outbox.committed()
    assert Counter((r.key or b"").decode() for r in records) == Counter(keys), (
        outbox.example.output()
    )
    assert {json.loads(r.value or b"")["item"] for r in records} == {f"item of {k}" for k in keys}


# Where the process that places orders, and where the relay, dies. {} is the example's own module.
PLACING = [
    "{}:insert_order:before:3",
    "{}:insert_event:before:3",
    "{}:insert_event:after:3",
    "{}:place_order:after:3",
]
DATABASE_POINTS = [
    "{}:bookmark:before:1",
    "{}:unsent:after:1",
    # The first call marks what the bookmark says, the second what was just committed.
    "{}:mark_sent:before:2",
    "{}:mark_sent:after:2",
]
KAFKA_POINTS = [
    "aioproducer.producer:AsyncProducer.begin_transaction:after:1",
    "aioproducer.transaction:Transaction.send:after:5",
    "aioproducer.transaction:Transaction.send_offsets:before:1",
    "aioproducer.transaction:Transaction.send_offsets:amid:1",
    "aioproducer.transaction:Transaction.send_offsets:after:1",
    "aioproducer.producer:AsyncProducer.commit_transaction:before:1",
    "aioproducer.runtime.coordinator_client:CoordinatorClient.end:amid:1",
    "aioproducer.runtime.coordinator_client:CoordinatorClient.end:after:1",
    "aioproducer.producer:AsyncProducer.commit_transaction:after:1",
]
# What has to do with Kafka alone is the same in both.
RELAYING = [
    *(("sqlite", point) for point in DATABASE_POINTS + KAFKA_POINTS),
    *(("postgres", point) for point in DATABASE_POINTS),
    ("postgres", "{}:number_events:before:1"),
    ("postgres", "{}:number_events:after:1"),
    ("postgres", "aioproducer.runtime.coordinator_client:CoordinatorClient.end:amid:1"),
]


@pytest.mark.parametrize("point", PLACING)
def test_a_crash_while_an_order_is_placed_leaves_nothing_half_done(
    outbox: Outbox, point: str
) -> None:
    crash = point.format(outbox.example.module)
    assert _place(outbox, *KEYS, CRASH=crash) == KILLED, outbox.example.output()
    placed = outbox.orders()
    assert len(placed) == (3 if "place_order" in point else 2)
    assert len(outbox.events()) == len(placed)
    # The client had no answer, and repeats all it asked for.
    assert _place(outbox, *KEYS) == 0, outbox.example.output()
    _relay_until_all_is_sent(outbox)
    _assert_exactly_once(outbox, KEYS)


@pytest.mark.parametrize(("outbox", "point"), RELAYING, indirect=["outbox"])
def test_a_crash_while_events_are_relayed_neither_loses_nor_doubles_one(
    outbox: Outbox, point: str
) -> None:
    assert _place(outbox, *KEYS) == 0, outbox.example.output()
    crash = point.format(outbox.example.module)
    assert outbox.example.run("relay", CRASH=crash) == KILLED, outbox.example.output()
    _relay_until_all_is_sent(outbox)
    _assert_exactly_once(outbox, KEYS)


def test_the_gap_between_the_two_commits_is_real_and_closed_by_the_bookmark(
    outbox: Outbox,
) -> None:
    """Else the crash tests would prove nothing: here the log has events that the database lacks."""
    _place(outbox, *KEYS)
    crash = f"{outbox.example.module}:mark_sent:before:2"
    assert outbox.example.run("relay", CRASH=crash) == KILLED
    assert len(outbox.committed()) == len(KEYS)
    assert not any(sent for _, _, sent in outbox.events())
    _relay_until_all_is_sent(outbox)
    _assert_exactly_once(outbox, KEYS)


def test_kills_at_random_neither_lose_nor_double_an_event(outbox: Outbox) -> None:
    rng = random.Random(5)
    keys = [f"order-{n}" for n in range(600)]
    for end in range(100, 601, 100):
        # The killing ends both: leaving the block is kill -9.
        with (
            outbox.example.running("relay"),
            outbox.example.running("place", *keys[:end]),
        ):
            time.sleep(rng.uniform(0.6, 2.0))
    assert _place(outbox, *keys) == 0, outbox.example.output()
    _relay_until_all_is_sent(outbox)
    _assert_exactly_once(outbox, keys)


def test_a_newer_relay_takes_over_from_one_that_still_runs(outbox: Outbox) -> None:
    keys = [f"order-{n}" for n in range(4)]
    assert _place(outbox, *keys) == 0, outbox.example.output()
    with outbox.example.running("relay") as older:
        wait_until(lambda: _sent(outbox) == len(keys), PATIENCE, "the older relay sends")
        with outbox.example.running("relay") as newer:
            deadline = time.monotonic() + PATIENCE
            # An idle one does not learn that it is fenced: that takes an event to send.
            while older.poll() is None:
                assert time.monotonic() < deadline, outbox.example.output()
                keys.append(f"order-{len(keys)}")
                assert _place(outbox, keys[-1]) == 0, outbox.example.output()
            wait_until(lambda: _sent(outbox) == len(keys), PATIENCE, "the newer relay sends")
            assert newer.poll() is None
    assert "ProducerFencedError" in outbox.example.output()
    _assert_exactly_once(outbox, keys)


def _sent(outbox: Outbox) -> int:
    return sum(sent for _, _, sent in outbox.events())


def test_it_runs_as_a_newcomer_runs_it(outbox: Outbox) -> None:
    """With a topic that is not there yet, again and again, and on a key that is there already."""
    fresh = outbox._replace(topic=f"{outbox.topic}-fresh")
    for placed in (2, 0):
        assert outbox.example.run(TOPIC=fresh.topic, PYTHONWARNINGS="error") == 0, (
            outbox.example.output()
        )
        assert f"{placed} orders placed, their events sent" in outbox.example.output()
        assert Counter(record.key for record in fresh.committed()) == {b"a-1": 1, b"a-2": 1}
