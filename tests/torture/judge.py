"""Whether the log agrees with what the producer said, record by record. Lists in, findings out.

An acknowledged record is there exactly once, where its acknowledgement says. One that failed with
``persisted="no"`` is not there. A "maybe" is there at most once. Whatever is there lies in the
order in which its lane sent it.

The exception, which no client can help: what was acknowledged under a topic id that was deleted
afterwards. Such a record may be missing; it is excused and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aioproducer.testing.judge import DumpedBatch, ReadRecord
from tests.torture.journal import Journal, Outcome
from tests.torture.recipe import Recipe, identity_of

SAMPLES = 5


class Wrong(Enum):
    """What can be wrong; the value says it to people."""

    LOST = "lost: acknowledged, but not there"
    DUPLICATED = "duplicated: there more than once"
    REORDERED = "reordered: after a later record of its producer"
    RETURNED = "there, although it failed as not persisted"
    CHANGED = "changed, or never sent"
    MISPLACED = "not where its acknowledgement says"
    UNRESOLVED = "never settled"
    SEQUENCE = "sequences with a gap, in Kafka's own dump"
    COUNT = "the consumer and the dump count differently"


@dataclass(slots=True)
class Verdict:
    """Each kind of wrong with its count and the first samples in words."""

    counts: Counter[Wrong] = field(default_factory=Counter)
    samples: dict[Wrong, list[str]] = field(default_factory=dict)
    read: int = 0
    maybe_there: int = 0
    excused: int = 0
    batches: int = 0
    epochs: int = 0

    @property
    def is_clean(self) -> bool:
        return not self.counts

    def add(self, wrong: Wrong, sample: str) -> None:
        self.counts[wrong] += 1
        samples = self.samples.setdefault(wrong, [])
        if len(samples) < SAMPLES:
            samples.append(sample)


class Judge:
    """Takes what was read topic by topic, then what was dumped, and ends in a verdict.

    Args:
        excused_below: by lane, the number below which records of the topic that was made again may
            have gone with an earlier one.
    """

    def __init__(
        self, recipe: Recipe, journals: Sequence[Journal], excused_below: Sequence[int]
    ) -> None:
        self._recipe = recipe
        self._journals = journals
        self._excused_below = excused_below
        self._seen = [bytearray(len(journal)) for journal in journals]
        self.verdict = Verdict()

    def read(self, topic: str, records: Iterable[ReadRecord]) -> None:
        """Judge what a consumer read; ``records`` by partition and offset."""
        latest: dict[tuple[int, int], int] = {}
        for record in records:
            self.verdict.read += 1
            place = f"{topic}-{record.partition}@{record.offset}"
            identity = identity_of(record.value)
            if identity is None or not self._is_as_sent(topic, record):
                self.verdict.add(Wrong.CHANGED, f"{place}: {(record.value or b'')[:40]!r}")
                continue
            lane, number = identity
            words = f"{place}: record {number} of lane {lane}"
            if self._seen[lane][number]:
                self.verdict.add(Wrong.DUPLICATED, words)
                continue
            self._seen[lane][number] = 1
            before = latest.get((lane, record.partition), -1)
            if number < before:
                self.verdict.add(Wrong.REORDERED, f"{words}, after {before}")
            else:
                latest[lane, record.partition] = number
            self._compare_outcome(lane, number, record, words)

    def finish(self) -> Verdict:
        """Look for every record that should have been read."""
        for lane, journal in enumerate(self._journals):
            seen = self._seen[lane]
            for number, outcome in enumerate(journal.outcomes):
                if outcome == Outcome.OPEN:
                    self.verdict.add(Wrong.UNRESOLVED, f"record {number} of lane {lane}")
                elif outcome in (Outcome.ACKNOWLEDGED, Outcome.PERSISTED) and not seen[number]:
                    self._miss(lane, number, journal)
        return self.verdict

    def dumped(self, topic: str, partition: int, batches: Sequence[DumpedBatch]) -> None:
        """Judge the sequences on disk: from 0 under each identity, no gap, epochs only rising.

        In the topic that was made again an identity may begin anywhere: Kafka forgot its state.
        """
        expected: dict[tuple[int, int], int] = {}
        last_epoch: dict[int, int] = {}
        for batch in batches:
            self.verdict.batches += 1
            identity = (batch.producer_id, batch.producer_epoch)
            first = batch.base_sequence if topic == self._recipe.remade else 0
            fits = (
                batch.is_valid
                and batch.producer_id >= 0
                and batch.base_sequence == expected.get(identity, first)
                and batch.last_sequence == batch.base_sequence + batch.count - 1
                and batch.producer_epoch >= last_epoch.get(batch.producer_id, 0)
            )
            if not fits:
                wanted = expected.get(identity, first)
                self.verdict.add(Wrong.SEQUENCE, f"{topic}-{partition}, not {wanted}: {batch}")
            expected[identity] = batch.last_sequence + 1
            last_epoch[batch.producer_id] = batch.producer_epoch
        self.verdict.epochs += len(expected)

    def count(self, topic: str, read: int, dumped: int) -> None:
        """Hold the two witnesses against each other."""
        if read != dumped:
            self.verdict.add(Wrong.COUNT, f"{topic}: {read} records read, {dumped} dumped")

    def _is_as_sent(self, topic: str, record: ReadRecord) -> bool:
        identity = identity_of(record.value)
        if identity is None or not 0 <= identity.lane < len(self._journals):
            return False
        if not 0 <= identity.number < len(self._journals[identity.lane]):
            return False
        return self._recipe.record(*identity) == (topic, record.key, record.value)

    def _compare_outcome(self, lane: int, number: int, record: ReadRecord, words: str) -> None:
        journal = self._journals[lane]
        outcome = journal.outcomes[number]
        if outcome == Outcome.NOT_PERSISTED:
            self.verdict.add(Wrong.RETURNED, words)
        elif outcome == Outcome.MAYBE:
            self.verdict.maybe_there += 1
        elif outcome == Outcome.ACKNOWLEDGED:
            told = journal.partitions[number], journal.offsets[number]
            # -1: an earlier attempt had delivered it, and the broker no longer knew where.
            if told not in ((record.partition, record.offset), (record.partition, -1)):
                self.verdict.add(Wrong.MISPLACED, f"{words}, told {told}")

    def _miss(self, lane: int, number: int, journal: Journal) -> None:
        topic = self._recipe.topic(lane, number)
        if topic == self._recipe.remade and number < self._excused_below[lane]:
            self.verdict.excused += 1
        else:
            told = f"{topic}-{journal.partitions[number]}@{journal.offsets[number]}"
            self.verdict.add(Wrong.LOST, f"record {number} of lane {lane}, acknowledged at {told}")
