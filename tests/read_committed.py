"""A partition as a consumer with isolation.level=read_committed sees it."""

from __future__ import annotations

from typing import NamedTuple

from aioproducer.wire.record_batch import DecodedRecord
from tests.fake_log import FakePartition, StoredBatch


class CommittedView(NamedTuple):
    """What may be read, and up to where."""

    records: list[tuple[int, DecodedRecord]]
    """Offset and record, of committed transactions and of batches outside of any."""
    last_stable_offset: int
    aborted: list[tuple[int, int]]
    """Producer id and first offset of each aborted transaction."""

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for _, record in self.records]


def read_committed(partition: FakePartition) -> CommittedView:
    """Return what is visible below the first transaction that is still open."""
    visible: list[StoredBatch] = []
    aborted: list[tuple[int, int]] = []
    open_: dict[int, list[StoredBatch]] = {}
    for stored in partition.stored:
        batch = stored.batch
        if batch.is_control:
            of_it = open_.pop(batch.producer_id, [])
            if is_commit(stored):
                visible += of_it
            elif of_it:
                aborted.append((batch.producer_id, of_it[0].base_offset))
        elif batch.is_transactional:
            open_.setdefault(batch.producer_id, []).append(stored)
        else:
            visible.append(stored)
    first_open = [batches[0].base_offset for batches in open_.values()]
    stable = min(first_open, default=partition.next_offset)
    visible.sort(key=lambda stored: stored.base_offset)
    records = [
        (stored.base_offset + index, record)
        for stored in visible
        for index, record in enumerate(stored.batch.records)
        if stored.base_offset < stable
    ]
    return CommittedView(records, stable, aborted)


def is_commit(stored: StoredBatch) -> bool:
    """Return whether a marker says commit: the second half of its key."""
    return stored.batch.records[0].key == b"\0\0\0\1"
