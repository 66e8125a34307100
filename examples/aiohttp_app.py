"""An aiohttp app: one producer for the app's life; a handler answers when Kafka has the record."""

from __future__ import annotations

import os

from aiohttp import web

from aioproducer import AsyncProducer
from aioproducer.integrations.aiohttp import AiohttpProducer

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")
# Nobody waits for a page as long as a background job may wait for Kafka.
PATIENCE = {"max.block.ms": 3_000, "request.timeout.ms": 2_000, "delivery.timeout.ms": 3_000}


def make_app(bootstrap: str = BOOTSTRAP, topic: str = "orders") -> web.Application:
    def make_producer() -> AsyncProducer[str, str]:
        return AsyncProducer(
            bootstrap, config=PATIENCE, key_serializer=str.encode, value_serializer=str.encode
        )

    # details=True tells clients the addresses of brokers: good for an example.
    kafka = AiohttpProducer(make_producer, details=True)

    async def create(request: web.Request) -> web.Response:
        customer, order = request.match_info["customer"], await request.text()
        metadata = await kafka.events(request).deliver(topic, order, key=customer)
        body = {"partition": metadata.partition, "offset": metadata.offset}
        return web.json_response(body, status=201)

    app = web.Application()
    kafka.install(app)
    app.router.add_post("/customers/{customer}/orders", create)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
