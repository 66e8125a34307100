"""DescribeConfigs: what topics and brokers are set to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey

TOPIC = 2
BROKER = 4

_FLEXIBLE = FLEXIBLE_FROM[ApiKey.DESCRIBE_CONFIGS]


class ConfigResource(NamedTuple):
    """A topic by its name or a broker by its id, and the keys to tell of it, all with None."""

    kind: int
    name: str
    keys: tuple[str, ...] | None = None


class ConfigResult(NamedTuple):
    error_code: int
    error_message: str | None
    kind: int
    name: str
    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class DescribeConfigsResponse:
    throttle_time_ms: int
    results: tuple[ConfigResult, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> DescribeConfigsResponse:
        throttle_time_ms = reader.int32()
        count = reader.array_length(version >= _FLEXIBLE, 7)
        results = tuple([_result(reader, version) for _ in range(count)])
        if version >= _FLEXIBLE:
            reader.tagged_fields()
        return cls(throttle_time_ms, results)


@dataclass(frozen=True, slots=True)
class DescribeConfigsRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.DESCRIBE_CONFIGS
    Response: ClassVar[type[DescribeConfigsResponse]] = DescribeConfigsResponse

    resources: Sequence[ConfigResource]

    def encode(self, version: int) -> list[Buffer]:
        flexible = version >= _FLEXIBLE
        out = Writer()
        out.array_length(len(self.resources), flexible)
        for resource in self.resources:
            out.int8(resource.kind)
            out.string(resource.name, flexible)
            keys = resource.keys
            out.array_length(-1 if keys is None else len(keys), flexible)
            for key in keys or ():
                out.string(key, flexible)
            if flexible:
                out.tagged_fields()
        out.boolean(False)  # no synonyms
        if version >= 3:
            out.boolean(False)  # no documentation
        if flexible:
            out.tagged_fields()
        return [out.getvalue()]


def _result(reader: Reader, version: int) -> ConfigResult:
    flexible = version >= _FLEXIBLE
    error_code, message = reader.int16(), reader.nullable_string(flexible)
    kind, name = reader.int8(), reader.string(flexible)
    values = {}
    for _ in range(reader.array_length(flexible, 7)):
        key, value = _entry(reader, version)
        values[key] = value
    if flexible:
        reader.tagged_fields()
    return ConfigResult(error_code, message, kind, name, values)


def _entry(reader: Reader, version: int) -> tuple[str, str | None]:
    flexible = version >= _FLEXIBLE
    key, value = reader.string(flexible), reader.nullable_string(flexible)
    reader.take(3)  # read-only, where it comes from, sensitive: such values are null
    for _ in range(reader.array_length(flexible, 4)):
        reader.string(flexible)
        reader.nullable_string(flexible)
        reader.int8()
        if flexible:
            reader.tagged_fields()
    if version >= 3:
        reader.int8()  # its type
        reader.nullable_string(flexible)  # its documentation
    if flexible:
        reader.tagged_fields()
    return key, value
