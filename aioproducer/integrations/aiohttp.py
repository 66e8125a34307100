"""A producer in an aiohttp app: ``cleanup_ctx``, what a request sends by, answers, probes.

kafka = AiohttpProducer(lambda: AsyncProducer("localhost:9092"))
app = web.Application()
kafka.install(app)
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aioproducer import ProducerError
from aioproducer.integrations.answers import PROBLEM, answer_for
from aioproducer.integrations.events import RequestEvents
from aioproducer.integrations.lifespan import ProducerLifespan

K = TypeVar("K")
V = TypeVar("V")


class AiohttpProducer(ProducerLifespan[K, V]):
    """A :class:`ProducerLifespan` for aiohttp; its arguments are the same."""

    @functools.cached_property
    def _key(self) -> web.RequestKey[RequestEvents[K, V]]:
        return web.RequestKey("events", RequestEvents)

    def install(self, app: web.Application, *, health: str | None = "/health") -> None:
        """Run the producer for the app's life, and answer for records that failed.

        Also answers probes at ``{health}/live`` and ``/ready`` unless ``health`` is ``None``. What
        a handler added to ``events(request)`` is delivered when it has returned, before the answer
        leaves; an answer that it prepared itself has left already.
        """
        app.cleanup_ctx.append(self.cleanup_ctx)
        app.middlewares.append(self._middleware())
        if health is not None:
            app.router.add_get(f"{health}/live", self._live)
            app.router.add_get(f"{health}/ready", self._ready)

    async def cleanup_ctx(self, app: web.Application) -> AsyncIterator[None]:
        """Run the producer for the app's life; ``install()`` has the app use it."""
        async with self:
            yield

    def events(self, request: web.Request) -> RequestEvents[K, V]:
        """Return what this request sends by; only in an app that ``install()`` was given."""
        known: RequestEvents[K, V] | None = request.get(self._key)
        if known is None:
            known = request[self._key] = self.request_events()
        return known

    def _middleware(self) -> Middleware:
        @web.middleware
        async def deliver_or_answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                try:
                    response = await handler(request)
                except web.HTTPException as raised:
                    # A redirect, usually: an answer as any other.
                    await self._deliver_or_drop(request, raised.status)
                    raise
                await self._deliver_or_drop(request, response.status)
            except ProducerError as error:
                return self._answer(error)
            return response

        return deliver_or_answer

    async def _deliver_or_drop(self, request: web.Request, status: int) -> None:
        added: RequestEvents[K, V] | None = request.get(self._key)
        if added is None:
            return
        if status < 400:
            await added.deliver_added()
        else:
            added.drop_added()

    def _answer(self, error: ProducerError) -> web.Response:
        answer = answer_for(error, details=self.details)
        return web.json_response(
            answer.body, status=answer.status, headers=answer.headers, content_type=PROBLEM
        )

    async def _live(self, request: web.Request) -> web.Response:
        health = self.health()
        return web.json_response(health.as_dict(), status=200 if health.live else 503)

    async def _ready(self, request: web.Request) -> web.Response:
        health = self.health()
        return web.json_response(health.as_dict(), status=200 if health.ready else 503)
