"""Producer id, epoch and the sequence of each partition (KIP-98, KIP-360)."""

from __future__ import annotations

from typing import NamedTuple

from aioproducer import inlined
from aioproducer.core.batch import SEQUENCE_LIMIT, Batch, Stamp

MAX_EPOCH = 2**15 - 1


class ProducerIdentity(NamedTuple):
    """What InitProducerId answers, the epoch raised by our own bumps."""

    producer_id: int
    epoch: int

    def bumped(self) -> ProducerIdentity | None:
        """Return the identity of the next epoch, ``None`` when a new producer id is needed."""
        if self.epoch >= MAX_EPOCH:
            return None
        return ProducerIdentity(self.producer_id, self.epoch + 1)


class SequenceState:
    """The sequences of one partition under one identity.

    ``broken`` says that a gap or a doubt makes this identity useless for the partition: once
    nothing is on the wire, what was surely not written is stamped anew from sequence 0 of a
    higher epoch.
    """

    __slots__ = ("broken", "identity", "last_acked_sequence", "next_sequence", "starts_at_zero")

    def __init__(self) -> None:
        self.identity: ProducerIdentity | None = None
        self.next_sequence = 0
        self.last_acked_sequence = -1
        self.broken = False
        # Whether a broker that knows nothing of the identity refuses any other first sequence than
        # 0: with transactions of KIP-890 it does.
        self.starts_at_zero = False

    def stamp(self, batch: Batch) -> None:
        """Give ``batch`` the next sequences."""
        assert self.identity is not None and not batch.is_stamped
        producer_id, epoch = self.identity
        batch.stamp = inlined.row(Stamp, (producer_id, epoch, self.next_sequence))
        self.next_sequence = batch.next_sequence

    def acknowledged(self, batch: Batch) -> None:
        """Note that the broker has ``batch``; acknowledgements never move backwards."""
        if batch.stamp[:2] == self.identity:
            last = (batch.next_sequence - 1) % SEQUENCE_LIMIT
            if self.last_acked_sequence < 0 or _is_after(last, self.last_acked_sequence):
                self.last_acked_sequence = last

    def is_next_expected(self, batch: Batch) -> bool:
        """Return whether the broker, having all that it acknowledged, must accept ``batch``."""
        return batch.stamp.base_sequence == (self.last_acked_sequence + 1) % SEQUENCE_LIMIT

    def restart(self, identity: ProducerIdentity) -> None:
        """Begin anew at sequence 0 under ``identity``."""
        self.identity = identity
        self.next_sequence = 0
        self.last_acked_sequence = -1
        self.broken = False

    def forget(self, *, starts_at_zero: bool) -> None:
        """Take the next identity there is; nothing may be on the wire or waiting."""
        self.identity = None
        self.next_sequence = 0
        self.last_acked_sequence = -1
        self.broken = False
        self.starts_at_zero = starts_at_zero


def _is_after(sequence: int, other: int) -> bool:
    """Compare modulo 2^31, so that 0 comes after 2^31-1."""
    return 0 < (sequence - other) % SEQUENCE_LIMIT < SEQUENCE_LIMIT // 2
