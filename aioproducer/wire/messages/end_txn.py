"""EndTxn: commit or abort a transaction."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from aioproducer.wire.primitives import Buffer, Reader, encode_string
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

_NEXT_EPOCH_SINCE = 5
_PRODUCER_AND_OUTCOME = struct.Struct(">qh?")


@dataclass(frozen=True, slots=True)
class EndTxnResponse:
    """The identity for the next transaction comes from version 5 on (KIP-890), else -1."""

    throttle_time_ms: int
    error_code: int
    producer_id: int = -1
    producer_epoch: int = -1

    @classmethod
    def decode(cls, reader: Reader, version: int) -> EndTxnResponse:
        renews = version >= _NEXT_EPOCH_SINCE
        response = cls(
            throttle_time_ms=reader.int32(),
            error_code=reader.int16(),
            producer_id=reader.int64() if renews else -1,
            producer_epoch=reader.int16() if renews else -1,
        )
        if version >= FLEXIBLE_FROM[ApiKey.END_TXN]:
            reader.tagged_fields()
        return response


@dataclass(frozen=True, slots=True)
class EndTxnRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.END_TXN
    Response: ClassVar[type[EndTxnResponse]] = EndTxnResponse

    transactional_id: str
    producer_id: int
    producer_epoch: int
    committed: bool

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= FLEXIBLE_FROM[ApiKey.END_TXN]
        body = encode_string(self.transactional_id, flexible)
        body += _PRODUCER_AND_OUTCOME.pack(self.producer_id, self.producer_epoch, self.committed)
        return [body + b"\x00" if flexible else body]
