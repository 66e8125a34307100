"""OpenTelemetry's MetricsData as protobuf, as far as KIP-714 needs it: numbers, gauges and sums.

The messages are opentelemetry/proto/metrics/v1/metrics.proto of OTLP 1; a handful of fields needs
no protobuf library.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aioproducer.wire.primitives import encode_uvarint

_DELTA = 1
_CUMULATIVE = 2
_FIXED64 = struct.Struct("<Q")
_DOUBLE = struct.Struct("<d")
_SFIXED64 = struct.Struct("<q")

_VARINT_TYPE = 0
_FIXED64_TYPE = 1
_BYTES_TYPE = 2


class Point(NamedTuple):
    """A figure: a sum if it only grows, else a gauge. Whole numbers stay whole."""

    name: str
    value: float
    is_sum: bool
    attributes: tuple[tuple[str, str], ...] = ()


def encode_metrics(
    points: Iterable[Point],
    *,
    start_ns: int,
    now_ns: int,
    delta: bool,
    resource: Mapping[str, str],
    scope: tuple[str, str],
) -> bytes:
    """Return the points as one MetricsData.

    Args:
        points: sums are since ``start_ns``.
        start_ns: nanoseconds since 1970; so is ``now_ns``.
        now_ns: when they were read.
        delta: whether sums begin anew at each push, instead of counting on.
        resource: what is said of all of them.
        scope: name and version of who counts.
    """
    temporality = _DELTA if delta else _CUMULATIVE
    metrics = b"".join(_field(2, _metric(point, start_ns, now_ns, temporality)) for point in points)
    name, version = scope
    described = _field(1, _field(1, name.encode()) + _field(2, version.encode()))
    attributes = b"".join(_field(1, _key_value(*each)) for each in resource.items())
    return _field(1, _field(1, attributes) + _field(2, described + metrics))


def _metric(point: Point, start_ns: int, now_ns: int, temporality: int) -> bytes:
    data = _field(1, _data_point(point, start_ns, now_ns))
    if point.is_sum:
        data += _varint_field(2, temporality) + _varint_field(3, 1)
    return _field(1, point.name.encode()) + _field(7 if point.is_sum else 5, data)


def _data_point(point: Point, start_ns: int, now_ns: int) -> bytes:
    parts = [_fixed64_field(3, _FIXED64.pack(now_ns))]
    if point.is_sum:
        parts.append(_fixed64_field(2, _FIXED64.pack(start_ns)))
    if isinstance(point.value, int):
        parts.append(_fixed64_field(6, _SFIXED64.pack(point.value)))
    else:
        parts.append(_fixed64_field(4, _DOUBLE.pack(point.value)))
    parts += [_field(7, _key_value(*each)) for each in point.attributes]
    return b"".join(parts)


def _key_value(key: str, value: str) -> bytes:
    return _field(1, key.encode()) + _field(2, _field(1, value.encode()))


def _field(number: int, data: bytes) -> bytes:
    return encode_uvarint(number << 3 | _BYTES_TYPE) + encode_uvarint(len(data)) + data


def _varint_field(number: int, value: int) -> bytes:
    return encode_uvarint(number << 3 | _VARINT_TYPE) + encode_uvarint(value)


def _fixed64_field(number: int, data: bytes) -> bytes:
    return encode_uvarint(number << 3 | _FIXED64_TYPE) + data
