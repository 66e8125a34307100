"""A Litestar app in virtual time: plugin, dependencies, answers, probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from litestar import Litestar, Response, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from aioproducer import AsyncProducer
from aioproducer.integrations import Outbox, RequestEvents
from aioproducer.integrations.litestar import LitestarProducer
from tests.fake_broker import FakeCluster
from tests.integrations.services import producer_on, start_all, stop_all, values_of

Kafka = LitestarProducer[bytes, bytes]


@post("/awaited")
async def awaited(
    producer: NamedDependency[AsyncProducer[bytes, bytes]], size: FromQuery[int] = 1
) -> dict[str, int]:
    return {"offset": (await producer.send_and_wait("orders", b"a" * size)).offset}


@post("/added")
async def added(
    events: NamedDependency[RequestEvents[bytes, bytes]],
    size: FromQuery[int] = 1,
    status: FromQuery[int] = 201,
) -> Response[dict[str, str]]:
    events.add("orders", b"b" * size)
    if status == 0:
        raise LookupError("no such order")
    return Response({"order": "taken"}, status_code=status)


@post("/later", status_code=202)
async def later(outbox: NamedDependency[Outbox[bytes, bytes]]) -> dict[str, str]:
    outbox.put("orders", b"c")
    return {"order": "will be taken"}


@asynccontextmanager
async def client_of(kafka: Kafka) -> AsyncIterator[httpx.AsyncClient]:
    app = Litestar([awaited, added, later], plugins=[kafka.plugin], logging_config=None)
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client
    await asyncio.sleep(1)


@pytest.fixture
async def kafka(cluster: FakeCluster) -> Kafka:
    return LitestarProducer(lambda: producer_on(cluster), outbox_records=2)


async def test_each_way_to_send_arrives(cluster: FakeCluster, kafka: Kafka) -> None:
    async with client_of(kafka) as client:
        answer = await client.post("/awaited")
        assert (answer.status_code, answer.json()) == (201, {"offset": 0})
        answer = await client.post("/added")
        assert (answer.status_code, values_of(cluster)) == (201, [b"a", b"b"])
        assert (await client.post("/later")).status_code == 202
        assert (await client.get("/health/live")).json()["live"]
    assert values_of(cluster) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(("status", "answered"), [(0, 500), (409, 409)])
async def test_a_request_that_fails_sends_nothing_it_added(
    cluster: FakeCluster, kafka: Kafka, status: int, answered: int
) -> None:
    async with client_of(kafka) as client:
        answer = await client.post("/added", params={"status": status})
        assert answer.status_code == answered
    assert values_of(cluster) == []


@pytest.mark.parametrize("path", ["/awaited", "/added"])
async def test_a_record_that_is_too_large_is_the_clients_to_mend(kafka: Kafka, path: str) -> None:
    async with client_of(kafka) as client:
        answer = await client.post(path, params={"size": 2_000_000})
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["error"] == "RecordTooLargeError"


@pytest.mark.parametrize("path", ["/awaited", "/added"])
async def test_a_cluster_that_is_away_is_told_and_found_again(
    cluster: FakeCluster, kafka: Kafka, path: str
) -> None:
    stop_all(cluster)
    async with client_of(kafka) as client:
        answer = await client.post(path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/health/ready")).status_code == 503
        start_all(cluster)
        async with asyncio.timeout(60):
            while (await client.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.1)
        assert (await client.post(path)).status_code == 201


async def test_probes_may_be_left_out(kafka: Kafka) -> None:
    app = Litestar([later], plugins=[kafka.make_plugin(health=None)], logging_config=None)
    assert "/health/live" not in {route.path for route in app.routes}
