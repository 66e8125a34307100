"""An asyncio-native producer client for Apache Kafka."""

from aioproducer.core.lifecycle import LifeState
from aioproducer.core.murmur2 import partition_of_key
from aioproducer.core.partitioner import Partitioner, PartitionerRecord, PartitionList
from aioproducer.delivery import Delivery
from aioproducer.errors import (
    BrokerError,
    BufferExhaustedError,
    ClusterConnectionError,
    ConfigurationError,
    DeliveryTimeoutError,
    FlushTimeoutError,
    MetadataNotReadyError,
    MetadataTimeoutError,
    NotStartedError,
    PartitionerError,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
    ProducerTimeoutError,
    RecordTooLargeError,
    SerializationError,
    WrongLoopError,
)
from aioproducer.observe.metrics import MetricsSnapshot
from aioproducer.producer import AsyncProducer
from aioproducer.records import (
    CloseReport,
    FailedRecord,
    Header,
    LateResult,
    PartitionInfo,
    Record,
    RecordMetadata,
    SendManyResult,
    TopicPartition,
    TopicReport,
)
from aioproducer.signals import SignalDrain
from aioproducer.version import __version__

__all__ = [
    "AsyncProducer",
    "BrokerError",
    "BufferExhaustedError",
    "CloseReport",
    "ClusterConnectionError",
    "ConfigurationError",
    "Delivery",
    "DeliveryTimeoutError",
    "FailedRecord",
    "FlushTimeoutError",
    "Header",
    "LateResult",
    "LifeState",
    "MetadataNotReadyError",
    "MetadataTimeoutError",
    "MetricsSnapshot",
    "NotStartedError",
    "PartitionInfo",
    "PartitionList",
    "Partitioner",
    "PartitionerError",
    "PartitionerRecord",
    "ProducerClosedError",
    "ProducerError",
    "ProducerStateError",
    "ProducerTimeoutError",
    "Record",
    "RecordMetadata",
    "RecordTooLargeError",
    "SendManyResult",
    "SerializationError",
    "SignalDrain",
    "TopicPartition",
    "TopicReport",
    "WrongLoopError",
    "__version__",
    "partition_of_key",
]
