"""The judge of the torture finds each kind of wrong, and nothing in a log that is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aioproducer.errors import DeliveryTimeoutError
from aioproducer.testing.judge import DumpedBatch, ReadRecord
from tests.torture.journal import Journal, Outcome
from tests.torture.judge import Judge, Verdict, Wrong
from tests.torture.recipe import Recipe

RECIPE = Recipe(1, ["steady-0"], "remade")


def numbers_of(topic: str, count: int) -> list[int]:
    return [n for n in range(10_000) if RECIPE.topic(0, n) == topic][:count]


def journal_of(outcomes: dict[int, Outcome]) -> Journal:
    """A lane whose record number n lies, or would, at offset n of partition 0."""
    journal = Journal()
    for _ in range(max(outcomes) + 1):
        number = journal.begin()
        outcome = outcomes.get(number, Outcome.NOT_PERSISTED)
        journal.outcomes[number] = outcome
        journal.counts[outcome] += 1
        journal.partitions[number], journal.offsets[number] = 0, number
    return journal


def record(number: int, offset: int | None = None, value: bytes | None = None) -> ReadRecord:
    _, key, right = RECIPE.record(0, number)
    place = number if offset is None else offset
    return ReadRecord(0, place, key, right if value is None else value, (), 0, False)


def judged(
    outcomes: dict[int, Outcome], reads: list[ReadRecord], *, excused_below: int = 0
) -> Verdict:
    judge = Judge(RECIPE, [journal_of(outcomes)], [excused_below])
    for topic in ("steady-0", "remade"):
        judge.read(topic, [r for r in reads if _topic_of(r) == topic])
    return judge.finish()


def _topic_of(read: ReadRecord) -> str:
    number = int((read.value or b"").split(b":")[1])
    return RECIPE.topic(0, number)


A, B, C = numbers_of("steady-0", 3)
GONE, THERE = numbers_of("remade", 2)
ACKED = Outcome.ACKNOWLEDGED


def test_a_log_that_agrees_is_clean() -> None:
    outcomes = {A: ACKED, B: Outcome.NOT_PERSISTED, C: ACKED}
    verdict = judged(outcomes, [record(A), record(C)])
    assert verdict.is_clean
    assert verdict.read == 2


def test_an_acknowledged_record_that_is_missing_is_lost() -> None:
    assert judged({A: ACKED, B: ACKED}, [record(A)]).counts == {Wrong.LOST: 1}


def test_a_record_that_is_there_twice_is_a_duplicate() -> None:
    reads = [record(A), record(B), record(A, offset=C)]
    assert judged({A: ACKED, B: ACKED}, reads).counts == {Wrong.DUPLICATED: 1}


def test_a_record_behind_a_later_one_is_reordered() -> None:
    """Also if neither of them was acknowledged."""
    maybe = {A: Outcome.MAYBE, B: Outcome.MAYBE}
    verdict = judged(maybe, [record(B, offset=0), record(A, offset=1)])
    assert verdict.counts == {Wrong.REORDERED: 1}
    assert verdict.maybe_there == 2


def test_a_maybe_may_be_missing_but_not_be_there_twice() -> None:
    assert judged({A: Outcome.MAYBE}, []).is_clean
    assert judged({A: Outcome.MAYBE}, [record(A)]).is_clean
    twice = [record(A), record(A, offset=B)]
    assert judged({A: Outcome.MAYBE}, twice).counts == {Wrong.DUPLICATED: 1}


def test_a_record_that_failed_as_not_persisted_must_not_be_there() -> None:
    verdict = judged({A: Outcome.NOT_PERSISTED}, [record(A)])
    assert verdict.counts == {Wrong.RETURNED: 1}


def test_a_record_elsewhere_than_told_is_misplaced_and_an_unknown_offset_is_not() -> None:
    assert judged({A: ACKED}, [record(A, offset=A + 1)]).counts == {Wrong.MISPLACED: 1}
    journal = journal_of({A: ACKED})
    journal.offsets[A] = -1
    judge = Judge(RECIPE, [journal], [0])
    judge.read("steady-0", [record(A, offset=A + 1)])
    assert judge.finish().is_clean


@pytest.mark.parametrize("value", [b"", b"no identity", b"7:0:foreign lane", b"0:%d:other" % 0])
def test_a_value_that_was_not_sent_is_found(value: bytes) -> None:
    judge = Judge(RECIPE, [journal_of({A: ACKED})], [0])
    judge.read("steady-0", [record(A), record(A, offset=B, value=value)])
    assert judge.finish().counts == {Wrong.CHANGED: 1}


def test_a_record_in_a_topic_it_was_not_sent_to_is_found() -> None:
    judge = Judge(RECIPE, [journal_of({A: Outcome.MAYBE})], [0])
    judge.read("remade", [record(A)])
    assert judge.finish().counts == {Wrong.CHANGED: 1}


def test_a_record_that_was_never_settled_is_found() -> None:
    assert judged({A: Outcome.OPEN}, []).counts == {Wrong.UNRESOLVED: 1}


def test_what_went_with_a_deleted_topic_is_excused_and_what_came_later_is_not() -> None:
    """The line is drawn when every broker knows the new topic."""
    outcomes = {GONE: ACKED, THERE: ACKED}
    verdict = judged(outcomes, [], excused_below=THERE)
    assert verdict.excused == 1
    assert verdict.counts == {Wrong.LOST: 1}
    assert judged({A: ACKED}, [], excused_below=A + 1).counts == {Wrong.LOST: 1}


def batch(sequence: int, *, count: int = 10, epoch: int = 0, pid: int = 5) -> DumpedBatch:
    last = sequence + count - 1
    return DumpedBatch(0, 0, count, sequence, last, pid, epoch, 0, False, False, "none", 1, True)


def dumped(*batches: DumpedBatch, topic: str = "steady-0") -> Verdict:
    judge = Judge(RECIPE, [], [])
    judge.dumped(topic, 0, batches)
    return judge.verdict


def test_sequences_that_follow_each_other_are_right() -> None:
    verdict = dumped(batch(0), batch(0, pid=6), batch(10), batch(0, epoch=1), batch(10, epoch=1))
    assert verdict.is_clean
    assert (verdict.batches, verdict.epochs) == (5, 3)


@pytest.mark.parametrize(
    "batches",
    [
        [batch(10)],
        [batch(0), batch(20)],
        [batch(0), batch(0)],
        [batch(0, epoch=1), batch(0, epoch=0)],
        [batch(0, pid=-1)],
        [replace(batch(0), count=3)],
        [replace(batch(0), is_valid=False)],
    ],
)
def test_a_gap_a_repetition_or_an_older_epoch_is_found(batches: list[DumpedBatch]) -> None:
    assert dumped(*batches).counts[Wrong.SEQUENCE] >= 1


def test_a_topic_that_was_made_again_may_begin_anywhere_but_has_no_gap() -> None:
    assert dumped(batch(30), batch(40), topic="remade").is_clean
    assert not dumped(batch(30), batch(50), topic="remade").is_clean


def test_a_consumer_and_a_dump_that_count_differently_are_found() -> None:
    judge = Judge(RECIPE, [], [])
    judge.count("steady-0", 3, 3)
    assert judge.verdict.is_clean
    judge.count("steady-0", 3, 4)
    assert judge.verdict.counts == {Wrong.COUNT: 1}


def test_the_journal_refuses_to_settle_a_record_twice() -> None:
    journal = Journal()
    number = journal.begin()
    assert journal.open == 1
    journal.settle(number, _Failed())  # type: ignore[arg-type]
    assert journal.open == 0
    assert journal.outcomes[number] == Outcome.MAYBE
    assert journal.errors == {"DeliveryTimeoutError, persisted: maybe": 1}
    with pytest.raises(AssertionError):
        journal.settle(number, _Failed())  # type: ignore[arg-type]


class _Failed:
    """As much of a Delivery as the journal looks at."""

    def exception(self) -> Exception:
        return DeliveryTimeoutError("late", persisted="maybe")
