"""AddOffsetsToTxn: tell the coordinator that a transaction is about to commit a group's offsets.

Since KIP-890 (transaction.version 2) a client does not ask this: TxnOffsetCommit adds the group.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from aioproducer.wire.primitives import Buffer, Reader, encode_string
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

_PRODUCER = struct.Struct(">qh")


@dataclass(frozen=True, slots=True)
class AddOffsetsToTxnResponse:
    throttle_time_ms: int
    error_code: int

    @classmethod
    def decode(cls, reader: Reader, version: int) -> AddOffsetsToTxnResponse:
        response = cls(reader.int32(), reader.int16())
        if version >= FLEXIBLE_FROM[ApiKey.ADD_OFFSETS_TO_TXN]:
            reader.tagged_fields()
        return response


@dataclass(frozen=True, slots=True)
class AddOffsetsToTxnRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.ADD_OFFSETS_TO_TXN
    Response: ClassVar[type[AddOffsetsToTxnResponse]] = AddOffsetsToTxnResponse

    transactional_id: str
    producer_id: int
    producer_epoch: int
    group_id: str

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= FLEXIBLE_FROM[ApiKey.ADD_OFFSETS_TO_TXN]
        body = encode_string(self.transactional_id, flexible)
        body += _PRODUCER.pack(self.producer_id, self.producer_epoch)
        body += encode_string(self.group_id, flexible)
        return [body + b"\x00" if flexible else body]
