"""Clusters for tests: `EmbeddedCluster` needs a pip install only, the others are real Kafka."""

from __future__ import annotations

from aioproducer.testing.cluster import (
    ClusterStartError,
    KafkaCluster,
    KafkaUnavailableError,
    NodeControl,
)
from aioproducer.testing.docker import DockerCluster, DockerListener
from aioproducer.testing.embedded import EmbeddedCluster
from aioproducer.testing.fake import FakeProducer, SentRecord, StoredRecord
from aioproducer.testing.kraft import KraftCluster
from aioproducer.testing.proxy import Fault, FaultProxy

__all__ = [
    "ClusterStartError",
    "DockerCluster",
    "DockerListener",
    "EmbeddedCluster",
    "FakeProducer",
    "Fault",
    "FaultProxy",
    "KafkaCluster",
    "KafkaUnavailableError",
    "KraftCluster",
    "NodeControl",
    "SentRecord",
    "StoredRecord",
]
