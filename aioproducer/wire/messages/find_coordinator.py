"""FindCoordinator: which broker looks after a group or a transactional id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey, cannot_say

GROUP = 0
TRANSACTION = 1

_BATCHED_SINCE = 4


@dataclass(frozen=True, slots=True)
class FindCoordinatorResponse:
    throttle_time_ms: int
    error_code: int
    error_message: str | None
    node_id: int
    host: str
    port: int

    @classmethod
    def decode(cls, reader: Reader, version: int) -> FindCoordinatorResponse:
        if version >= _BATCHED_SINCE:
            return cls._decode_batched(reader)
        flexible = version >= FLEXIBLE_FROM[ApiKey.FIND_COORDINATOR]
        response = cls(
            throttle_time_ms=reader.int32() if version >= 1 else 0,
            error_code=reader.int16(),
            error_message=reader.nullable_string(flexible) if version >= 1 else None,
            node_id=reader.int32(),
            host=reader.string(flexible),
            port=reader.int32(),
        )
        if flexible:
            reader.tagged_fields()
        return response

    @classmethod
    def _decode_batched(cls, reader: Reader) -> FindCoordinatorResponse:
        """Decode the form for many keys (KIP-699), of which this client asks for one."""
        throttle_time_ms = reader.int32()
        count = reader.array_length(True, 14)
        if count != 1:
            raise MalformedResponseError(f"one coordinator was asked for, {count} came back")
        reader.string(True)
        node_id, host, port = reader.int32(), reader.string(True), reader.int32()
        error_code, error_message = reader.int16(), reader.nullable_string(True)
        reader.tagged_fields()
        reader.tagged_fields()
        return cls(throttle_time_ms, error_code, error_message, node_id, host, port)


@dataclass(frozen=True, slots=True)
class FindCoordinatorRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.FIND_COORDINATOR
    Response: ClassVar[type[FindCoordinatorResponse]] = FindCoordinatorResponse

    key: str
    key_type: int

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= FLEXIBLE_FROM[ApiKey.FIND_COORDINATOR]
        out = Writer()
        if version < _BATCHED_SINCE:
            out.string(self.key, flexible)
        if version >= 1:
            out.int8(self.key_type)
        elif self.key_type != GROUP:
            raise cannot_say(self.API_KEY, version, "that the key is not a group's")
        if version >= _BATCHED_SINCE:
            out.array_length(1, True)
            out.string(self.key, True)
        if flexible:
            out.tagged_fields()
        return [out.getvalue()]
