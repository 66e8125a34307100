"""SaslAuthenticate: one token of a SASL exchange each way (KIP-152), and how long it is good for
(KIP-368)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

_LIFETIME_SINCE = 1


@dataclass(frozen=True, slots=True)
class SaslAuthenticateResponse:
    error_code: int
    error_message: str | None
    # Not for a log: with some mechanisms it is enough to try passwords against.
    auth_bytes: bytes = field(repr=False)
    session_lifetime_ms: int = 0

    @property
    def throttle_time_ms(self) -> int:
        """Nobody is throttled before the broker knows who it is."""
        return 0

    @classmethod
    def decode(cls, reader: Reader, version: int) -> SaslAuthenticateResponse:
        flexible = version >= FLEXIBLE_FROM[ApiKey.SASL_AUTHENTICATE]
        response = cls(
            reader.int16(),
            reader.nullable_string(flexible),
            reader.bytes_(flexible),
            reader.int64() if version >= _LIFETIME_SINCE else 0,
        )
        if flexible:
            reader.tagged_fields()
        return response


@dataclass(frozen=True, slots=True)
class SaslAuthenticateRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.SASL_AUTHENTICATE
    Response: ClassVar[type[SaslAuthenticateResponse]] = SaslAuthenticateResponse

    # A password in clear, with PLAIN.
    auth_bytes: bytes = field(repr=False)

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= FLEXIBLE_FROM[ApiKey.SASL_AUTHENTICATE]
        body = Writer()
        body.bytes_(self.auth_bytes, flexible)
        if flexible:
            body.tagged_fields()
        return [body.getvalue()]
