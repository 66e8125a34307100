"""A partition's log as a Kafka broker keeps it, deduplicating as Kafka does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
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
UNKNOWN_PRODUCER_ID = 59
INVALID_RECORD = 87
MESSAGE_TOO_LARGE = 10
REMEMBERED_BATCHES = 5
_WRAP = 2**31


class Appended(NamedTuple):
    """What became of an append: an error code, or an offset."""

    code: int
    base_offset: int = -1
    duplicate: bool = False
    stored: StoredBatch | None = None
    record_errors: tuple[tuple[int, str | None], ...] = ()


@dataclass(slots=True)
class StoredBatch:
    base_offset: int
    batch: RecordBatch
    # Told to a producer as appended. With acks=all such a batch is on every replica.
    acknowledged: bool = False
    appended_at: float = 0.0
    # When the bytes that say so had reached the producer's side of the socket.
    told_at: float | None = None
    # It came late, out of a connection that had ended.
    stale: bool = False


@dataclass(slots=True)
class Lapse:
    """A moment in which the broker lost what makes it recognise batches, or batches themselves."""

    at: float
    why: str
    # Whether producers were forgotten; until the next append the broker takes any sequence.
    forgets: bool = False
    lost: list[StoredBatch] = field(default_factory=list)
    over_at: float = float("inf")


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
        # What every append is answered with, without being done; 0 when all is well.
        self.refusal = 0
        # Which records the broker finds invalid (KIP-467).
        self.is_poison: Callable[[bytes | None], bool] | None = None
        # Below 2.5 (KIP-360) only sequence 0 may be the first of an unknown producer.
        self.knows_kip_360 = True
        self.lapses: list[Lapse] = []
        self.seen_in_order: list[tuple[int, int, int]] = []
        self._producers: dict[int, _ProducerState] = {}
        self._ancient: set[bytes | None] = set()

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

    def append(self, data: bytes, *, acknowledge: bool = True, now: float = 0.0) -> Appended:
        """Append a batch as ``UnifiedLog.append`` does."""
        if self.refusal:
            return Appended(self.refusal)
        (batch,) = decode_batches(data)
        if self.is_poison is not None:
            blamed = [i for i, record in enumerate(batch.records) if self.is_poison(record.value)]
            if blamed:
                errors = tuple((index, "this is poison") for index in blamed)
                return Appended(INVALID_RECORD, record_errors=errors)
        if len(data) > self.max_message_bytes:
            return Appended(MESSAGE_TOO_LARGE)
        self.seen_in_order.append((batch.producer_id, batch.producer_epoch, batch.base_sequence))
        if batch.producer_id >= 0:
            if batch.records[0].value in self._ancient:
                return Appended(OUT_OF_ORDER_SEQUENCE)
            known = self._producers.get(batch.producer_id)
            duplicate = _duplicate(known, batch)
            if duplicate is not None:
                duplicate.acknowledged |= acknowledge
                return Appended(0, duplicate.base_offset, True, duplicate)
            code = _check_sequence(known, batch, self.knows_kip_360)
            if code:
                return Appended(code)
        stored = StoredBatch(self.next_offset, batch, acknowledge, now)
        self.stored.append(stored)
        self._remember(stored)
        if self.lapses:
            self.lapses[-1].over_at = min(self.lapses[-1].over_at, now)
        return Appended(0, stored.base_offset, stored=stored)

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

    def takes(self, batch: RecordBatch) -> bool:
        """Return whether ``batch`` is the next one of its producer."""
        known = self._producers.get(batch.producer_id)
        return _check_sequence(known, batch, self.knows_kip_360) == 0

    def has_open_transaction(self, producer_id: int) -> bool:
        for stored in reversed(self.stored):
            if stored.batch.producer_id == producer_id:
                return stored.batch.is_transactional and not stored.batch.is_control
        return False

    def truncate_unacknowledged(self, now: float = 0.0) -> int:
        """Lose what no producer was told of, as a new leader that had not replicated it yet."""
        kept = len(self.stored)
        while kept and not self.stored[kept - 1].acknowledged:
            kept -= 1
        lost = self._truncate(kept)
        if lost:
            self.lapses.append(Lapse(now, "not replicated", lost=lost))
        return len(lost)

    def lose_end(self, batches: int, now: float = 0.0) -> int:
        """Lose batches whether acknowledged or not, as an unclean election does."""
        lost = self._truncate(max(0, len(self.stored) - batches))
        if lost:
            self.lapses.append(Lapse(now, "unclean election", forgets=True, lost=lost))
        return len(lost)

    def _truncate(self, kept: int) -> list[StoredBatch]:
        lost = self.stored[kept:]
        if lost:
            del self.stored[kept:]
            self._producers.clear()
            for stored in self.stored:
                self._remember(stored)
        return lost

    def forget_producers(self, now: float = 0.0, why: str = "expired") -> None:
        """Lose what is known of producers, as after producer.id.expiration.ms."""
        self._producers.clear()
        self.lapses.append(Lapse(now, why, forgets=True))

    def jump(self, producer_id: int, epoch: int, sequence: int) -> bool:
        """Have the producer's last sequence be ``sequence``, as after many more records."""
        state = self._producers.get(producer_id)
        if state is None or state.epoch != epoch or state.last_sequence < 0:
            return False
        state.last_sequence = sequence
        # What is here already is two thousand million records back. A copy of it that comes late
        # from a connection long lost would not be taken for a new batch, had they been written.
        state.batches.clear()
        self._ancient.update(stored.batch.records[0].value for stored in self.stored)
        return True

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


def _check_sequence(known: _ProducerState | None, batch: RecordBatch, kip_360: bool) -> int:
    if known is None:
        # A broker that does not know the producer takes any sequence.
        return 0 if kip_360 or not batch.base_sequence else UNKNOWN_PRODUCER_ID
    if batch.producer_epoch < known.epoch:
        return INVALID_PRODUCER_EPOCH
    if batch.producer_epoch > known.epoch:
        return OUT_OF_ORDER_SEQUENCE if batch.base_sequence else 0
    expected = (known.last_sequence + 1) % _WRAP
    return 0 if batch.base_sequence == expected else OUT_OF_ORDER_SEQUENCE
