"""Our names for OpenTelemetry are those of its conventions."""

from __future__ import annotations

from opentelemetry.semconv._incubating.attributes import messaging_attributes as conventions
from opentelemetry.semconv._incubating.metrics import messaging_metrics
from opentelemetry.semconv.attributes import error_attributes

from aioproducer.observe.catalogue import METRICS, Kind
from aioproducer.observe.exporters import otel_names as module
from aioproducer.observe.exporters.otel_names import otel_name


def test_our_names_are_those_of_the_conventions() -> None:
    assert module.SYSTEM == conventions.MESSAGING_SYSTEM
    assert module.OPERATION_NAME == conventions.MESSAGING_OPERATION_NAME
    assert module.OPERATION_TYPE == conventions.MESSAGING_OPERATION_TYPE
    assert module.DESTINATION == conventions.MESSAGING_DESTINATION_NAME
    assert module.PARTITION == conventions.MESSAGING_DESTINATION_PARTITION_ID
    assert module.CLIENT_ID == conventions.MESSAGING_CLIENT_ID
    assert module.OFFSET == conventions.MESSAGING_KAFKA_OFFSET
    assert module.KEY == conventions.MESSAGING_KAFKA_MESSAGE_KEY
    assert module.TOMBSTONE == conventions.MESSAGING_KAFKA_MESSAGE_TOMBSTONE
    assert module.BODY_SIZE == conventions.MESSAGING_MESSAGE_BODY_SIZE
    assert module.ERROR_TYPE == error_attributes.ERROR_TYPE
    assert module.SENT_MESSAGES == messaging_metrics.MESSAGING_CLIENT_SENT_MESSAGES
    assert module.DURATION == messaging_metrics.MESSAGING_CLIENT_OPERATION_DURATION
    assert conventions.MessagingOperationTypeValues.SEND.value == "send"
    assert conventions.MessagingSystemValues.KAFKA.value == "kafka"


def test_names_are_unique_and_without_units() -> None:
    names = [spelt for metric in METRICS if (spelt := otel_name(metric)) is not None]
    assert len({name for name, _ in names}) == len(names)
    for name, unit in names:
        assert not name.endswith(("_seconds", "_ratio"))
        assert unit


def test_rates_are_left_to_whoever_reads_totals() -> None:
    for metric in METRICS:
        if metric.kind is Kind.RATE and metric.unit != "ratio":
            assert otel_name(metric) is None
