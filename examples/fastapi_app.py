"""A FastAPI app: one producer for the app's life; a handler answers when Kafka has the record."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from aioproducer import AsyncProducer
from aioproducer.integrations import RequestEvents
from aioproducer.integrations.fastapi import FastAPIProducer

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")
TOPIC = "orders"
# Nobody waits for a page as long as a background job may wait for Kafka.
PATIENCE = {"max.block.ms": 3_000, "request.timeout.ms": 2_000, "delivery.timeout.ms": 3_000}


class Order(BaseModel):
    customer: str
    item: str


def make_producer() -> AsyncProducer[str, str]:
    return AsyncProducer(
        BOOTSTRAP, config=PATIENCE, key_serializer=str.encode, value_serializer=str.encode
    )


# details=True tells clients the addresses of brokers: good for an example.
kafka = FastAPIProducer(make_producer, details=True)
app = FastAPI(lifespan=kafka.lifespan)
kafka.install(app)
Events = Annotated[RequestEvents[str, str], Depends(kafka.get_events, scope="function")]


@app.post("/orders", status_code=201)
async def create(order: Order, events: Events) -> dict[str, int]:
    metadata = await events.deliver(TOPIC, order.model_dump_json(), key=order.customer)
    return {"partition": metadata.partition, "offset": metadata.offset}


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
