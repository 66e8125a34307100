"""A FastAPI app: one producer for the app's life; a handler answers when Kafka has the record."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from aioproducer import AsyncProducer, ProducerError

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")
TOPIC = "orders"
# Nobody waits for a page as long as a background job may wait for Kafka.
PATIENCE = {"max.block.ms": 3_000, "request.timeout.ms": 2_000, "delivery.timeout.ms": 3_000}


class Order(BaseModel):
    customer: str
    item: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    async with AsyncProducer(
        BOOTSTRAP, config=PATIENCE, key_serializer=str.encode, value_serializer=str.encode
    ) as producer:
        yield {"producer": producer}


async def get_producer(request: Request) -> AsyncProducer[str, str]:
    return cast("AsyncProducer[str, str]", request.state.producer)


app = FastAPI(lifespan=lifespan)
Producer = Annotated[AsyncProducer[str, str], Depends(get_producer)]


@app.post("/orders", status_code=201)
async def create(order: Order, producer: Producer) -> dict[str, int]:
    metadata = await producer.send_and_wait(TOPIC, order.model_dump_json(), key=order.customer)
    return {"partition": metadata.partition, "offset": metadata.offset}


@app.exception_handler(ProducerError)
async def not_delivered(request: Request, error: ProducerError) -> JSONResponse:
    """Say whether to try again, and whether the order may be in Kafka nevertheless."""
    body = {"error": f"{type(error).__name__}: {error}", "what_next": error.what_next}
    fate = {"retriable": error.retriable, "persisted": error.persisted}
    return JSONResponse(body | fate, 503 if error.retriable else 500)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
