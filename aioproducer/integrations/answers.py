"""What an HTTP client is told when a record was not delivered."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from http import HTTPStatus

from aioproducer import (
    AuthenticationError,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
    RecordTooLargeError,
    SerializationError,
)

PROBLEM = "application/problem+json"
"""The media type of the bodies (RFC 9457)."""

_RETRY_AFTER = 2.0
_INVALID_RECORD = 87


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A status, headers, and a body for ``json.dumps`` of the media type ``PROBLEM``."""

    status: int
    body: dict[str, object]
    headers: dict[str, str] = field(default_factory=dict)


def answer_for(error: ProducerError, *, details: bool = False) -> HttpAnswer:
    """Return what to answer a client whose record failed with ``error``.

    413: the record is too large. 422: its value cannot be serialized, or the broker does not
    accept it. 503 with ``Retry-After``: the record is surely not in Kafka, and later it may be
    taken: the cluster is away, there is no room, the service ends. 504: nobody knows whether it is
    in Kafka, so a client that comes again may double it. 500: the rest, which no client can mend.

    The body says which with ``retriable`` and ``persisted``. The message names brokers and topics:
    it is told for 4xx, for the others only with ``details``.
    """
    status = _status(error)
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "error": type(error).__name__,
        "retriable": error.retriable or isinstance(error, ProducerClosedError),
        "persisted": error.persisted,
    }
    if details or status < HTTPStatus.INTERNAL_SERVER_ERROR:
        body["detail"] = str(error)
        body["what_next"] = error.what_next
    headers = {}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        # An open circuit knows when it will let a record through.
        seconds = getattr(error, "retry_after", None)
        headers["Retry-After"] = str(
            max(1, math.ceil(_RETRY_AFTER if seconds is None else seconds))
        )
    return HttpAnswer(int(status), body, headers)


def _status(error: ProducerError) -> HTTPStatus:
    if isinstance(error, RecordTooLargeError):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if error.persisted != "no":
        return HTTPStatus.GATEWAY_TIMEOUT
    if error.retriable or isinstance(error, (ProducerClosedError, AuthenticationError)):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, ProducerStateError):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, SerializationError) or getattr(error, "code", 0) == _INVALID_RECORD:
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.INTERNAL_SERVER_ERROR
