"""InitProducerId: obtain or renew the identity of an idempotent or transactional producer."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import Buffer, Reader, encode_string
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey, cannot_say

_CURRENT_IDENTITY_SINCE = 3
_IDENTITY = struct.Struct(">qh")
_TIMEOUT = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class InitProducerIdResponse:
    throttle_time_ms: int
    error_code: int
    producer_id: int
    producer_epoch: int

    @classmethod
    def decode(cls, reader: Reader, version: int) -> InitProducerIdResponse:
        response = cls(reader.int32(), reader.int16(), reader.int64(), reader.int16())
        if version >= FLEXIBLE_FROM[ApiKey.INIT_PRODUCER_ID]:
            reader.tagged_fields()
        if not response.error_code and min(response.producer_id, response.producer_epoch) < 0:
            raise MalformedResponseError(
                f"producer id {response.producer_id} with epoch {response.producer_epoch}"
                " is no identity"
            )
        return response


@dataclass(frozen=True, slots=True)
class InitProducerIdRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.INIT_PRODUCER_ID
    Response: ClassVar[type[InitProducerIdResponse]] = InitProducerIdResponse

    transactional_id: str | None
    transaction_timeout_ms: int
    producer_id: int = -1
    producer_epoch: int = -1

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= FLEXIBLE_FROM[ApiKey.INIT_PRODUCER_ID]
        body = encode_string(self.transactional_id, flexible)
        body += _TIMEOUT.pack(self.transaction_timeout_ms)
        if version >= _CURRENT_IDENTITY_SINCE:
            body += _IDENTITY.pack(self.producer_id, self.producer_epoch)
        elif (self.producer_id, self.producer_epoch) != (-1, -1):
            raise cannot_say(self.API_KEY, version, "which producer id is to be renewed (KIP-360)")
        return [body + b"\x00" if flexible else body]
