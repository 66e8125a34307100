"""An aiohttp app: one producer for the app's life, in `cleanup_ctx`, found by a typed key."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from aiohttp import web

from aioproducer import AsyncProducer, ProducerError

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")
SERVERS = web.AppKey("SERVERS", str)
PRODUCER = web.AppKey("PRODUCER", AsyncProducer[str, str])
TOPIC = web.AppKey("TOPIC", str)


async def producer_of_app(app: web.Application) -> AsyncIterator[None]:
    async with AsyncProducer(
        app[SERVERS], key_serializer=str.encode, value_serializer=str.encode, max_block_ms=3_000
    ) as producer:
        app[PRODUCER] = producer
        yield


async def create(request: web.Request) -> web.Response:
    """Answer when Kafka has the order, or say why it does not."""
    customer, order = request.match_info["customer"], await request.text()
    try:
        metadata = await request.app[PRODUCER].send_and_wait(
            request.app[TOPIC], order, key=customer, timeout=5
        )
    except ProducerError as error:
        body = {"error": str(error), "retriable": error.retriable, "persisted": error.persisted}
        return web.json_response(body, status=503 if error.retriable else 500)
    body = {"partition": metadata.partition, "offset": metadata.offset}
    return web.json_response(body, status=201)


def make_app(bootstrap: str = BOOTSTRAP, topic: str = "orders") -> web.Application:
    app = web.Application()
    app[SERVERS], app[TOPIC] = bootstrap, topic
    app.cleanup_ctx.append(producer_of_app)
    app.router.add_post("/customers/{customer}/orders", create)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
