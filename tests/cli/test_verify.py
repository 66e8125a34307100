"""The comparison finds what went wrong, and names it by its kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aioproducer.cli.orders import order_events
from aioproducer.cli.verify import SAMPLES, Difference, Findings, SentRecord, verify
from aioproducer.core.murmur2 import partition_of_key
from aioproducer.testing.judge import ReadRecord

PARTITIONS = 3


def _belongs_to(key: bytes) -> int:
    return partition_of_key(key, PARTITIONS)


def _sent(count: int = 200) -> list[SentRecord]:
    """What a producer without fault would have been told."""
    ends = [0] * PARTITIONS
    sent = []
    for event in order_events(count):
        partition = _belongs_to(event.key)
        place = (partition, ends[partition])
        sent.append(SentRecord(event.key, event.value, event.headers, place))
        ends[partition] += 1
    return sent


def _read(sent: list[SentRecord]) -> list[ReadRecord]:
    """What a consumer would find: every record in its place."""
    return sorted(
        ReadRecord(*record.place, record.key, record.value, record.headers, 0, False)
        for record in sent
    )


def _verify(sent: list[SentRecord], read: list[ReadRecord]) -> Findings:
    return verify("orders", sent, sorted(read, key=lambda r: (r.partition, r.offset)), _belongs_to)


def test_nothing_is_found_where_nothing_differs() -> None:
    sent = _sent()
    findings = _verify(sent, _read(sent))
    assert findings.is_clean
    assert (findings.sent, findings.read, findings.keys) == (200, 200, 8)


def test_a_record_that_is_missing_is_lost() -> None:
    sent = _sent()
    read = _read(sent)
    missing = read.pop(17)
    findings = _verify(sent, read)
    assert findings.counts == {Difference.LOST: 1}
    assert f"partition {missing.partition} offset {missing.offset}" in _sample(findings)


def test_a_record_that_is_there_twice_is_a_duplicate_even_with_others_between() -> None:
    sent = _sent()
    read = _read(sent)
    first = next(r for r in read if r.partition == 1)
    end = max(r.offset for r in read if r.partition == 1) + 1
    findings = _verify(sent, [*read, first._replace(offset=end)])
    assert findings.counts == {Difference.DUPLICATED: 1}
    assert f"partition 1 offset 0 and partition 1 offset {end}" in _sample(findings)


def test_two_records_of_a_key_that_changed_places_are_reordered() -> None:
    sent = _sent()
    read = _read(sent)
    earlier, later = _two_of_one_key(read)
    a, b = read[earlier], read[later]
    read[earlier] = b._replace(offset=a.offset)
    read[later] = a._replace(offset=b.offset)
    findings = _verify(sent, read)
    assert findings.counts[Difference.REORDERED] >= 1
    assert findings.counts[Difference.MISPLACED] == 2
    assert Difference.LOST not in findings.counts


def test_reordering_is_found_when_the_acknowledged_offsets_tell_the_same_tale() -> None:
    sent = _sent()
    read = _read(sent)
    earlier, later = _two_of_one_key(read)
    numbers = {record.value: number for number, record in enumerate(sent)}
    a, b = numbers[read[earlier].value or b""], numbers[read[later].value or b""]
    place_of_a, place_of_b = sent[a].place, sent[b].place
    sent[a] = sent[a]._replace(place=place_of_b)
    sent[b] = sent[b]._replace(place=place_of_a)
    findings = _verify(sent, _read(sent))
    assert set(findings.counts) == {Difference.REORDERED}


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record._replace(value=record.value[:-1] + b"!"),
        lambda record: record._replace(value=None),
        lambda record: record._replace(key=b"another key"),
        lambda record: record._replace(key=None),
        lambda record: record._replace(headers=()),
        lambda record: record._replace(headers=(("status", None),)),
    ],
    ids=["value", "null value", "key", "null key", "no headers", "null header"],
)
def test_a_record_that_changed_is_corrupted(damage: Callable[[ReadRecord], ReadRecord]) -> None:
    sent = _sent()
    read = _read(sent)
    read[40] = damage(read[40])
    assert _verify(sent, read).counts == {Difference.CORRUPTED: 1}


def test_a_key_in_the_wrong_partition_has_moved() -> None:
    sent = _sent()
    key = sent[0].key
    wrong = (_belongs_to(key) + 1) % PARTITIONS
    number = max(n for n, record in enumerate(sent) if record.key == key)
    end = max(record.place[1] for record in sent if record.place[0] == wrong)
    sent[number] = sent[number]._replace(place=(wrong, end + 1))
    findings = _verify(sent, _read(sent))
    assert findings.counts == {Difference.MOVED: 1}
    assert f"in partition {wrong}, not {_belongs_to(key)}" in _sample(findings)


def test_an_acknowledgement_that_names_another_offset_is_found() -> None:
    sent = _sent()
    read = _read(sent)
    partition, offset = sent[5].place
    sent[5] = sent[5]._replace(place=(partition, offset + 1))
    assert _verify(sent, read).counts == {Difference.MISPLACED: 1}


def test_what_was_never_sent_is_foreign() -> None:
    sent = _sent()
    stranger = ReadRecord(2, 10_000, b"order-1", b"stranger", (), 0, False)
    assert _verify(sent, [*_read(sent), stranger]).counts == {Difference.FOREIGN: 1}


def test_many_differences_are_counted_and_a_few_are_shown() -> None:
    sent = _sent()
    findings = _verify(sent, [])
    assert findings.counts == {Difference.LOST: 200}
    assert len(findings.samples[Difference.LOST]) == SAMPLES


def test_records_that_cannot_be_told_apart_are_refused() -> None:
    sent = _sent(3)
    with pytest.raises(ValueError, match="told apart"):
        _verify([*sent, sent[0]], [])


def _two_of_one_key(read: list[ReadRecord]) -> tuple[int, int]:
    earlier = next(n for n, record in enumerate(read) if record.partition == 1)
    later = max(n for n, record in enumerate(read) if record.key == read[earlier].key)
    assert later > earlier
    return earlier, later


def _sample(findings: Findings) -> str:
    ((sample,),) = findings.samples.values()
    return sample
