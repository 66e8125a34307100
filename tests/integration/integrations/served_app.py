"""An app for uvicorn: what its outbox holds would leave an hour from now."""

from __future__ import annotations

import os

from fastapi import FastAPI

from aioproducer import AsyncProducer
from aioproducer.integrations.fastapi import FastAPIProducer

TOPIC = os.environ["TOPIC"]

kafka = FastAPIProducer(
    lambda: AsyncProducer(
        os.environ["BOOTSTRAP"], linger_ms=3_600_000, delivery_timeout_ms=7_200_000
    ),
    drain_timeout=150,
)
app = FastAPI(lifespan=kafka.lifespan)
kafka.install(app)


@app.post("/clicks/{number}", status_code=202)
async def click(number: int) -> None:
    kafka.outbox.put(TOPIC, b"%d" % number)
