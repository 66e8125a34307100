"""Our MetricsData against OpenTelemetry's own protobuf classes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, MetricsData

from aioproducer.wire.otlp import Point, encode_metrics

text = st.text(max_size=20)
points = st.lists(
    st.builds(
        Point,
        name=text,
        value=st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
        is_sum=st.booleans(),
        attributes=st.lists(st.tuples(text, text), max_size=3).map(tuple),
    ),
    max_size=5,
)
nanoseconds = st.integers(0, 2**63)


def encoded(some: Any, **given: Any) -> MetricsData:
    settings: dict[str, Any] = {
        "start_ns": 1, "now_ns": 2, "delta": False, "resource": {}, "scope": ("s", "1"), **given,
    }  # fmt: skip
    return MetricsData.FromString(encode_metrics(some, **settings))


@given(some=points, start=nanoseconds, now=nanoseconds, delta=st.booleans())
def test_a_protobuf_library_reads_what_was_written(
    some: list[Point], start: int, now: int, delta: bool
) -> None:
    data = encoded(
        some, start_ns=start, now_ns=now, delta=delta, resource={"a": "b"}, scope=("me", "1.0")
    )
    [resource] = data.resource_metrics
    assert [(each.key, each.value.string_value) for each in resource.resource.attributes] == [
        ("a", "b")
    ]
    [scope] = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("me", "1.0")
    assert [metric.name for metric in scope.metrics] == [point.name for point in some]
    for metric, point in zip(scope.metrics, some, strict=True):
        assert metric.WhichOneof("data") == ("sum" if point.is_sum else "gauge")
        [read] = getattr(metric, metric.WhichOneof("data")).data_points
        kind = "as_int" if isinstance(point.value, int) else "as_double"
        assert read.WhichOneof("value") == kind
        assert getattr(read, kind) == point.value
        assert read.time_unix_nano == now
        attributes = tuple((each.key, each.value.string_value) for each in read.attributes)
        assert attributes == point.attributes
        if point.is_sum:
            assert read.start_time_unix_nano == start
            assert metric.sum.is_monotonic
            expected = (
                AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
                if delta
                else AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            )
            assert metric.sum.aggregation_temporality == expected


def test_nothing_is_a_message_too() -> None:
    [resource] = encoded([]).resource_metrics
    assert not resource.scope_metrics[0].metrics
