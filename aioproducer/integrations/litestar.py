"""A producer in a Litestar app: a plugin with lifespan, dependencies, answers, probes.

kafka = LitestarProducer(lambda: AsyncProducer("localhost:9092"))
app = Litestar([create], plugins=[kafka.plugin])
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

from litestar import Litestar, MediaType, Request, Response, get
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from aioproducer import AsyncProducer, ProducerError
from aioproducer.integrations.answers import PROBLEM, HttpAnswer, answer_for
from aioproducer.integrations.background import AnyProducer
from aioproducer.integrations.events import RequestEvents
from aioproducer.integrations.lifespan import ProducerLifespan
from aioproducer.integrations.outbox import Outbox

K = TypeVar("K")
V = TypeVar("V")


class LitestarProducer(ProducerLifespan[K, V]):
    """A :class:`ProducerLifespan` for Litestar; its arguments are the same.

    With ``plugin`` in the app, handlers ask for ``producer``, ``events`` or ``outbox`` by these
    names. What a handler added to ``events`` is delivered before the answer begins, if that has a
    status below 400, and an error becomes the answer.
    """

    @cached_property
    def plugin(self) -> InitPlugin:
        """What the app is given: ``Litestar(..., plugins=[kafka.plugin])``."""
        return self.make_plugin()

    def make_plugin(self, *, health: str | None = "/health") -> InitPlugin:
        """Return a plugin that answers probes below ``health``, or none if that is ``None``."""
        return _Plugin(self, health)


class _Plugin(InitPlugin):
    def __init__(self, kafka: ProducerLifespan[Any, Any], health: str | None) -> None:
        self._kafka = kafka
        self._health = health
        self._key = f"aioproducer-events-{id(kafka)}"

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.lifespan.append(self._lifespan)
        app_config.middleware.append(self._deliver_before_the_answer)
        app_config.exception_handlers[ProducerError] = self._answer
        app_config.dependencies.update(
            producer=Provide(self._producer),
            outbox=Provide(self._outbox),
            events=Provide(self._events),
        )
        app_config.signature_namespace.update(
            AsyncProducer=AsyncProducer, Outbox=Outbox, RequestEvents=RequestEvents
        )
        if self._health is not None:
            app_config.route_handlers.extend(self._probes(self._health))
        return app_config

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        async with self._kafka:
            yield

    async def _producer(self) -> AnyProducer[Any, Any]:
        return self._kafka.front

    async def _outbox(self) -> Outbox[Any, Any]:
        return self._kafka.outbox

    async def _events(self, scope: Scope) -> RequestEvents[Any, Any]:
        events = self._kafka.request_events()
        scope["state"][self._key] = events
        return events

    def _deliver_before_the_answer(self, app: ASGIApp) -> ASGIApp:
        # Litestar ends its dependencies after it has answered, and asks no exception handler once
        # an answer has begun: so what was added is delivered here, and the failure answered.
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            refused = False

            async def deliver_first(message: Message) -> None:
                nonlocal refused
                if message["type"] == "http.response.start":
                    events: RequestEvents[Any, Any] | None = scope["state"].pop(self._key, None)
                    if events is not None and message["status"] < 400:
                        try:
                            await events.deliver_added()
                        except ProducerError as error:
                            refused = True
                            await _send(answer_for(error, details=self._kafka.details), send)
                if not refused:
                    await send(message)

            await app(scope, receive, deliver_first)

        return middleware

    def _answer(self, request: Request[Any, Any, Any], error: ProducerError) -> Response[Any]:
        answer = answer_for(error, details=self._kafka.details)
        return Response(
            answer.body, status_code=answer.status, headers=answer.headers, media_type=PROBLEM
        )

    def _probes(self, path: str) -> list[Any]:
        kafka = self._kafka

        @get(f"{path}/live", include_in_schema=False, media_type=MediaType.JSON)
        async def live() -> Response[dict[str, object]]:
            health = kafka.health()
            return Response(health.as_dict(), status_code=200 if health.live else 503)

        @get(f"{path}/ready", include_in_schema=False, media_type=MediaType.JSON)
        async def ready() -> Response[dict[str, object]]:
            health = kafka.health()
            return Response(health.as_dict(), status_code=200 if health.ready else 503)

        return [live, ready]


async def _send(answer: HttpAnswer, send: Send) -> None:
    body = json.dumps(answer.body).encode()
    headers = {**answer.headers, "Content-Type": PROBLEM, "Content-Length": str(len(body))}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
