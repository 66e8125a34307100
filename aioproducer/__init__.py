"""An asyncio-native producer client for Apache Kafka."""

from aioproducer import compiled as _compiled  # isort: skip - decides how the rest is imported

import typing as _typing
from importlib import import_module as _import_module

from aioproducer.core.lifecycle import LifeState
from aioproducer.core.murmur2 import partition_of_key
from aioproducer.core.partitioner import Partitioner, PartitionerRecord, PartitionList
from aioproducer.core.transaction import TransactionState
from aioproducer.credentials import Credentials, OAuthToken
from aioproducer.delivery import Delivery
from aioproducer.errors import (
    AuthenticationError,
    BrokerError,
    BufferExhaustedError,
    CircuitOpenError,
    ClusterConnectionError,
    ConfigurationError,
    DeadLetterError,
    DeliveryTimeoutError,
    DeserializationError,
    FatalTransactionError,
    FlushTimeoutError,
    MetadataNotReadyError,
    MetadataTimeoutError,
    NotStartedError,
    PartitionerError,
    ProducerClosedError,
    ProducerError,
    ProducerFencedError,
    ProducerStateError,
    ProducerTimeoutError,
    RecordTooLargeError,
    SchemaRegistryError,
    SerializationError,
    SerializerNotReadyError,
    SerializerTimeoutError,
    TransactionAbortedError,
    TransactionStateError,
    TransactionTimeoutError,
    WrongLoopError,
)
from aioproducer.interceptors import Interceptor
from aioproducer.observe.catalogue import Kind as MetricKind
from aioproducer.observe.health import Health
from aioproducer.observe.readings import TimeHistogram
from aioproducer.observe.snapshot import MetricsSnapshot, NodeMetrics, TopicMetrics
from aioproducer.offsets import group_metadata
from aioproducer.producer import AsyncProducer
from aioproducer.records import (
    CloseReport,
    FailedRecord,
    GroupMetadata,
    Header,
    LateResult,
    OffsetAndMetadata,
    PartitionInfo,
    Record,
    RecordMetadata,
    SendManyResult,
    TopicPartition,
    TopicReport,
)
from aioproducer.signals import SignalDrain
from aioproducer.story import Explanation, Step
from aioproducer.transaction import Transaction
from aioproducer.version import __version__

if _typing.TYPE_CHECKING:
    from aioproducer.doctor import check_setup
    from aioproducer.observe.findings import Diagnosis, Finding, Severity
    from aioproducer.observe.thresholds import Thresholds

accelerated: bool = _compiled.is_compiled(Delivery.__module__)
"""Whether the hot files run compiled; else they run as the Python that they are written in."""

__all__ = [
    "AsyncProducer",
    "AuthenticationError",
    "BrokerError",
    "BufferExhaustedError",
    "CircuitOpenError",
    "CloseReport",
    "ClusterConnectionError",
    "ConfigurationError",
    "Credentials",
    "DeadLetterError",
    "Delivery",
    "DeliveryTimeoutError",
    "DeserializationError",
    "Diagnosis",
    "Explanation",
    "FailedRecord",
    "FatalTransactionError",
    "Finding",
    "FlushTimeoutError",
    "GroupMetadata",
    "Header",
    "Health",
    "Interceptor",
    "LateResult",
    "LifeState",
    "MetadataNotReadyError",
    "MetadataTimeoutError",
    "MetricKind",
    "MetricsSnapshot",
    "NodeMetrics",
    "NotStartedError",
    "OAuthToken",
    "OffsetAndMetadata",
    "PartitionInfo",
    "PartitionList",
    "Partitioner",
    "PartitionerError",
    "PartitionerRecord",
    "ProducerClosedError",
    "ProducerError",
    "ProducerFencedError",
    "ProducerStateError",
    "ProducerTimeoutError",
    "Record",
    "RecordMetadata",
    "RecordTooLargeError",
    "SchemaRegistryError",
    "SendManyResult",
    "SerializationError",
    "SerializerNotReadyError",
    "SerializerTimeoutError",
    "Severity",
    "SignalDrain",
    "Step",
    "Thresholds",
    "TimeHistogram",
    "TopicMetrics",
    "TopicPartition",
    "TopicReport",
    "Transaction",
    "TransactionAbortedError",
    "TransactionState",
    "TransactionStateError",
    "TransactionTimeoutError",
    "WrongLoopError",
    "__version__",
    "accelerated",
    "check_setup",
    "group_metadata",
    "partition_of_key",
]


_LATER = {
    "Diagnosis": "observe.findings",
    "Finding": "observe.findings",
    "Severity": "observe.findings",
    "Thresholds": "observe.thresholds",
    "check_setup": "doctor",
}


def __getattr__(name: str) -> object:
    """Import what only few programs use when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f"{__name__}.{_LATER[name]}"), name)
