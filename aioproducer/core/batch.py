"""A batch of records for one partition, from its first record to its fate."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from aioproducer.delivery import Fate
from aioproducer.errors import ProducerError
from aioproducer.wire.primitives import Buffer
from aioproducer.wire.record_batch import HEADER_SIZE, batch_header
from aioproducer.wire.record_encoder import NO_HEADERS, append_parts, encode_tail

_RATIO_SAFETY = 1.05
NO_PRODUCER_ID = -1
NO_SEQUENCE = -1
SEQUENCE_LIMIT = 2**31


class Sealed(enum.Enum):
    """Why a batch stopped to linger."""

    SIZE = "size"
    LINGER = "linger"
    FLUSH = "flush"
    EXPEDITE = "expedite"
    MEMORY = "memory"
    IDLE = "idle"


class Stamp(NamedTuple):
    """What makes a batch unique to the broker: producer id, epoch and first sequence (KIP-98)."""

    producer_id: int = NO_PRODUCER_ID
    epoch: int = -1
    base_sequence: int = NO_SEQUENCE


NO_STAMP = Stamp()


class Clock(Protocol):
    """What counts a batch's time."""

    def stop(self, batch: Batch) -> None:
        """Count no more."""


class Batch:
    """Records under one header. Pure bookkeeping: it knows no clock and resolves nothing itself.

    While ``closed`` is false records may be appended; from then on the body is never changed.
    """

    __slots__ = (
        "_body",
        "_parts",
        "attempts",
        "base_timestamp",
        "cannot_follow",
        "charged",
        "clock",
        "closed",
        "codec_id",
        "count",
        "created",
        "expired",
        "fate",
        "growth",
        "last_error",
        "limit",
        "max_timestamp",
        "maybe_written",
        "opened",
        "order",
        "partition",
        "payload",
        "preparing",
        "retry_at",
        "sealed",
        "size",
        "stamp",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        fate: Fate,
        *,
        order: tuple[int, ...],
        created: float,
        opened: float,
        limit: int,
        ratio: float = 1.0,
        base_timestamp: int,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.fate = fate
        self.order = order
        # The send() of its oldest record; delivery.timeout.ms counts from here.
        self.created = created
        # linger.ms counts from here: later than created if its first record had to wait.
        self.opened = opened
        self.limit = max(limit - HEADER_SIZE, 0)
        self.growth = ratio * _RATIO_SAFETY if ratio != 1.0 else 1.0
        self.base_timestamp = base_timestamp
        self.max_timestamp = base_timestamp
        # The records so far, each with its length in front; joined when somebody asks for them.
        # A buffer that grows with each record would be copied again and again.
        self._parts: list[bytes] = []
        self._body = b""
        # The length of all of them.
        self.size = 0
        self.count = 0
        self.charged = 0
        self.sealed: Sealed | None = None
        self.closed = False
        self.payload: bytes | None = None
        self.preparing = False
        self.codec_id = 0
        self.attempts = 0
        self.retry_at = 0.0
        self.stamp = NO_STAMP
        # True once an attempt went unanswered: the broker may or may not have appended it.
        self.maybe_written = False
        # True once a batch before it was refused for good: under its present stamp it cannot have
        # been appended, answered or not.
        self.cannot_follow = False
        # True once its fate was settled by the clock while it was on the wire.
        self.expired = False
        self.last_error: ProducerError | None = None
        # That of delivery.timeout.ms; the runtime sets it.
        self.clock: Clock | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it has stopped to linger."""
        return self.sealed is not None

    @property
    def is_stamped(self) -> bool:
        """Whether it has a sequence."""
        return self.stamp.base_sequence != NO_SEQUENCE

    @property
    def is_in_doubt(self) -> bool:
        """Whether an earlier attempt may be in the log, or the clock has settled its fate."""
        return self.maybe_written or self.expired

    @property
    def next_sequence(self) -> int:
        """The sequence after its last record; it wraps from 2^31-1 to 0."""
        return (self.stamp.base_sequence + self.count) % SEQUENCE_LIMIT

    @property
    def wire_size(self) -> int:
        """Bytes on the wire, header included; known once prepared."""
        assert self.payload is not None
        return HEADER_SIZE + len(self.payload)

    def has_room(self, size: int) -> bool:
        """Return whether a record of at most ``size`` encoded bytes still fits; the first does."""
        return self.count == 0 or (not self.closed and self.size * self.growth + size <= self.limit)

    @property
    def body(self) -> bytes:
        """The records, one after the other, as they are before compression."""
        if self._parts:
            if self._body:
                self._parts.insert(0, self._body)
            self._body = b"".join(self._parts)
            self._parts = []
        return self._body

    def append(
        self,
        timestamp_ms: int,
        key: Buffer | None,
        value: Buffer | None,
        headers: Sequence[tuple[str, Buffer | None]],
    ) -> int:
        """Append a record and return its index. When this raises nothing has changed."""
        index = self.count
        self.size += append_parts(
            self._parts,
            timestamp_ms - self.base_timestamp,
            index,
            key,
            value if value is None or type(value) is bytes else bytes(value),
            encode_tail(headers) if headers else NO_HEADERS,
        )
        self.count = index + 1
        if timestamp_ms > self.max_timestamp:
            self.max_timestamp = timestamp_ms
        return index

    def unstamp(self) -> None:
        """Forget the stamp, to be stamped anew."""
        self.stamp = NO_STAMP
        self.cannot_follow = False

    def header(self, transactional: bool = False) -> bytes:
        """Return the 61 header bytes for the present stamp."""
        assert self.payload is not None
        producer_id, epoch, base_sequence = self.stamp
        return batch_header(
            self.payload,
            self.codec_id,
            self.count,
            self.base_timestamp,
            self.max_timestamp,
            producer_id,
            epoch,
            base_sequence,
            transactional,
        )

    def __repr__(self) -> str:
        return (
            f"<Batch {self.topic}-{self.partition} {self.order} {self.count} records"
            f" {self.stamp if self.is_stamped else 'unstamped'} attempts={self.attempts}>"
        )
