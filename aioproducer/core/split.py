"""Splitting a batch that the broker found too large (KAFKA-8350: progressively smaller)."""

from __future__ import annotations

from collections.abc import Container

from aioproducer.core.batch import NO_STAMP, SEQUENCE_LIMIT, Batch, Sealed, Stamp
from aioproducer.delivery import Fate
from aioproducer.records import Record
from aioproducer.wire.record_batch import DecodedRecord, decode_records


def split_batch(batch: Batch, batch_size: int) -> list[tuple[int, Batch]]:
    """Return the parts of ``batch``, each with the index of its first record.

    A part holds about ``batch_size`` bytes, or half of what was too large already. Parts keep the
    age and the place of their batch, and share out its sequences: there is no gap.
    """
    records = list(decode_records(batch.body, batch.count, batch.base_timestamp))
    target = max(1, min(batch_size, batch.size // 2))
    groups: list[list[DecodedRecord]] = [[]]
    size = 0
    for record in records:
        if groups[-1] and size + record.size > target:
            groups.append([])
            size = 0
        groups[-1].append(record)
        size += record.size
    parts = []
    first = 0
    for number, group in enumerate(groups):
        parts.append((first, _part(batch, number, first, group)))
        first += len(group)
    share, rest = divmod(batch.charged, len(parts))
    for _, part in parts:
        part.charged = share
    parts[0][1].charged += rest
    return parts


def remove_records(
    batch: Batch, removed: Container[int]
) -> tuple[Batch, list[tuple[int, Fate, int]], dict[int, Record[bytes, bytes]]]:
    """Return a batch of the records that are not ``removed``, all fates, and what was removed.

    The new batch has the age, the place and the memory of the old one, and no stamp. The fates are
    as :meth:`Fate.divide` takes them; each removed record has one of its own.
    """
    records = list(decode_records(batch.body, batch.count, batch.base_timestamp))
    kept = [record for index, record in enumerate(records) if index not in removed]
    survivors = _part(batch, 0, 0, kept)
    survivors.stamp = NO_STAMP
    survivors.charged = batch.charged
    survivors.attempts = batch.attempts + 1
    parts: list[tuple[int, Fate, int]] = []
    taken_out: dict[int, Record[bytes, bytes]] = {}
    there = 0
    for index, record in enumerate(records):
        if index in removed:
            taken_out[index] = Record(
                batch.topic,
                record.value,
                record.key,
                batch.partition,
                record.timestamp,
                record.headers,
            )
            alone = Fate(batch.fate.loop, batch.topic, batch.partition, count=1)
            alone.on_late = batch.fate.on_late
            alone.story = batch.fate.story
            parts.append((index, alone, 0))
        else:
            parts.append((index, survivors.fate, there))
            there += 1
    return survivors, parts, taken_out


def _part(batch: Batch, number: int, first: int, records: list[DecodedRecord]) -> Batch:
    fate = Fate(batch.fate.loop, batch.topic, batch.partition, len(records))
    fate.on_late = batch.fate.on_late
    if batch.fate.story is not None:
        fate.story = batch.fate.story.copy()
    part = Batch(
        batch.topic,
        batch.partition,
        fate,
        order=(*batch.order, number),
        created=batch.created,
        opened=batch.opened,
        limit=0,
        base_timestamp=records[0].timestamp,
    )
    for record in records:
        part.append(record.timestamp, record.key, record.value, record.headers)
    part.closed = True
    part.sealed = Sealed.SIZE
    part.attempts = batch.attempts
    part.maybe_written = batch.maybe_written
    if batch.is_stamped:
        sequence = (batch.stamp.base_sequence + first) % SEQUENCE_LIMIT
        part.stamp = Stamp(batch.stamp.producer_id, batch.stamp.epoch, sequence)
    return part
