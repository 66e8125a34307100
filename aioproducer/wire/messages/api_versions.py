"""ApiVersions: what the broker speaks, and which features its cluster has finalized (KIP-584)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import Buffer, Reader, encode_string
from aioproducer.wire.versions import FLEXIBLE_FROM, ApiKey, VersionRange

_UNSUPPORTED_VERSION = 35

_SUPPORTED_FEATURES = 0
_FINALIZED_FEATURES_EPOCH = 1
_FINALIZED_FEATURES = 2


@dataclass(frozen=True, slots=True)
class ApiVersionsResponse:
    error_code: int
    api_versions: Mapping[int, VersionRange]
    throttle_time_ms: int = 0
    finalized_features: Mapping[str, int] = field(default_factory=dict)
    finalized_features_epoch: int = -1
    supported_features: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def decode(cls, reader: Reader, version: int) -> ApiVersionsResponse:
        flexible = version >= FLEXIBLE_FROM[ApiKey.API_VERSIONS]
        error_code = reader.int16()
        if error_code == _UNSUPPORTED_VERSION:
            # A broker that does not know the version asked cannot answer in its layout.
            return cls(error_code, _salvaged_ranges(reader))
        api_versions = _ranges(reader, flexible)
        throttle_time_ms = reader.int32() if version >= 1 else 0
        if not flexible:
            return cls(error_code, api_versions, throttle_time_ms)
        tagged = reader.tagged_fields()
        epoch = tagged.get(_FINALIZED_FEATURES_EPOCH)
        return cls(
            error_code,
            api_versions,
            throttle_time_ms,
            {name: first for name, first, _ in _features(tagged.get(_FINALIZED_FEATURES))},
            -1 if epoch is None else Reader(epoch).int64(),
            {name: (low, high) for name, low, high in _features(tagged.get(_SUPPORTED_FEATURES))},
        )


@dataclass(frozen=True, slots=True)
class ApiVersionsRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.API_VERSIONS
    Response: ClassVar[type[ApiVersionsResponse]] = ApiVersionsResponse

    client_software_name: str
    client_software_version: str

    def encode(self, version: int) -> list[Buffer]:
        if version < FLEXIBLE_FROM[ApiKey.API_VERSIONS]:
            return [b""]
        name = encode_string(self.client_software_name, True)
        return [name + encode_string(self.client_software_version, True) + b"\x00"]


def _ranges(reader: Reader, flexible: bool) -> dict[int, VersionRange]:
    ranges: dict[int, VersionRange] = {}
    for _ in range(reader.array_length(flexible, 7 if flexible else 6)):
        key = reader.int16()
        ranges[key] = VersionRange(reader.int16(), reader.int16())
        if flexible:
            reader.tagged_fields()
    return ranges


def _salvaged_ranges(reader: Reader) -> dict[int, VersionRange]:
    """Return what can be read of an answer to a version the broker does not speak.

    Kafka answers in the layout of version 0 with the range of ApiVersions in it (KIP-511), old
    brokers with the error code alone, and others with bytes of no layout at all.
    """
    try:
        return _ranges(reader, False)
    except MalformedResponseError:
        return {}


def _features(data: bytes | None) -> list[tuple[str, int, int]]:
    """Return (name, first level, second level): the two arrays differ in which level is first."""
    if data is None:
        return []
    reader = Reader(data)
    features = []
    for _ in range(reader.array_length(True, 6)):
        features.append((reader.string(True), reader.int16(), reader.int16()))
        reader.tagged_fields()
    return features
