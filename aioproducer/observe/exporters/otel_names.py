"""What OpenTelemetry calls things: attributes, and the names and units of metrics.

Names follow the messaging conventions of its semantic conventions 1.44, which are still in
development: this table is all that depends on them.
"""

from __future__ import annotations

from aioproducer.observe.catalogue import Kind, Metric
from aioproducer.observe.exporters.names import exported

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
CLIENT_ID = "messaging.client.id"
OFFSET = "messaging.kafka.offset"
KEY = "messaging.kafka.message.key"
TOMBSTONE = "messaging.kafka.message.tombstone"
BODY_SIZE = "messaging.message.body.size"
ERROR_TYPE = "error.type"
SENT_MESSAGES = "messaging.client.sent.messages"
DURATION = "messaging.client.operation.duration"
NODE_ID = "kafka.node.id"

SCOPE = "aioproducer"
SEND = {SYSTEM: "kafka", OPERATION_NAME: "send", OPERATION_TYPE: "send"}

_SUFFIXES = ("_seconds", "_ratio", "_bytes")


def otel_name(metric: Metric) -> tuple[str, str] | None:
    """Return name and unit of a metric; ``None`` for rates, which follow from the totals.

    The name is the one for Prometheus without suffixes: whoever exports from OpenTelemetry to
    Prometheus puts them back. Percentiles are here because observed instruments have no histogram.
    """
    if metric.kind is Kind.PERCENTILE:
        return f"aioproducer.{metric.attribute}", "s"
    spelt = exported(metric)
    if spelt is None:
        return None
    name = spelt.name.removesuffix("_total")
    unit = {"ms": "s", "ns": "s", "s": "s", "bytes": "By", "ratio": "1"}.get(metric.unit)
    if unit is None:
        unit = f"{{{metric.unit}}}"
    for suffix in ("_seconds", "_ratio") if "byte" in metric.name else _SUFFIXES:
        name = name.removesuffix(suffix)
    for prefix in ("kafka_producer_topic_", "kafka_producer_node_", "kafka_producer_"):
        if name.startswith(prefix):
            return prefix.replace("_", ".") + name.removeprefix(prefix), unit
    return name.replace("aioproducer_", "aioproducer.", 1), unit
