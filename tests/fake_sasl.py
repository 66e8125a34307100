"""The broker's side of SASL, for the cluster in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aioproducer.wire.primitives import Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

SASL_REQUESTS = (ApiKey.SASL_HANDSHAKE, ApiKey.SASL_AUTHENTICATE)
UNSUPPORTED_SASL_MECHANISM = 33
ILLEGAL_SASL_STATE = 34
SASL_AUTHENTICATION_FAILED = 58


class Refusal(NamedTuple):
    """What a broker says to credentials that it does not take."""

    message: str
    code: int = SASL_AUTHENTICATION_FAILED


@dataclass(slots=True)
class FakeSasl:
    """What a listener asks of those who connect.

    ``judge`` sees each token and returns the next challenge, or why not.
    """

    mechanisms: tuple[str, ...] = ("PLAIN",)
    handshake_error: int = 0
    lifetime_ms: int = 0
    judge: Callable[[bytes], bytes | Refusal] = lambda token: b""
    tokens: list[bytes] = field(default_factory=list)
    handshakes: deque[float] = field(default_factory=deque)
    # Sessions by connection: until when, and whether a login is half done.
    _ends: dict[Any, float] = field(default_factory=dict)
    _midway: set[Any] = field(default_factory=set)

    def admits(self, session: Any, request: Any, now: float) -> bool:
        """Return whether the connection may ask this; a broker hangs up where it may not."""
        if request.api is ApiKey.API_VERSIONS:
            return True
        if request.api in SASL_REQUESTS:
            return True
        return session not in self._midway and now <= self._ends.get(session, -1.0)

    def answer(self, session: Any, request: Any, now: float) -> bytes:
        out = Writer()
        if request.api is ApiKey.SASL_HANDSHAKE:
            self._midway.add(session)
            self.handshakes.append(now)
            known = request.body in self.mechanisms
            out.int16(self.handshake_error or (0 if known else UNSUPPORTED_SASL_MECHANISM))
            out.array_length(len(self.mechanisms), False)
            for name in self.mechanisms:
                out.string(name, False)
            return out.getvalue()
        self.tokens.append(request.body)
        verdict = self.judge(request.body)
        flexible = request.version >= FLEXIBLE_FROM[ApiKey.SASL_AUTHENTICATE]
        refused = isinstance(verdict, Refusal)
        out.int16(verdict.code if refused else 0)
        out.nullable_string(verdict.message if refused else None, flexible)
        out.bytes_(b"" if refused else verdict, flexible)
        if request.version >= 1:
            out.int64(0 if refused else self.lifetime_ms)
        if flexible:
            out.tagged_fields()
        if not refused and not verdict:
            self._midway.discard(session)
            life = self.lifetime_ms / 1000 if self.lifetime_ms else float("inf")
            self._ends[session] = now + life
        return out.getvalue()


def read_body(reader: Reader, api: ApiKey, flexible: bool) -> Any:
    """Return the mechanism or the token that a request carries."""
    return reader.string(False) if api is ApiKey.SASL_HANDSHAKE else reader.bytes_(flexible)
