"""GSSAPI (RFC 4752): Kerberos. The machine drives a security context that somebody else made.

Kafka uses it to authenticate only: once the context stands, the client chooses "no security
layer", and what follows on the connection is neither signed nor sealed by it.
"""

from __future__ import annotations

import enum
from typing import Protocol

from aioproducer.errors import AuthenticationError

_NO_LAYER = 1


class SecurityContext(Protocol):
    """What is needed of a GSSAPI security context; `gssapi.SecurityContext` behind an adapter."""

    @property
    def complete(self) -> bool:
        """Whether both sides are satisfied."""

    def step(self, token: bytes | None) -> bytes | None:
        """Take the server's token and return the next one for it."""

    def wrap(self, message: bytes) -> bytes:
        """Sign a message."""

    def unwrap(self, message: bytes) -> bytes:
        """Check the signature of a message and return what was signed."""


class _State(enum.Enum):
    START = enum.auto()
    NEGOTIATING = enum.auto()
    LAYER_CHOSEN = enum.auto()
    DONE = enum.auto()


class GssapiClient:
    """One GSSAPI exchange."""

    mechanism = "GSSAPI"
    is_slow = True
    remark = ""

    def __init__(self, context: SecurityContext, authorization_id: str = "") -> None:
        self._context = context
        self._authorization_id = authorization_id.encode()
        self._state = _State.START

    def step(self, challenge: bytes) -> bytes | None:
        match self._state:
            case _State.START:
                self._state = _State.NEGOTIATING
                return self._context.step(None) or b""
            case _State.NEGOTIATING if not self._context.complete:
                return self._context.step(challenge) or b""
            case _State.NEGOTIATING:
                message = self._choose_no_layer(challenge)
                self._state = _State.LAYER_CHOSEN
                return message
            case _State.LAYER_CHOSEN:
                self._state = _State.DONE
                return None
        raise AuthenticationError("the broker goes on after the end of the exchange")

    def _choose_no_layer(self, challenge: bytes) -> bytes:
        offer = self._context.unwrap(challenge)
        if len(offer) != 4 or not offer[0] & _NO_LAYER:
            raise AuthenticationError(
                "the broker insists on a security layer of Kerberos, which Kafka's protocol has"
                " no place for"
            )
        # One octet of choice, three of the largest message we would take: none.
        return self._context.wrap(bytes([_NO_LAYER, 0, 0, 0]) + self._authorization_id)
