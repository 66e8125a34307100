"""What was sent with a FakeProducer, what arrived, and what became of its transactions."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from aioproducer.delivery import Delivery, FateState
from aioproducer.errors import ProducerError
from aioproducer.records import Header, Record, RecordMetadata
from aioproducer.story import Waited

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class SentRecord(Generic[K, V]):
    """One call of ``send()``: the record as it was given, after interceptors, and its Delivery.

    ``transaction`` counts the producer's transactions from 1; ``None`` is outside of any.
    """

    record: Record[K, V]
    delivery: Delivery
    transaction: int | None

    @property
    def topic(self) -> str:
        """The record's topic."""
        return self.record.topic

    @property
    def key(self) -> K | None:
        """The key as it was given to ``send()``."""
        return self.record.key

    @property
    def value(self) -> V | None:
        """The value as it was given to ``send()``."""
        return self.record.value

    @property
    def headers(self) -> Sequence[Header]:
        """The headers given to ``send()``; those that a serializer adds are in the log."""
        return self.record.headers

    @property
    def partition(self) -> int | None:
        """The partition that was given or chosen, ``None`` while it is not."""
        return self.delivery.partition

    @property
    def state(self) -> Literal["outstanding", "acknowledged", "failed", "withdrawn"]:
        """What became of it. A cancelled wait alone changes nothing: see ``Delivery.cancel``."""
        fate = self.delivery._fate
        if self.delivery.cancelled() and isinstance(fate.waiting, Waited):
            return "withdrawn"
        if fate.error is not None:
            return "failed"
        return "acknowledged" if fate.state is FateState.DELIVERED else "outstanding"

    @property
    def metadata(self) -> RecordMetadata | None:
        """Where it was put, ``None`` unless it is acknowledged."""
        return self.delivery._make_metadata() if self.state == "acknowledged" else None

    @property
    def error(self) -> ProducerError | None:
        """Why it failed. To ask here does not count as having looked at the Delivery."""
        return self.delivery._fate.error if self.state == "failed" else None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record in the log of a FakeProducer's topic: the bytes that serializers made."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    transaction: int | None


class TransactionEnd(enum.Enum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"
    LOST = "lost"
    """Its producer was fenced or closed: it never becomes visible."""


class TransactionBook:
    """The transactions of one producer, counted from 1."""

    def __init__(self) -> None:
        self._ends: list[TransactionEnd] = []

    @property
    def current(self) -> int | None:
        """The number of the open transaction."""
        is_open = bool(self._ends) and self._ends[-1] is TransactionEnd.OPEN
        return len(self._ends) if is_open else None

    def begin(self) -> None:
        """Open the next one."""
        self._ends.append(TransactionEnd.OPEN)

    def end(self, how: TransactionEnd) -> None:
        """Close the open one, if any."""
        if self.current is not None:
            self._ends[-1] = how

    def count(self, how: TransactionEnd) -> int:
        """Return how many ended so."""
        return self._ends.count(how)

    def is_visible(self, transaction: int | None) -> bool:
        """Return whether those who read committed see what was sent in ``transaction``."""
        return transaction is None or self._ends[transaction - 1] is TransactionEnd.COMMITTED
