"""Circuit breaker and dead letters on a real cluster, judged by librdkafka's consumer."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    CircuitOpenError,
    DeliveryTimeoutError,
    ProducerError,
    RecordTooLargeError,
)
from aioproducer.cli.dlq import ReplayOptions, run_replay
from aioproducer.cli.exit_status import Exit
from aioproducer.patterns import (
    CircuitBreaker,
    CircuitChange,
    CircuitRules,
    CircuitState,
    DeadLetters,
    spool,
)
from aioproducer.testing.admin import set_topic_config
from aioproducer.testing.judge import ReadRecord, read_topic
from aioproducer.testing.proxy import Cut, FaultProxy, Frame
from tests.conftest import TopicFactory

# Nothing here is quick on a slow machine.
pytestmark = pytest.mark.timeout(900)

PATIENCE = 240

# What is cut off is repeated for as long as the test may take.
STUBBORN: dict[str, Any] = {"linger_ms": 0, "delivery_timeout_ms": PATIENCE * 1000}


async def read(bootstrap: str, topic: str) -> list[ReadRecord]:
    return await asyncio.to_thread(read_topic, bootstrap, topic)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def replay(bootstrap: str, source: str, **options: Any) -> dict[str, Any]:
    """Do what `aioproducer dlq replay` does."""
    out = io.StringIO()
    given = ReplayOptions(source=source, as_json=True, loop="asyncio", **options)
    assert run_replay({"bootstrap.servers": bootstrap}, given, out) == Exit.OK
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


class Away:
    """Ends each connection at the first produce request, while the cluster is away."""

    def __init__(self) -> None:
        self.is_away = False

    def __call__(self, frame: Frame) -> float | None:
        if self.is_away and frame.is_produce:
            raise Cut
        return None


async def test_a_circuit_opens_while_the_cluster_is_away_and_closes_when_it_is_back(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, away = topic(), Away()
    rules = CircuitRules(failures_in_row=1, recovery=1)
    refused: list[Any] = []

    def once_it_opens(change: CircuitChange) -> None:
        # At once: a slow machine may take longer than the recovery to come back to the test.
        if change.after is CircuitState.OPEN:
            refused.append(breaker.send(name, b"never sent"))

    async with FaultProxy(bootstrap) as proxy:
        proxy.on_request = away
        producer: AsyncProducer[bytes, bytes] = AsyncProducer(proxy.bootstrap_servers, **STUBBORN)
        async with CircuitBreaker(producer, rules, on_change=once_it_opens) as breaker:
            await breaker.send_and_wait(name, b"before")
            away.is_away = True
            with pytest.raises(DeliveryTimeoutError):
                await breaker.send(name, b"late", timeout=1)
            # Half-open comes with the first record after the recovery, however long that takes.
            await until(lambda: breaker.circuits[""] is CircuitState.OPEN)
            with pytest.raises(CircuitOpenError) as caught:
                await refused[0]
            assert isinstance(caught.value.__cause__, DeliveryTimeoutError)
            away.is_away = False
            deadline = time.monotonic() + PATIENCE
            while breaker.circuits[""] is not CircuitState.CLOSED:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
                await asyncio.wait([breaker.send(name, b"probe")])
            await breaker.send(name, b"after")
    values = {record.value for record in await read(bootstrap, name)}
    assert values == {b"before", b"late", b"probe", b"after"}


async def test_what_a_broker_refuses_is_in_the_dead_letter_topic_and_goes_back(
    bootstrap: str, topic: TopicFactory
) -> None:
    small = topic(configs={"max.message.bytes": "1000"})
    dead = topic(2)
    headers = [("h", b"1"), ("n", None)]
    async with DeadLetters(AsyncProducer(bootstrap), topic=dead) as letters:
        taken = letters.send(small, b"small", key=b"k")
        refused = [
            letters.send(small, b"%d" % n * 2_000, key=b"k%d" % n, headers=headers, partition=0)
            for n in range(3)
        ]
        await taken
        for delivery in refused:
            with pytest.raises(RecordTooLargeError):
                await delivery
    found = sorted(await read(bootstrap, dead), key=lambda record: record.key or b"")
    assert [(record.key, record.value) for record in found] == [
        (b"k%d" % n, b"%d" % n * 2_000) for n in range(3)
    ]
    for record in found:
        assert list(record.headers[:2]) == headers
        told = dict(record.headers)
        assert (told["original.topic"], told["original.partition"]) == (small.encode(), b"0")
        assert told["failure.class"] == b"MessageTooLargeError"
        assert told["failure.persisted"] == b"no"

    # From the topic back, when it takes them: none twice, however often it is run.
    await asyncio.to_thread(set_topic_config, bootstrap, small, {"max.message.bytes": "100000"})
    looked = await asyncio.to_thread(partial(replay, bootstrap, dead, dry_run=True))
    assert (looked["topics"], looked["replayed"]) == ({small: 3}, 0)
    await _until_it_takes(bootstrap, small)
    report = await asyncio.to_thread(replay, bootstrap, dead)
    assert (report["kind"], report["replayed"], report["failed"]) == ("topic", 3, 0)
    again = await asyncio.to_thread(partial(replay, bootstrap, dead, include_maybe=True))
    assert again["replayed"] == 0
    back = [record for record in await read(bootstrap, small) if record.key != b"probe"]
    assert back[0].value == b"small"
    assert {(r.key, r.value, r.headers) for r in back[1:]} == {
        (b"k%d" % n, b"%d" % n * 2_000, tuple(headers)) for n in range(3)
    }
    assert len(back) == 4


async def test_what_the_dead_letter_topic_refuses_too_waits_in_the_spool(
    bootstrap: str, topic: TopicFactory, tmp_path: Path
) -> None:
    small, dead = (topic(configs={"max.message.bytes": "1000"}) for _ in range(2))
    path = tmp_path / "letters.spool"
    async with DeadLetters(AsyncProducer(bootstrap), topic=dead, spool=path) as letters:
        sent = [letters.send(small, b"%d" % n + b"x" * 2_000, key=b"k") for n in range(200)]
        await asyncio.wait(sent)
        assert {delivery.kept for delivery in sent} == {str(path)}
        assert (letters.sent, letters.spooled, letters.lost) == (0, 200, 0)
    assert await read(bootstrap, dead) == []
    persisted = {each.letter.persisted for each in spool.read(path) if each.letter}
    assert persisted == {"no"}
    await asyncio.to_thread(set_topic_config, bootstrap, small, {"max.message.bytes": "100000"})
    await _until_it_takes(bootstrap, small)
    report = await asyncio.to_thread(replay, bootstrap, str(path))
    assert (report["kind"], report["replayed"], report["left"]) == ("spool", 200, 0)
    values = [record.value for record in await read(bootstrap, small) if record.key == b"k"]
    assert sorted(values) == sorted(b"%d" % n + b"x" * 2_000 for n in range(200))
    assert path.stat().st_size == 0


async def test_what_was_on_its_way_is_marked_and_not_replayed_unasked(
    bootstrap: str, topic: TopicFactory, tmp_path: Path
) -> None:
    name, away, path = topic(), Away(), tmp_path / "letters.spool"
    async with FaultProxy(bootstrap) as proxy:
        proxy.on_request = away
        producer: AsyncProducer[bytes, bytes] = AsyncProducer(proxy.bootstrap_servers, **STUBBORN)
        async with DeadLetters(producer, topic=None, spool=path) as letters:
            # With its identity and its connection, the next record is on its way at once.
            await letters.send(name, b"before")
            away.is_away = True
            with pytest.raises(DeliveryTimeoutError):
                await letters.send(name, b"in doubt", timeout=1)
            await letters.close(0)
    report = await asyncio.to_thread(replay, bootstrap, str(path))
    assert (report["replayed"], report["in_doubt"], report["left"]) == (0, 1, 1)
    report = await asyncio.to_thread(partial(replay, bootstrap, str(path), include_maybe=True))
    assert (report["replayed"], report["left"]) == (1, 0)
    assert [record.value for record in await read(bootstrap, name)] == [b"before", b"in doubt"]


async def test_letters_in_doubt_are_left_in_a_topic_until_they_are_asked_for(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, dead = topic(), topic()
    letter = [("original.topic", name.encode()), ("failure.persisted", b"maybe")]
    sure = [("original.topic", name.encode()), ("failure.persisted", b"no")]
    async with AsyncProducer(bootstrap) as producer:
        await producer.send(dead, b"in doubt", headers=letter)
        await producer.send(dead, b"sure", headers=sure)
        await producer.send(dead, b"no letter")
    first = await asyncio.to_thread(replay, bootstrap, dead)
    assert (first["replayed"], first["in_doubt"], first["foreign"]) == (1, 1, 1)
    second = await asyncio.to_thread(partial(replay, bootstrap, dead, include_maybe=True))
    assert (second["replayed"], second["in_doubt"]) == (1, 0)
    third = await asyncio.to_thread(partial(replay, bootstrap, dead, include_maybe=True))
    assert third["replayed"] == 0
    assert [record.value for record in await read(bootstrap, name)] == [b"sure", b"in doubt"]


async def _until_it_takes(bootstrap: str, topic: str) -> None:
    """Wait until a topic's new settings are those of the broker that leads it."""
    deadline = time.monotonic() + PATIENCE
    async with AsyncProducer(bootstrap, **STUBBORN) as producer:
        while True:
            try:
                await producer.send(topic, b"x" * 3_000, key=b"probe")
            except ProducerError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            else:
                return
