"""A consumer group as its coordinator keeps it: members, offsets, those of open transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aioproducer.wire.messages import TxnOffsetCommitRequest

LOADING = 14
NOT_COORDINATOR = 16
ILLEGAL_GENERATION = 22
UNKNOWN_MEMBER_ID = 25
INVALID_PRODUCER_EPOCH = 47
FENCED_INSTANCE_ID = 82

Offsets = dict[tuple[str, int], int]


@dataclass(slots=True)
class FakeGroup:
    """One group. ``members`` are its member ids, each with its group.instance.id."""

    group_id: str
    node: int
    generation: int = 0
    members: dict[str, str | None] = field(default_factory=dict)
    committed: Offsets = field(default_factory=dict)
    pending: dict[int, Offsets] = field(default_factory=dict)
    # The offsets of each committed transaction, in order.
    history: list[Offsets] = field(default_factory=list)
    loading_until: float = 0.0
    _epochs: dict[int, int] = field(default_factory=dict)

    def rebalance(self, members: Mapping[str, str | None]) -> None:
        """Begin the next generation, with these members alone."""
        self.generation += 1
        self.members = dict(members)

    def whose(self, node: int, now: float) -> int:
        if node != self.node:
            return NOT_COORDINATOR
        return LOADING if now < self.loading_until else 0

    def check_member(self, body: TxnOffsetCommitRequest) -> int:
        """Judge who commits; a producer that does not say it is believed (KIP-447)."""
        if body.generation_id < 0 and not body.member_id and body.group_instance_id is None:
            return 0
        if body.group_instance_id is not None:
            named = [
                m for m, instance in self.members.items() if instance == body.group_instance_id
            ]
            if named and body.member_id not in named:
                return FENCED_INSTANCE_ID
        if body.member_id not in self.members:
            return UNKNOWN_MEMBER_ID
        return 0 if body.generation_id == self.generation else ILLEGAL_GENERATION

    def check_epoch(self, producer_id: int, epoch: int) -> int:
        return INVALID_PRODUCER_EPOCH if epoch < self._epochs.get(producer_id, -1) else 0

    def hold(self, body: TxnOffsetCommitRequest) -> None:
        """Keep offsets until the transaction they belong to is over."""
        self._epochs[body.producer_id] = body.producer_epoch
        pending = self.pending.setdefault(body.producer_id, {})
        for topic in body.topics:
            for row in topic.partitions:
                pending[topic.name, row.partition_index] = row.committed_offset

    def end(self, producer_id: int, epoch: int, *, commit: bool) -> None:
        """Write the marker of a transaction."""
        self._epochs[producer_id] = epoch
        pending = self.pending.pop(producer_id, {})
        if commit and pending:
            self.committed |= pending
            self.history.append(pending)
