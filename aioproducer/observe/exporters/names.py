"""What the metrics are called by Prometheus' conventions: base units, units as suffixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aioproducer.observe.catalogue import METRICS, Group, Kind, Metric

ACK_TIMES = "aioproducer_ack_time_seconds"
"""The histogram of times from send() to the acknowledgement."""
CIPHERS = "kafka_producer_connections"
BUILD_INFO = "aioproducer_build_info"

_PREFIXES = {
    Group.PRODUCER: "kafka_producer_",
    Group.TOPIC: "kafka_producer_topic_",
    Group.NODE: "kafka_producer_node_",
    Group.OWN: "aioproducer_",
    Group.COUNT: "aioproducer_metrics_",
    Group.APP: "aioproducer_",
    Group.REGISTERED: "aioproducer_app_",
}
_SCALES = {"ms": 1e-3, "ns": 1e-9}
_SUFFIXES = {"ms": "_seconds", "ns": "_seconds", "s": "_seconds", "bytes": "_bytes"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A metric's name, whether it only grows, and what its values are multiplied with."""

    name: str
    is_counter: bool
    scale: float


def exported(metric: Metric) -> Exported | None:
    """Return how Prometheus gets a metric; ``None`` for what it works out by itself.

    That are rates, which follow from the totals, and percentiles, which follow from the histogram.
    """
    if metric.kind is Kind.PERCENTILE or (metric.kind is Kind.RATE and metric.unit != "ratio"):
        return None
    is_counter = metric.kind is Kind.TOTAL
    scale = _SCALES.get(metric.unit, 1.0)
    left_out = ("ns", "total") if is_counter else ()
    words = [word for word in metric.name.split("-") if word not in left_out]
    # The unit comes last, and once.
    words = ["bytes" if word == "byte" else word for word in words]
    if words[-1] in ("ms", "s"):
        words.pop()
    name = _PREFIXES[metric.group] + "_".join(words)
    suffix = _SUFFIXES.get(metric.unit, "_ratio" if metric.unit == "ratio" else "")
    if not ("bytes" in words and suffix == "_bytes") and not name.endswith(suffix):
        name += suffix
    return Exported(name + ("_total" if is_counter else ""), is_counter, scale)


def _all_names() -> Mapping[tuple[Group, str], Exported]:
    named = {}
    for metric in METRICS:
        each = exported(metric)
        if each is not None:
            named[metric.group, metric.name] = each
    return MappingProxyType(named)


EXPORTED = _all_names()
"""Everything of the table that Prometheus gets, by Kafka's group and name."""
