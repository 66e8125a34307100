"""SaslHandshake: name the SASL mechanism, learn which ones the listener offers (KIP-43)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aioproducer.wire.primitives import Buffer, Reader, encode_string
from aioproducer.wire.versions import ApiKey


@dataclass(frozen=True, slots=True)
class SaslHandshakeResponse:
    error_code: int
    mechanisms: tuple[str, ...]

    @property
    def throttle_time_ms(self) -> int:
        """Nobody is throttled before the broker knows who it is."""
        return 0

    @classmethod
    def decode(cls, reader: Reader, version: int) -> SaslHandshakeResponse:
        error_code = reader.int16()
        count = reader.array_length(False, 2)
        return cls(error_code, tuple(reader.string(False) for _ in range(count)))


@dataclass(frozen=True, slots=True)
class SaslHandshakeRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.SASL_HANDSHAKE
    Response: ClassVar[type[SaslHandshakeResponse]] = SaslHandshakeResponse

    mechanism: str

    def encode(self, version: int) -> list[Buffer]:
        return [encode_string(self.mechanism, False)]
