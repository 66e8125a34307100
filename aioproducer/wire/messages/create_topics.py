"""CreateTopics: topics with their partitions, replicas and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey, cannot_say

_FLEXIBLE = FLEXIBLE_FROM[ApiKey.CREATE_TOPICS]
_TELLS_SINCE = 5
_DEFAULTS_SINCE = 4
_TOPIC_ID_SINCE = 7

BROKERS_DEFAULT = -1
"""Stands for as many partitions or replicas as the brokers are set to (KIP-464)."""


class NewTopic(NamedTuple):
    """A topic to create."""

    name: str
    partitions: int = BROKERS_DEFAULT
    replicas: int = BROKERS_DEFAULT
    configs: Mapping[str, str | None] = {}


class CreatedTopic(NamedTuple):
    """What came of it; old brokers tell -1 for the numbers."""

    name: str
    error_code: int
    error_message: str | None
    partitions: int = -1
    replicas: int = -1


@dataclass(frozen=True, slots=True)
class CreateTopicsResponse:
    throttle_time_ms: int
    topics: tuple[CreatedTopic, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> CreateTopicsResponse:
        throttle_time_ms = reader.int32()
        count = reader.array_length(version >= _FLEXIBLE, 5)
        topics = tuple([_topic(reader, version) for _ in range(count)])
        if version >= _FLEXIBLE:
            reader.tagged_fields()
        return cls(throttle_time_ms, topics)


@dataclass(frozen=True, slots=True)
class CreateTopicsRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.CREATE_TOPICS
    Response: ClassVar[type[CreateTopicsResponse]] = CreateTopicsResponse

    topics: Sequence[NewTopic]
    timeout_ms: int

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= _FLEXIBLE
        out = Writer()
        out.array_length(len(self.topics), flexible)
        for topic in self.topics:
            if version < _DEFAULTS_SINCE and BROKERS_DEFAULT in (topic.partitions, topic.replicas):
                raise cannot_say(self.API_KEY, version, "that the brokers choose a number")
            out.string(topic.name, flexible)
            out.int32(topic.partitions)
            out.int16(topic.replicas)
            out.array_length(0, flexible)  # no partition assigned by hand
            out.array_length(len(topic.configs), flexible)
            for key, value in topic.configs.items():
                out.string(key, flexible)
                out.nullable_string(value, flexible)
                if flexible:
                    out.tagged_fields()
            if flexible:
                out.tagged_fields()
        out.int32(self.timeout_ms)
        out.boolean(False)  # not only to see whether it would do
        if flexible:
            out.tagged_fields()
        return [out.getvalue()]


def _topic(reader: Reader, version: int) -> CreatedTopic:
    flexible = version >= _FLEXIBLE
    name = reader.string(flexible)
    if version >= _TOPIC_ID_SINCE:
        reader.take(16)
    error_code, message = reader.int16(), reader.nullable_string(flexible)
    partitions = replicas = -1
    if version >= _TELLS_SINCE:
        partitions, replicas = reader.int32(), reader.int16()
        for _ in range(reader.array_length(flexible, 6)):
            reader.string(flexible)
            reader.nullable_string(flexible)
            reader.take(3)  # read-only, where it comes from, sensitive
            reader.tagged_fields()
    if flexible:
        reader.tagged_fields()
    return CreatedTopic(name, error_code, message, partitions, replicas)
