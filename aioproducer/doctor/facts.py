"""What the doctor knows: the configuration, what the user expects, what the cluster answered."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from aioproducer.config import ProducerConfig
from aioproducer.wire.messages.metadata import NOT_ASKED, TopicMetadata

_WRITE = 4
"""AclOperation.WRITE, the bit in a topic's authorized operations."""


class Need(enum.Enum):
    """What a finding is drawn from."""

    CONFIGURATION = "the configuration"
    TOPICS = "the topics"
    TOPIC_SETTINGS = "the settings of the topics"
    BROKER_SETTINGS = "the settings of the brokers"
    TRANSACTION = "the state of the transactional id"
    RATE = "the stated rate"
    KEYS = "the metrics of a running producer"


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic: its metadata, and its settings where they may be read."""

    metadata: TopicMetadata
    settings: Mapping[str, str | None] | None = None

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def may_write(self) -> bool | None:
        """Whether this client may produce to it; ``None`` where the broker does not say."""
        operations = self.metadata.authorized_operations
        return None if operations == NOT_ASKED else bool(operations >> _WRITE & 1)

    @property
    def replication(self) -> int:
        """The replication factor of the partition that has the fewest replicas."""
        return min((len(each.replica_nodes) for each in self.metadata.partitions), default=0)

    def number(self, key: str) -> int | None:
        """Return a setting as a number; ``None`` if it is not known."""
        return number_in(self.settings, key)


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """What the coordinator has of the transactional id."""

    state: str
    open_for_s: float | None = None
    """Since when a transaction is open; ``None`` if none is."""
    wrote_s_ago: float | None = None
    """When its producer wrote to one of the topics the last time, as far as they remember."""
    where: str = ""
    refused: bool = False
    """Whether this client may not use the id at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All that the rules look at; what could not be learned is ``None`` or empty."""

    config: ProducerConfig
    topics_named: tuple[str, ...] = ()
    bytes_per_second: float | None = None
    records_per_partition: Mapping[str, Mapping[int, int]] | None = None
    """What a running producer has sent lately, by topic and partition."""
    brokers: int = 0
    topics: tuple[TopicFacts, ...] = ()
    broker_settings: Mapping[str, str | None] | None = None
    transaction: TransactionFacts | None = None

    def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if that is not known."""
        return next((len(t.metadata.partitions) for t in self.topics if t.name == topic), 0)

    def broker_number(self, key: str) -> int | None:
        """Return a setting of the brokers as a number; ``None`` if it is not known."""
        return number_in(self.broker_settings, key)


def number_in(settings: Mapping[str, str | None] | None, key: str) -> int | None:
    """Return a number out of settings as brokers write them."""
    text = (settings or {}).get(key)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
