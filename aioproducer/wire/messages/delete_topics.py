"""DeleteTopics: by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.primitives import ZERO_UUID, Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

_FLEXIBLE = FLEXIBLE_FROM[ApiKey.DELETE_TOPICS]
_MESSAGE_SINCE = 5
_TOPIC_ID_SINCE = 6


class DeletedTopic(NamedTuple):
    """What came of it."""

    name: str | None
    error_code: int
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteTopicsResponse:
    throttle_time_ms: int
    topics: tuple[DeletedTopic, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> DeleteTopicsResponse:
        throttle_time_ms = reader.int32()
        count = reader.array_length(version >= _FLEXIBLE, 3)
        topics = tuple([_topic(reader, version) for _ in range(count)])
        if version >= _FLEXIBLE:
            reader.tagged_fields()
        return cls(throttle_time_ms, topics)


@dataclass(frozen=True, slots=True)
class DeleteTopicsRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.DELETE_TOPICS
    Response: ClassVar[type[DeleteTopicsResponse]] = DeleteTopicsResponse

    names: Sequence[str]
    timeout_ms: int

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= _FLEXIBLE
        out = Writer()
        out.array_length(len(self.names), flexible)
        for name in self.names:
            out.string(name, flexible)
            if version >= _TOPIC_ID_SINCE:
                out.uuid(ZERO_UUID)
                out.tagged_fields()
        out.int32(self.timeout_ms)
        if flexible:
            out.tagged_fields()
        return [out.getvalue()]


def _topic(reader: Reader, version: int) -> DeletedTopic:
    flexible = version >= _FLEXIBLE
    if version >= _TOPIC_ID_SINCE:
        name = reader.nullable_string(flexible)
        reader.take(16)
    else:
        name = reader.string(flexible)
    error_code = reader.int16()
    message = reader.nullable_string(flexible) if version >= _MESSAGE_SINCE else None
    if flexible:
        reader.tagged_fields()
    return DeletedTopic(name, error_code, message)
