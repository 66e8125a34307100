"""The page about web services says what runs: each of its programs is run and asked."""

from __future__ import annotations

import ast
import asyncio
import re
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import httpx
import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer

from aioproducer.integrations import ProducerLifespan
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory
from tests.integration.committed import read_settled_async

PATIENCE = 120.0
PAGE = Path(__file__).parents[3] / "docs" / "web.md"


def _snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def _program(words: str, bootstrap: str, topics: dict[str, str]) -> CodeType:
    """Compile the one program with ``words`` in it, for these topics."""
    (source,) = [each for each in _snippets("python") if words in each]
    servers = repr(bootstrap.split(","))
    source = source.replace('KafkaBroker("localhost:9092")', f"KafkaBroker({servers}, logger=None)")
    source = source.replace("localhost:9092", bootstrap)
    # Litestar would take over the logging of the whole process, with a thread that it leaves.
    source = source.replace("[kafka.plugin])", "[kafka.plugin], logging_config=None)")
    # A slow machine's.
    source = re.sub(r"\b(patience|drain_timeout)=\d+", rf"\1={PATIENCE}", source)
    for name, real in topics.items():
        source = source.replace(f'"{name}"', repr(real))
    return compile(source, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def _run(program: CodeType) -> dict[str, Any]:
    # Frameworks look the module of a handler up, to understand its annotations.
    module = sys.modules["program_of_the_page"] = ModuleType("program_of_the_page")
    awaitable = eval(program, vars(module))
    if awaitable is not None:
        await awaitable
    return vars(module)


async def _values(bootstrap: str, topic: str) -> list[bytes | None]:
    return [record.value for record in await read_topic_async(bootstrap, topic)]


async def _until_ready(client: httpx.AsyncClient) -> None:
    """Wait for the probe's yes: a connection may be made anew just now."""
    async with asyncio.timeout(PATIENCE):
        while (ready := await client.get("/health/ready")).status_code != 200:
            assert ready.json()["reasons"]
            await asyncio.sleep(0.05)
    assert ready.json()["reasons"] == []


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests, and the end of a service, wait for longer than people would."""
    defaults = ProducerLifespan.__init__.__kwdefaults__
    assert defaults is not None
    for name in ("patience", "drain_timeout"):
        monkeypatch.setitem(defaults, name, PATIENCE)


@pytest.fixture
def topics(topic: TopicFactory) -> dict[str, str]:
    return {name: topic() for name in ("orders", "audit", "clicks", "inventory")}


def test_every_program_of_the_page_is_run_here() -> None:
    words = (
        *("FastAPIProducer(", "AiohttpProducer(", "LitestarProducer(", "publish_through("),
        *("inventory", "lost:", "OutboxRelay(", "CircuitBreaker(", "FakeProducer("),
    )
    for snippet in _snippets("python"):
        assert sum(each in snippet for each in words) == 1, snippet
    assert len(_snippets("python")) == len(words)


async def test_the_fastapi_app(bootstrap: str, topics: dict[str, str]) -> None:
    app = (await _run(_program("FastAPIProducer(", bootstrap, topics)))["app"]
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answer = await client.post("/orders/ada", json={"item": "book"})
            assert (answer.status_code, answer.json()) == (201, {"partition": 0, "offset": 0})
            assert (await client.post("/clicks/ada", json={"page": "/"})).status_code == 202
            await _until_ready(client)
    assert await _values(bootstrap, topics["orders"]) == [b'{"item":"book"}']
    assert await _values(bootstrap, topics["audit"]) == [b'{"customer":"ada","offset":0}']
    assert await _values(bootstrap, topics["clicks"]) == [b'{"page":"/"}']


async def test_the_aiohttp_app(bootstrap: str, topics: dict[str, str]) -> None:
    app = (await _run(_program("AiohttpProducer(", bootstrap, topics)))["app"]
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/orders", data=b"book")
        assert (answer.status, await answer.json()) == (201, {"offset": 0})
        assert (await client.post("/clicks", data=b"/")).status == 202
    assert await _values(bootstrap, topics["orders"]) == [b"book"]
    assert await _values(bootstrap, topics["clicks"]) == [b"/"]


async def test_the_litestar_app(bootstrap: str, topics: dict[str, str]) -> None:
    app = (await _run(_program("LitestarProducer(", bootstrap, topics)))["app"]
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answer = await client.post("/orders", json={"item": "book"})
            assert (answer.status_code, answer.json()) == (201, {"order": "taken"})
            assert (await client.post("/clicks", json={"page": "/"})).status_code == 202
            await _until_ready(client)
    assert await _values(bootstrap, topics["orders"]) == [b'{"item":"book"}']
    assert await _values(bootstrap, topics["clicks"]) == [b'{"page":"/"}']


async def test_the_faststream_app(bootstrap: str, topic: TopicFactory) -> None:
    topics = {name: topic() for name in ("orders", "invoices")}
    names = await _run(_program("publish_through(", bootstrap, topics))
    async with names["broker"] as broker:
        await broker.start()
        await broker.publish("book", topics["orders"])
        async with asyncio.timeout(120):
            while names["kafka"].producer.metrics().record_ack_total < 2:
                await asyncio.sleep(0.05)
    assert await _values(bootstrap, topics["invoices"]) == [b"invoice for book"]


async def test_a_service_without_a_framework(bootstrap: str, topics: dict[str, str]) -> None:
    await _run(_program("inventory", bootstrap, topics))
    assert await _values(bootstrap, topics["orders"]) == [b"one espresso machine"]
    assert await _values(bootstrap, topics["inventory"]) == [b"-1 espresso machine"]


async def test_the_outbox_and_what_it_gives_up(bootstrap: str, topics: dict[str, str]) -> None:
    names = await _run(_program("lost:", bootstrap, topics))
    assert [record.value for record in names["lost"]] == [b"too large" * 1_000]
    assert await _values(bootstrap, topics["orders"]) == [b"delivered"]


async def test_the_relay_of_a_table(bootstrap: str, topics: dict[str, str]) -> None:
    program = _program("OutboxRelay(", bootstrap, {**topics, "orders-outbox": topics["orders"]})
    await _run(program)
    records = await read_settled_async(bootstrap, topics["orders"])
    assert [record.value for record in records] == [b"one espresso machine"]


async def test_a_circuit_breaker_in_front(bootstrap: str, topics: dict[str, str]) -> None:
    await _run(_program("CircuitBreaker(", bootstrap, topics))
    assert await _values(bootstrap, topics["orders"]) == [b"one espresso machine"]


async def test_a_fake_producer_in_its_place() -> None:
    names = await _run(_program("FakeProducer(", "nowhere:9092", {}))
    assert len(names["fake"].history) == 1


def test_the_probes_are_those_of_the_apps() -> None:
    (source,) = _snippets("yaml")
    probes = yaml.safe_load(source)
    assert probes["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/health/ready"
