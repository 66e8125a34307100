"""A FastAPI app whose producer Prometheus scrapes at /metrics; deploy/ has what looks at it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, cast

from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from aioproducer import AsyncProducer
from aioproducer.observe.exporters.prometheus import expose

BOOTSTRAP = os.environ.get("AIOPRODUCER_BOOTSTRAP", "localhost:9092")
TOPIC = os.environ.get("TOPIC", "orders")


class Order(BaseModel):
    customer: str
    item: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    async with AsyncProducer(
        BOOTSTRAP, client_id="orders-api", key_serializer=str.encode, value_serializer=str.encode
    ) as producer:
        with expose(producer):
            yield {"producer": producer}


async def get_producer(request: Request) -> AsyncProducer[str, str]:
    return cast("AsyncProducer[str, str]", request.state.producer)


app = FastAPI(lifespan=lifespan)
Producer = Annotated[AsyncProducer[str, str], Depends(get_producer)]


@app.post("/orders", status_code=201)
async def create(order: Order, producer: Producer) -> dict[str, int]:
    metadata = await producer.send_and_wait(TOPIC, order.model_dump_json(), key=order.customer)
    return {"partition": metadata.partition, "offset": metadata.offset}


@app.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), log_level="warning")
