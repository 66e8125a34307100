"""The producer part of aiokafka: what a program written for it imports, from here instead.

    from aioproducer.compat.aiokafka import AIOKafkaProducer
    from aioproducer.compat.aiokafka.errors import KafkaError

Where aiokafka is installed, errors and structs are its own classes, so that a program that keeps
its consumer catches and compares as before; else classes of the same names. What differs, and all
options and methods: docs/migrating.md.
"""

from aioproducer.compat.aiokafka.batches import BatchBuilder
from aioproducer.compat.aiokafka.errors import IllegalOperation
from aioproducer.compat.aiokafka.producer import AIOKafkaProducer
from aioproducer.compat.aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

__all__ = [
    "AIOKafkaProducer",
    "BatchBuilder",
    "IllegalOperation",
    "OffsetAndMetadata",
    "RecordMetadata",
    "TopicPartition",
]
