"""A partition's log as a Kafka broker keeps it, deduplicating as Kafka does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from aioproducer.wire.record_batch import (
    CONTROL,
    TRANSACTIONAL,
    DecodedRecord,
    RecordBatch,
    decode_batches,
)

OUT_OF_ORDER_SEQUENCE = 45
INVALID_PRODUCER_EPOCH = 47
MESSAGE_TOO_LARGE = 10
REMEMBERED_BATCHES = 5
_WRAP = 2**31


class Appended(NamedTuple):
    """What became of an append: an error code, or an offset."""

    code: int
    base_offset: int = -1
    duplicate: bool = False


@dataclass(slots=True)
class StoredBatch:
    base_offset: int
    batch: RecordBatch
    # Told to a producer as appended. With acks=all such a batch is on every replica.
    acknowledged: bool = False


@dataclass(slots=True)
class _ProducerState:
    epoch: int
    last_sequence: int
    batches: deque[StoredBatch] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BATCHES))


@dataclass(slots=True)
class Verb:
    """What a test wants to happen to one batch instead of a plain append."""

    code: int = 0
    # Whether the batch is appended before the error is answered.
    append: bool = False
    record_errors: list[tuple[int, str | None]] = field(default_factory=list)
    message: str | None = None
    # Whether the answer names the present leader (KIP-951).
    hint: bool = False
    leader: tuple[int, int] | None = None


class FakePartition:
    """One partition: its leader, its log, and what it knows of producers."""

    def __init__(self, index: int, leader: int) -> None:
        self.index = index
        self.leader = leader
        self.epoch = 0
        # What brokers that are behind still answer.
        self.stale: tuple[int, int] | None = None
        self.error_code = 0
        self.stored: list[StoredBatch] = []
        self.script: deque[Verb] = deque()
        self.max_message_bytes = 1_000_000
        self.seen_in_order: list[tuple[int, int, int]] = []
        self._producers: dict[int, _ProducerState] = {}

    @property
    def records(self) -> list[DecodedRecord]:
        return [
            record
            for stored in self.stored
            if not stored.batch.is_control
            for record in stored.batch.records
        ]

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    @property
    def next_offset(self) -> int:
        if not self.stored:
            return 0
        last = self.stored[-1]
        return last.base_offset + len(last.batch.records)

    def append(self, data: bytes, *, acknowledge: bool = True) -> Appended:
        """Append a batch as ``UnifiedLog.append`` does."""
        if len(data) > self.max_message_bytes:
            return Appended(MESSAGE_TOO_LARGE)
        (batch,) = decode_batches(data)
        self.seen_in_order.append((batch.producer_id, batch.producer_epoch, batch.base_sequence))
        if batch.producer_id >= 0:
            known = self._producers.get(batch.producer_id)
            duplicate = _duplicate(known, batch)
            if duplicate is not None:
                duplicate.acknowledged |= acknowledge
                return Appended(0, duplicate.base_offset, True)
            code = _check_sequence(known, batch)
            if code:
                return Appended(code)
        stored = StoredBatch(self.next_offset, batch, acknowledge)
        self.stored.append(stored)
        self._remember(stored)
        return Appended(0, stored.base_offset)

    def append_marker(self, producer_id: int, epoch: int, *, commit: bool) -> None:
        """End the producer's transaction here; every replica has it, and all that precedes it."""
        key = b"\0\0\0\1" if commit else b"\0\0\0\0"
        value = b"\0\0" + bytes(4)
        record = DecodedRecord(0, 0, key, value, (), 7 + len(key) + len(value))
        batch = RecordBatch(
            0, 0, TRANSACTIONAL | CONTROL, 0, 0, 0, producer_id, epoch, -1, (record,)
        )
        stored = StoredBatch(self.next_offset, batch, True)
        self.stored.append(stored)
        self._remember(stored)

    def known_epoch(self, producer_id: int) -> int | None:
        """Return the epoch of a producer that the log still remembers."""
        state = self._producers.get(producer_id)
        return None if state is None else state.epoch

    def holds(self, batch: RecordBatch) -> bool:
        """Return whether the log would recognise ``batch`` as one it has."""
        return _duplicate(self._producers.get(batch.producer_id), batch) is not None

    def has_open_transaction(self, producer_id: int) -> bool:
        for stored in reversed(self.stored):
            if stored.batch.producer_id == producer_id:
                return stored.batch.is_transactional and not stored.batch.is_control
        return False

    def truncate_unacknowledged(self) -> int:
        """Lose what no producer was told of, as a new leader that had not replicated it yet."""
        kept = len(self.stored)
        while kept and not self.stored[kept - 1].acknowledged:
            kept -= 1
        lost = len(self.stored) - kept
        if lost:
            del self.stored[kept:]
            self.forget_producers()
            for stored in self.stored:
                self._remember(stored)
        return lost

    def forget_producers(self) -> None:
        """Lose what is known of producers, as after producer.id.expiration.ms."""
        self._producers.clear()

    def _remember(self, stored: StoredBatch) -> None:
        batch = stored.batch
        if batch.producer_id < 0:
            return
        state = self._producers.get(batch.producer_id)
        if state is None or state.epoch != batch.producer_epoch:
            state = _ProducerState(batch.producer_epoch, -1)
            self._producers[batch.producer_id] = state
        if batch.is_control:
            # A marker has no sequence; one of a higher epoch starts the sequences anew.
            return
        state.last_sequence = (batch.base_sequence + len(batch.records) - 1) % _WRAP
        state.batches.append(stored)


def _duplicate(known: _ProducerState | None, batch: RecordBatch) -> StoredBatch | None:
    if known is None or known.epoch != batch.producer_epoch:
        return None
    for stored in known.batches:
        if stored.batch.base_sequence == batch.base_sequence and len(stored.batch.records) == len(
            batch.records
        ):
            return stored
    return None


def _check_sequence(known: _ProducerState | None, batch: RecordBatch) -> int:
    if known is None:
        # A broker that does not know the producer takes any sequence.
        return 0
    if batch.producer_epoch < known.epoch:
        return INVALID_PRODUCER_EPOCH
    if batch.producer_epoch > known.epoch:
        return OUT_OF_ORDER_SEQUENCE if batch.base_sequence else 0
    expected = (known.last_sequence + 1) % _WRAP
    return 0 if batch.base_sequence == expected else OUT_OF_ORDER_SEQUENCE
