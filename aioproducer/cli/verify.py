"""Whether what lies in Kafka is what was sent. Pure: lists in, findings out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from aioproducer.records import Header
from aioproducer.testing.judge import ReadRecord

SAMPLES = 3


class SentRecord(NamedTuple):
    """A record as it was sent, and where its acknowledgement says it is: partition and offset."""

    key: bytes
    value: bytes
    headers: tuple[Header, ...]
    place: tuple[int, int]


class Difference(Enum):
    """What can be wrong; the value says it to people."""

    LOST = "acknowledged, but not in Kafka"
    DUPLICATED = "in Kafka more than once"
    CORRUPTED = "changed on the way"
    FOREIGN = "in Kafka, but never sent"
    REORDERED = "after a later record of the same key"
    MOVED = "not in the partition of its key"
    MISPLACED = "not at the offset its acknowledgement names"


@dataclass(slots=True)
class Findings:
    """What a topic was checked for, and each kind of difference with its count and samples."""

    topic: str
    sent: int = 0
    read: int = 0
    keys: int = 0
    counts: dict[Difference, int] = field(default_factory=dict)
    samples: dict[Difference, list[str]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs."""
        return not self.counts

    def add(self, difference: Difference, sample: str) -> None:
        """Count one difference; the first few are kept in words."""
        self.counts[difference] = self.counts.get(difference, 0) + 1
        samples = self.samples.setdefault(difference, [])
        if len(samples) < SAMPLES:
            samples.append(sample)


class _Content(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


def verify(
    topic: str,
    sent: Sequence[SentRecord],
    read: Sequence[ReadRecord],
    partition_of_key: Callable[[bytes], int],
) -> Findings:
    """Compare what was sent with what was read.

    Args:
        sent: in the order of sending; no two of the same content.
        read: by partition and offset, as the judge returns it.
        partition_of_key: where a key belongs.
    """
    findings = Findings(topic, len(sent), len(read), len({record.key for record in sent}))
    numbers = {_sent_content(record): number for number, record in enumerate(sent)}
    if len(numbers) != len(sent):
        raise ValueError(f"{topic}: records of the same content cannot be told apart")
    damaged = _check_sent(findings, sent, read, numbers)
    _check_read(findings, read, numbers, damaged)
    _check_order(findings, read, numbers)
    _check_partitions(findings, read, numbers, partition_of_key)
    return findings


def _check_sent(
    findings: Findings,
    sent: Sequence[SentRecord],
    read: Iterable[ReadRecord],
    numbers: dict[_Content, int],
) -> set[tuple[int, int]]:
    """Look for each sent record; return the places where a damaged one lies."""
    at_place = {(record.partition, record.offset): _read_content(record) for record in read}
    places: defaultdict[_Content, list[tuple[int, int]]] = defaultdict(list)
    for place, content in at_place.items():
        places[content].append(place)
    damaged: set[tuple[int, int]] = set()
    for record in sent:
        found = places.get(_sent_content(record), [])
        if len(found) > 1:
            findings.add(Difference.DUPLICATED, f"{_show(record)} at {_list(found)}")
        if found:
            if record.place not in found:
                sample = f"{_show(record)} at {_list(found)}, not at {_list([record.place])}"
                findings.add(Difference.MISPLACED, sample)
            continue
        instead = at_place.get(record.place)
        if instead is None or instead in numbers:
            findings.add(Difference.LOST, f"{_show(record)} from {_list([record.place])}")
        else:
            damaged.add(record.place)
            findings.add(Difference.CORRUPTED, f"{_show(record)} became {_show(instead)}")
    return damaged


def _check_read(
    findings: Findings,
    read: Iterable[ReadRecord],
    numbers: dict[_Content, int],
    damaged: set[tuple[int, int]],
) -> None:
    for record in read:
        place = (record.partition, record.offset)
        if _read_content(record) not in numbers and place not in damaged:
            findings.add(Difference.FOREIGN, f"{_show(record)} at {_list([place])}")


def _check_order(
    findings: Findings, read: Iterable[ReadRecord], numbers: dict[_Content, int]
) -> None:
    latest: dict[tuple[bytes | None, int], int] = {}
    seen: set[int] = set()
    for record in read:
        number = numbers.get(_read_content(record))
        # A second copy is a duplicate, whatever stands between it and the first.
        if number is None or number in seen:
            continue
        seen.add(number)
        lane = (record.key, record.partition)
        if number < latest.get(lane, -1):
            place = _list([(record.partition, record.offset)])
            findings.add(Difference.REORDERED, f"{_show(record)} at {place}")
        else:
            latest[lane] = number


def _check_partitions(
    findings: Findings,
    read: Iterable[ReadRecord],
    numbers: dict[_Content, int],
    partition_of_key: Callable[[bytes], int],
) -> None:
    expected: dict[bytes, int] = {}
    for record in read:
        key = record.key
        if key is None or _read_content(record) not in numbers:
            continue
        if key not in expected:
            expected[key] = partition_of_key(key)
        if record.partition != expected[key]:
            sample = f"{_show(record)} in partition {record.partition}, not {expected[key]}"
            findings.add(Difference.MOVED, sample)


def _sent_content(record: SentRecord) -> _Content:
    return _Content(record.key, record.value, record.headers)


def _read_content(record: ReadRecord) -> _Content:
    return _Content(record.key, record.value, record.headers)


def _show(record: SentRecord | ReadRecord | _Content) -> str:
    key = "no key" if record.key is None else record.key.decode(errors="replace")
    value = "null" if record.value is None else record.value.decode(errors="replace")
    return f"{key} {value[:60]}{'...' if len(value) > 60 else ''}"


def _list(places: Iterable[tuple[int, int]]) -> str:
    return " and ".join(f"partition {partition} offset {offset}" for partition, offset in places)
