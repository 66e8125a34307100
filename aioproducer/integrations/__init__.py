"""A producer in a web service: its life, delivery within a request, the outbox, answers, probes.

What is here needs no framework; ``integrations.fastapi``, ``integrations.aiohttp`` and
``integrations.litestar`` fit it into theirs.
"""

from aioproducer.integrations.answers import HttpAnswer, answer_for
from aioproducer.integrations.background import OnFailure
from aioproducer.integrations.events import RequestEvents
from aioproducer.integrations.lifespan import ProducerLifespan, ServiceHealth
from aioproducer.integrations.outbox import Outbox, OutboxFullError
from aioproducer.integrations.relay import Bookmark, OutboxEvent, OutboxRelay, OutboxStore

__all__ = [
    "Bookmark",
    "HttpAnswer",
    "OnFailure",
    "Outbox",
    "OutboxEvent",
    "OutboxFullError",
    "OutboxRelay",
    "OutboxStore",
    "ProducerLifespan",
    "RequestEvents",
    "ServiceHealth",
    "answer_for",
]
