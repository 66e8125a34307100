"""The list of deliberate bugs is kept up; ``make mutate`` tries them all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.simulation.mutate import ROOT, Mutation, load, run, table, try_mutation

MUTATIONS = load()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_still_applies(mutation: Mutation) -> None:
    """Its text is in its file, once; who moves the code takes the entry along."""
    assert mutation.applies(ROOT)
    assert mutation.new != mutation.old
    assert mutation.why


def test_there_are_enough_of_them_and_no_two_of_one_name() -> None:
    assert len(MUTATIONS) >= 35
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    assert {mutation.area for mutation in MUTATIONS} >= {
        "batching", "sequences", "epoch", "expiry", "waiting", "memory", "retries", "splits",
        "connections", "metadata", "flush",
    }  # fmt: skip


def test_the_page_lists_them() -> None:
    """``python -m tests.simulation.mutate --table`` prints what belongs there."""
    assert table(MUTATIONS) in (ROOT / "docs" / "simulation.md").read_text()


def test_a_bug_is_found_and_the_code_as_it_is_passes() -> None:
    """Each in a copy, with the very command that tries them all."""
    bug = next(m for m in MUTATIONS if m.name == "the overhead is not taken")
    before = (ROOT / "aioproducer" / bug.file).read_text()
    assert try_mutation(None, "0-4").found == ""
    assert "bytes" in try_mutation(bug, "0-4").found
    assert (ROOT / "aioproducer" / bug.file).read_text() == before


def test_a_bug_that_survives_or_no_longer_applies_fails_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    harmless = Mutation("x", "a comment", "version.py", '"""The', '""" The', "harms nobody")
    gone = dataclasses.replace(harmless, name="gone", old="no such text")
    assert run([harmless, gone], "0-1", 2) == 1
    told = capsys.readouterr().out
    assert "NOT FOUND: a comment (version.py)" in told
    assert "x: gone: NO LONGER APPLIES" in told


def test_planting_a_bug_changes_one_file(tmp_path: Path) -> None:
    (tmp_path / "aioproducer").mkdir()
    (tmp_path / "aioproducer" / "a.py").write_text("one\ntwo\n")
    bug = Mutation("x", "y", "a.py", "two", "three", "why")
    assert bug.applies(tmp_path)
    bug.apply(tmp_path)
    assert (tmp_path / "aioproducer" / "a.py").read_text() == "one\nthree\n"
    assert not bug.applies(tmp_path)
