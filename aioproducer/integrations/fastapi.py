"""A producer in a FastAPI app: lifespan, dependencies, answers, probes.

kafka = FastAPIProducer(lambda: AsyncProducer("localhost:9092"))
app = FastAPI(lifespan=kafka.lifespan)
kafka.install(app)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from aioproducer import ProducerError
from aioproducer.integrations.answers import PROBLEM, answer_for
from aioproducer.integrations.background import AnyProducer
from aioproducer.integrations.events import RequestEvents
from aioproducer.integrations.lifespan import ProducerLifespan
from aioproducer.integrations.outbox import Outbox

K = TypeVar("K")
V = TypeVar("V")


class FastAPIProducer(ProducerLifespan[K, V]):
    """A :class:`ProducerLifespan` for FastAPI; its arguments are the same.

    Dependencies::

        Producer = Annotated[AsyncProducer[K, V], Depends(kafka.get_producer)]
        Events = Annotated[RequestEvents[K, V], Depends(kafka.get_events, scope="function")]
        Later = Annotated[Outbox[K, V], Depends(kafka.get_outbox)]

    ``scope="function"`` matters: with it FastAPI delivers what was added before it answers, and
    an error becomes the answer.
    """

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Run the producer for the app's life; an own lifespan enters it with ``async with``."""
        async with self:
            yield

    async def get_producer(self) -> AnyProducer[K, V]:
        """Give a handler the producer, or what stands in front of it."""
        return self.front

    async def get_outbox(self) -> Outbox[K, V]:
        """Give a handler the outbox."""
        return self.outbox

    async def get_events(self) -> AsyncIterator[RequestEvents[K, V]]:
        """Give a handler what its request sends by."""
        async with self.request_events() as events:
            yield events

    def install(self, app: FastAPI, *, health: str | None = "/health") -> None:
        """Answer for records that failed, and to probes at ``{health}/live`` and ``/ready``."""
        app.add_exception_handler(ProducerError, self._answer)
        if health is not None:
            app.add_api_route(f"{health}/live", self._live, include_in_schema=False)
            app.add_api_route(f"{health}/ready", self._ready, include_in_schema=False)

    async def _answer(self, request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProducerError)
        answer = answer_for(error, details=self.details)
        return JSONResponse(answer.body, answer.status, answer.headers, media_type=PROBLEM)

    async def _live(self) -> JSONResponse:
        health = self.health()
        return JSONResponse(health.as_dict(), 200 if health.live else 503)

    async def _ready(self) -> JSONResponse:
        health = self.health()
        return JSONResponse(health.as_dict(), 200 if health.ready else 503)
