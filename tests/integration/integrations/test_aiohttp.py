"""An aiohttp app on real sockets: its life, what its requests send, answers and probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from aioproducer import AsyncProducer
from aioproducer.integrations.aiohttp import AiohttpProducer
from aioproducer.testing import EmbeddedCluster
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory

NOBODY = "127.0.0.1:1"
PATIENCE = {"max.block.ms": 1_000, "request.timeout.ms": 1_000, "delivery.timeout.ms": 1_500}

Client = TestClient[web.Request, web.Application]


def app_of(kafka: AiohttpProducer[bytes, bytes], topic: str) -> web.Application:
    async def awaited(request: web.Request) -> web.Response:
        await kafka.events(request).deliver(topic, await request.read())
        return web.json_response({}, status=201)

    async def added(request: web.Request) -> web.Response:
        kafka.events(request).add(topic, await request.read())
        kafka.events(request).add(topic, b"and another")
        return web.json_response({}, status=int(request.query.get("status", 201)))

    async def redirected(request: web.Request) -> web.Response:
        kafka.events(request).add(topic, await request.read())
        raise web.HTTPSeeOther("/health/live")

    async def later(request: web.Request) -> web.Response:
        kafka.outbox.put(topic, await request.read())
        return web.json_response({}, status=202)

    app = web.Application()
    kafka.install(app)
    app.router.add_post("/awaited", awaited)
    app.router.add_post("/added", added)
    app.router.add_post("/redirected", redirected)
    app.router.add_post("/later", later)
    return app


@asynccontextmanager
async def served(
    bootstrap: str, topic: str, *, outbox_records: int = 10_000
) -> AsyncIterator[tuple[Client, AiohttpProducer[bytes, bytes]]]:
    kafka = AiohttpProducer(
        lambda: AsyncProducer(
            bootstrap, config=PATIENCE if bootstrap == NOBODY else {}, max_request_size=10_000
        ),
        outbox_records=outbox_records,
        patience=120,
        drain_timeout=10 if bootstrap == NOBODY else 120,
    )
    # A TestServer cancels the handlers of clients that have hung up.
    async with TestClient(TestServer(app_of(kafka, topic))) as client:
        yield client, kafka


async def test_each_way_to_send_arrives(bootstrap: str, topic: TopicFactory) -> None:
    name = topic()
    async with served(bootstrap, name) as (client, _):
        assert (await client.post("/awaited", data=b"awaited")).status == 201
        assert (await client.post("/added", data=b"added")).status == 201
        assert (await client.post("/added?status=409", data=b"refused")).status == 409
        assert (await client.post("/later", data=b"later")).status == 202
        async with asyncio.timeout(120):
            # A connection may be made anew just now.
            while (await client.get("/health/ready")).status != 200:
                await asyncio.sleep(0.05)
    values = [record.value for record in await read_topic_async(bootstrap, name)]
    assert values == [b"awaited", b"added", b"and another", b"later"]


async def test_what_was_added_arrives_when_the_handler_raises_a_redirect(
    bootstrap: str, topic: TopicFactory
) -> None:
    name = topic()
    async with served(bootstrap, name) as (client, _):
        answer = await client.post("/redirected", data=b"added", allow_redirects=False)
        assert answer.status == 303
    assert [record.value for record in await read_topic_async(bootstrap, name)] == [b"added"]


async def test_a_record_that_is_too_large_is_the_clients_to_mend(
    bootstrap: str, topic: TopicFactory
) -> None:
    async with served(bootstrap, topic()) as (client, _):
        for path in ("/awaited", "/added"):
            answer = await client.post(path, data=b"x" * 20_000)
            assert answer.status == 413
            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["error"] == "RecordTooLargeError"


@pytest.mark.own_cluster
async def test_a_cluster_that_is_away_is_told() -> None:
    async with served(NOBODY, "orders", outbox_records=1) as (client, _):
        answer = await client.post("/awaited", data=b"x")
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await answer.json())["persisted"] == "no"
        assert (await client.post("/later", data=b"x")).status == 202
        assert (await client.post("/later", data=b"x")).status == 503
        assert (await client.get("/health/live")).status == 200
        assert (await client.get("/health/ready")).status == 503


@pytest.mark.own_cluster
async def test_a_client_that_hangs_up_while_the_broker_is_slow_loses_no_record() -> None:
    async with EmbeddedCluster(brokers=1) as cluster:
        cluster.create_topic("orders")
        bootstrap = cluster.bootstrap_servers
        async with served(bootstrap, "orders") as (client, kafka):
            await kafka.producer.warm_up(["orders"])
            cluster.set_round_trip(1, 1_000)
            async with ClientSession() as session:
                request = asyncio.ensure_future(
                    session.post(client.make_url("/awaited"), data=b"hung up")
                )
                async with asyncio.timeout(60):
                    while not kafka._running.background._tasks:  # type: ignore[union-attr]
                        await asyncio.sleep(0.01)
                request.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await request
        cluster.set_round_trip(1, 0)
        (record,) = await read_topic_async(bootstrap, "orders")
        assert record.value == b"hung up"
