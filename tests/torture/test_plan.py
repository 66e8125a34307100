"""Seeds decide which records and faults a run has, and a summary says what became of them."""

from __future__ import annotations

from collections import Counter

from tests.torture.dump import _by_file
from tests.torture.judge import Verdict, Wrong
from tests.torture.plan import FaultKind, plan_faults
from tests.torture.recipe import BLOCK, Recipe, identity_of
from tests.torture.summary import Summary

RECIPE = Recipe(3, ["steady-0", "steady-1"], "remade")


def test_a_seed_always_gives_the_same_faults() -> None:
    assert plan_faults(7, 50) == plan_faults(7, 50)
    assert plan_faults(7, 50) != plan_faults(8, 50)


def test_each_round_has_every_kind_once() -> None:
    faults = plan_faults(1, 3 * len(FaultKind))
    for start in range(0, len(faults), len(FaultKind)):
        assert set(faults[start : start + len(FaultKind)]) == set(FaultKind)


def test_a_record_follows_from_seed_lane_and_number() -> None:
    again = Recipe(3, ["steady-0", "steady-1"], "remade")
    records = [RECIPE.record(lane, number) for lane in range(3) for number in range(500)]
    assert records == [again.record(lane, number) for lane in range(3) for number in range(500)]
    assert len({record.value for record in records}) == len(records)
    assert RECIPE.record(0, 0) != Recipe(4, ["steady-0", "steady-1"], "remade").record(0, 0)


def test_a_value_says_which_record_it_is() -> None:
    assert identity_of(RECIPE.record(2, 17).value) == (2, 17)
    assert identity_of(b"a:b:c") is None
    assert identity_of(None) is None


def test_the_records_of_a_block_share_topic_and_kind() -> None:
    for block in range(100):
        numbers = range(block * BLOCK, (block + 1) * BLOCK)
        assert len({RECIPE.topic(0, n) for n in numbers}) == 1
        for number in numbers:
            planned = RECIPE.record(0, number)
            assert planned.topic == RECIPE.topic(0, number)
            assert (planned.key is not None) == RECIPE.is_keyed(0, number)


def test_all_topics_keys_and_sizes_occur() -> None:
    records = [RECIPE.record(1, number) for number in range(20_000)]
    assert {r.topic for r in records} == {"steady-0", "steady-1", "remade"}
    assert {r.key is None for r in records} == {True, False}
    assert max(len(r.value) for r in records) > 5000
    assert min(len(r.value) for r in records) < 40


def test_a_dump_of_many_files_is_cut_by_their_names() -> None:
    output = "Dumping /a/0.log\nLog starting offset: 0\nbaseOffset: 0\nDumping /b/0.log\nend"
    assert _by_file(output) == [
        ("/a/0.log", ["Log starting offset: 0", "baseOffset: 0"]),
        ("/b/0.log", ["end"]),
    ]


def summary(verdict: Verdict) -> Summary:
    return Summary(
        "title", 10, 8, 1, 1, 3, Counter({"DeliveryTimeoutError": 2}),
        Counter({FaultKind.KILL: 2}), Counter({"frames cut inside": 4}), verdict, 60.0, 1.0,
    )  # fmt: skip


def test_a_summary_is_good_only_without_any_finding() -> None:
    good = summary(Verdict())
    assert good.is_good
    text = "\n".join(good.lines())
    for wrong in (Wrong.LOST, Wrong.DUPLICATED, Wrong.REORDERED):
        assert wrong.value in text
    assert "frames cut inside" in text
    verdict = Verdict()
    verdict.add(Wrong.MISPLACED, "here")
    bad = summary(verdict)
    assert not bad.is_good
    assert "- not where its acknowledgement says: here" in bad.lines()
    good.surprises.append("task died")
    assert not good.is_good
