"""A FastAPI app in virtual time: lifespan, dependencies, answers, probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from aioproducer import AsyncProducer
from aioproducer.integrations import Outbox, RequestEvents
from aioproducer.integrations.fastapi import FastAPIProducer
from tests.fake_broker import FakeCluster
from tests.integrations.services import Failed, producer_on, start_all, stop_all, values_of

Kafka = FastAPIProducer[bytes, bytes]


def app_of(kafka: Kafka) -> FastAPI:
    app = FastAPI(lifespan=kafka.lifespan)
    kafka.install(app)
    Producer = Annotated[AsyncProducer[bytes, bytes], Depends(kafka.get_producer)]
    Events = Annotated[RequestEvents[bytes, bytes], Depends(kafka.get_events, scope="function")]
    Later = Annotated[Outbox[bytes, bytes], Depends(kafka.get_outbox)]

    async def awaited(producer: Producer, size: int = 1) -> dict[str, int]:
        metadata = await producer.send_and_wait("orders", b"a" * size)
        return {"offset": metadata.offset}

    async def added(events: Events, size: int = 1, fail: bool = False) -> dict[str, str]:
        events.add("orders", b"b" * size)
        if fail:
            raise LookupError
        return {"order": "taken"}

    async def later(outbox: Later, size: int = 1) -> dict[str, str]:
        outbox.put("orders", b"c" * size)
        return {"order": "will be taken"}

    # Annotations of handlers made in a function are no names of the module.
    for path, handler, kind, name, status in (
        ("/awaited", awaited, Producer, "producer", 201),
        ("/added", added, Events, "events", 201),
        ("/later", later, Later, "outbox", 202),
    ):
        handler.__annotations__ = {"size": int, "fail": bool, name: kind}
        app.post(path, status_code=status, response_model=None)(handler)
    return app


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client
    await asyncio.sleep(1)


@pytest.fixture
def failed() -> Failed:
    return Failed()


@pytest.fixture
async def kafka(cluster: FakeCluster, failed: Failed) -> Kafka:
    return FastAPIProducer(lambda: producer_on(cluster), on_failure=failed, outbox_records=3)


async def test_the_answer_comes_when_kafka_has_the_record(
    cluster: FakeCluster, kafka: Kafka
) -> None:
    async with client_of(app_of(kafka)) as client:
        answer = await client.post("/awaited")
        assert (answer.status_code, answer.json()) == (201, {"offset": 0})
        answer = await client.post("/added")
        assert answer.status_code == 201
        assert values_of(cluster) == [b"a", b"b"]


async def test_a_handler_that_fails_sends_nothing_it_added(
    cluster: FakeCluster, kafka: Kafka
) -> None:
    async with client_of(app_of(kafka)) as client:
        answer = await client.post("/added?fail=true")
        assert answer.status_code == 500
    assert values_of(cluster) == []


@pytest.mark.parametrize("path", ["/awaited", "/added"])
async def test_a_record_that_is_too_large_is_the_clients_to_mend(kafka: Kafka, path: str) -> None:
    async with client_of(app_of(kafka)) as client:
        answer = await client.post(path, params={"size": 2_000_000})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"] == "RecordTooLargeError"


@pytest.mark.parametrize("path", ["/awaited", "/added"])
async def test_a_cluster_that_is_away_is_told_and_found_again(
    cluster: FakeCluster, kafka: Kafka, path: str
) -> None:
    stop_all(cluster)
    async with client_of(app_of(kafka)) as client:
        answer = await client.post(path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        body = answer.json()
        assert (body["retriable"], body["persisted"]) == (True, "no")
        assert "broker-1" not in answer.text
        assert (await client.get("/health/live")).status_code == 200
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["reasons"]

        start_all(cluster)
        async with asyncio.timeout(60):
            while (await client.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.1)
        assert (await client.post(path)).status_code == 201


async def test_the_outbox_answers_before_kafka_and_refuses_when_it_is_full(
    cluster: FakeCluster, kafka: Kafka
) -> None:
    stop_all(cluster)
    async with client_of(app_of(kafka)) as client:
        answers = [await client.post("/later") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 503]
        assert answers[-1].headers["retry-after"] == "1"
        assert (await client.get("/health/ready")).json()["outbox_records"] == 3
        start_all(cluster)
        await kafka.outbox.join(60)
    assert values_of(cluster) == [b"c"] * 3


async def test_what_the_outbox_holds_is_delivered_before_the_app_ends(
    cluster: FakeCluster, kafka: Kafka, failed: Failed
) -> None:
    async with client_of(app_of(kafka)) as client:
        assert (await client.post("/later")).status_code == 202
    assert values_of(cluster) == [b"c"]
    assert failed.told == []


async def test_a_handler_that_is_cancelled_loses_no_record(
    cluster: FakeCluster, kafka: Kafka
) -> None:
    """As middleware does with task groups, when the client has hung up."""
    stop_all(cluster)
    async with client_of(app_of(kafka)) as client:
        request = asyncio.ensure_future(client.post("/added"))
        await asyncio.sleep(0.5)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        start_all(cluster)
        await asyncio.sleep(30)
        assert values_of(cluster) == [b"b"]


def test_probes_are_no_part_of_the_schema_and_may_be_left_out() -> None:
    kafka: Kafka = FastAPIProducer(lambda: AsyncProducer("a:1"))
    app = FastAPI()
    kafka.install(app, health=None)
    assert "/health/live" not in {getattr(route, "path", "") for route in app.routes}
    assert "/health/live" not in str(app_of(kafka).openapi())


def test_a_test_may_put_another_producer_in_its_place() -> None:
    """As applications do in their own tests, with no cluster at all."""

    class Recording:
        sent: list[bytes] = []

        async def send_and_wait(self, topic: str, value: bytes) -> Any:
            self.sent.append(value)
            return type("Metadata", (), {"offset": 7})

    async def recording() -> Recording:
        return Recording()

    kafka: Kafka = FastAPIProducer(lambda: AsyncProducer("a:1"))
    app = app_of(kafka)
    app.dependency_overrides[kafka.get_producer] = recording
    client = TestClient(app)
    assert client.post("/awaited").json() == {"offset": 7}
    assert Recording.sent == [b"a"]
