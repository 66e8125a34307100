"""A copy that is not exact does not pass, whatever is wrong with it."""

from __future__ import annotations

import pytest

from tests.bounce.verdict import Tally, complaints, counted, table

WHOLE = {0: [0, 2, 4], 1: [1, 3]}


def test_an_exact_copy_has_no_complaints() -> None:
    assert complaints(WHOLE, 5, 2) == []


@pytest.mark.parametrize(
    ("partition", "words"),
    [
        ([0, 2], "1 lost [4]"),
        ([0, 2, 2, 4], "1 repeated [2]"),
        ([2, 0, 4], "the order differs"),
        ([0, 1, 2, 4], "1 from elsewhere [1]"),
        ([], "3 lost [0, 2, 4]"),
    ],
)
def test_what_is_wrong_is_said(partition: list[int], words: str) -> None:
    (line,) = complaints({**WHOLE, 0: partition}, 5, 2)
    assert line.startswith("partition 0: ")
    assert words in line


def test_a_partition_that_is_missing_altogether_is_lost() -> None:
    assert len(complaints({}, 5, 2)) == 2


def test_lines_of_copiers_are_counted_and_cut_ones_are_not() -> None:
    tally = Tally()
    tally.read(["committed 20", "aborted Given", "", "committed", "committed 5", "ended X", "abo"])
    assert (tally.transactions, tally.records) == (2, 25)
    assert counted(tally.aborted) == "1 Given"
    assert counted(tally.ended) == "1 X"


def test_the_table_is_markdown() -> None:
    assert table([("a", 1)]) == "| | |\n|---|---|\n| a | 1 |"
    assert counted({}) == "none"
