"""Each example does what it says: what it sends is looked up in Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer
from starlette.types import Receive, Scope, Send

from aioproducer import AsyncProducer, RecordTooLargeError
from aioproducer.core.murmur2 import partition_of_key
from aioproducer.integrations import ProducerLifespan
from aioproducer.testing.java_cluster import free_ports
from aioproducer.testing.judge import ReadRecord, read_topic_async
from examples import (
    aiohttp_app,
    custom_serializer,
    fastapi_app,
    firehose,
    priority_partitioner,
    region_partitioner,
    send_one,
)
from tests.conftest import TopicFactory

EXAMPLES = Path(__file__).parents[2] / "examples"
NOBODY = "127.0.0.1:1"


@pytest.mark.core
async def test_send_one_puts_one_record_where_it_says(bootstrap: str, topic: TopicFactory) -> None:
    name = topic(3)
    metadata = await send_one.main(bootstrap, name)
    (record,) = await read_topic_async(bootstrap, name)
    assert (record.key, record.value) == (b"order-1", b"one espresso machine")
    assert (record.partition, record.offset) == (metadata.partition, metadata.offset)


@pytest.mark.core
async def test_the_firehose_delivers_all_of_more_than_its_memory_holds(
    bootstrap: str, topic: TopicFactory
) -> None:
    name, count = topic(3), 30_000
    assert await firehose.main(bootstrap, name, count) == []
    records = await read_topic_async(bootstrap, name)
    assert {r.value for r in records} == {f"click {n}".encode() for n in range(count)}
    assert len(records) == count
    for partition in range(3):
        numbers = [int((r.value or b"").split()[1]) for r in records if r.partition == partition]
        assert numbers == sorted(numbers)


async def test_the_firehose_collects_what_fails(bootstrap: str, topic: TopicFactory) -> None:
    async with AsyncProducer(bootstrap, max_request_size=1_000) as producer:
        events = [b"small", b"x" * 2_000, b"also small"]
        (failure,) = await firehose.pour(producer, topic(), events)
    assert isinstance(failure, RecordTooLargeError)


@pytest.mark.core
async def test_high_orders_have_a_lane_and_the_rest_goes_by_key(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic(5)
    high, keyed, keyless = await priority_partitioner.main(bootstrap, name)
    assert high.partition == 0
    assert keyed.partition == partition_of_key(b"customer-7", 5)
    assert keyed.partition != 0
    records = {json.loads(r.value or b"")["number"]: r for r in await _read(bootstrap, name)}
    assert [records[n].partition for n in (1, 2, 3)] == [0, keyed.partition, keyless.partition]
    assert [records[n].key for n in (1, 2, 3)] == [b"customer-7", b"customer-7", None]


@pytest.mark.core
async def test_every_region_has_its_lane(bootstrap: str, topic: TopicFactory) -> None:
    name = topic(7)
    await region_partitioner.main(bootstrap, name)
    by_key = partition_of_key(b"customer-7", 7)
    lanes = {r.value: r.partition for r in await _read(bootstrap, name)}
    assert lanes == {b"US": 0, b"EU": 1, b"ASIA": 2, b"elsewhere": by_key}


async def test_a_region_without_a_lane_goes_by_key(bootstrap: str, topic: TopicFactory) -> None:
    placed = await region_partitioner.main(bootstrap, topic(2))
    by_key = partition_of_key(b"customer-7", 2)
    assert [metadata.partition for metadata in placed] == [0, 1, by_key, by_key]


@pytest.mark.core
async def test_serializers_make_bytes_of_objects(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    metadata = await custom_serializer.main(bootstrap, name)
    (record,) = await _read(bootstrap, name)
    assert record.key is not None
    assert uuid.UUID(bytes=record.key).version == 4
    value = json.loads(record.value or b"")
    assert (value["version"], value["topic"]) == (2, name)
    assert (value["customer"], value["total"]) == ("customer-7", "99.90")
    assert metadata.serialized_value_size == len(record.value or b"")


async def _read(bootstrap: str, topic: str) -> list[ReadRecord]:
    return await read_topic_async(bootstrap, topic)


# The web apps


@asynccontextmanager
async def _fastapi_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app within its lifespan, whose state a server would hand to each request."""
    app = fastapi_app.app
    async with app.router.lifespan_context(app) as state:

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(app=served)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client


@pytest.mark.core
async def test_the_fastapi_app_answers_when_kafka_has_the_order(
    bootstrap: str, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = topic(3)
    monkeypatch.setattr(fastapi_app, "BOOTSTRAP", bootstrap)
    monkeypatch.setattr(fastapi_app, "TOPIC", name)
    monkeypatch.setattr(fastapi_app, "PATIENCE", {})
    monkeypatch.setattr(fastapi_app.kafka, "_patience", 200.0)
    async with _fastapi_client() as client:
        orders = [{"customer": "ada", "item": f"book {n}"} for n in range(10)]
        answers = [await client.post("/orders", json=order) for order in orders]
        refused = await client.post("/orders", json={"customer": "ada"})

    assert [answer.status_code for answer in answers] == [201] * 10
    assert refused.status_code == 422
    records = await _read(bootstrap, name)
    assert [json.loads(r.value or b"") for r in records] == orders
    assert {r.key for r in records} == {b"ada"}
    places = [{"partition": r.partition, "offset": r.offset} for r in records]
    assert places == [answer.json() for answer in answers]


@pytest.mark.own_cluster
async def test_the_fastapi_app_says_what_is_wrong_while_kafka_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fastapi_app, "BOOTSTRAP", NOBODY)
    async with _fastapi_client() as client:
        answer = await client.post("/orders", json={"customer": "ada", "item": "book"})
    assert answer.status_code == 503
    body = answer.json()
    assert body["error"] == "MetadataTimeoutError"
    assert NOBODY in body["detail"]
    assert body["retriable"] is True
    assert body["persisted"] == "no"
    assert body["what_next"]


@pytest.mark.core
async def test_the_aiohttp_app_answers_when_kafka_has_the_order(
    bootstrap: str, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = topic(3)
    monkeypatch.setattr(aiohttp_app, "PATIENCE", {})
    defaults = ProducerLifespan.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patience", 200.0)
    async with TestClient(TestServer(aiohttp_app.make_app(bootstrap, name))) as client:
        answer = await client.post("/customers/ada/orders", data="a book")
        assert answer.status == 201
        place = await answer.json()
    (record,) = await _read(bootstrap, name)
    assert (record.key, record.value) == (b"ada", b"a book")
    assert place == {"partition": record.partition, "offset": record.offset}


@pytest.mark.own_cluster
async def test_the_aiohttp_app_says_what_is_wrong_while_kafka_is_away() -> None:
    async with TestClient(TestServer(aiohttp_app.make_app(NOBODY))) as client:
        answer = await client.post("/customers/ada/orders", data="a book")
        assert answer.status == 503
        body = await answer.json()
    assert NOBODY in body["detail"]
    assert body["retriable"] is True
    assert body["persisted"] == "no"


# As a newcomer runs them


def _start(script: str, bootstrap: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, EXAMPLES / script],
        env={
            **os.environ,
            "AIOPRODUCER_BOOTSTRAP": bootstrap,
            "PYTHONPATH": str(EXAMPLES.parent),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("send_one.py", "partition 0, offset "),
        ("firehose.py", "100,000 delivered, 0 failed"),
        ("priority_partitioner.py", "order 1: partition 0"),
        ("region_partitioner.py", "US: partition 0"),
        ("custom_serializer.py", " bytes at offset "),
    ],
)
def test_an_example_runs_as_a_script(script: str, expected: str, bootstrap: str) -> None:
    process = _start(script, bootstrap, PYTHONWARNINGS="error")
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    assert expected in output


@pytest.mark.parametrize(
    ("script", "path", "body"),
    [
        ("fastapi_app.py", "/orders", b'{"customer": "ada", "item": "book"}'),
        ("aiohttp_app.py", "/customers/ada/orders", b"a book"),
    ],
)
def test_a_web_app_serves_as_a_script(script: str, path: str, body: bytes, bootstrap: str) -> None:
    if script == "fastapi_app.py":
        pytest.importorskip("uvicorn")
    (port,) = free_ports(1)
    process = _start(script, bootstrap, PORT=str(port))
    try:
        answer = _post(f"http://127.0.0.1:{port}{path}", body)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert set(json.loads(answer)) == {"partition", "offset"}
    assert "Traceback" not in output


def _post(url: str, body: bytes) -> bytes:
    """Post as soon as the server listens, and again if it says that this may help."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    for _ in range(1200):
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            told = error.read()
            # Brokers of a busy machine may be slower than the apps have patience.
            if error.code not in (503, 504) or not json.loads(told)["retriable"]:
                raise AssertionError(told) from error
            time.sleep(0.5)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise TimeoutError(f"nobody listens at {url}")
