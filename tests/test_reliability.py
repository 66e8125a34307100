"""The page about reliability names tests: each of them exists, and every part has some."""

from __future__ import annotations

import re

import pytest

from tests.named_tests import ROOT, is_a_test

PAGE = (ROOT / "docs" / "reliability.md").read_text()
PARTS = re.split(r"^### (?=\d\. )", PAGE, flags=re.MULTILINE)[1:]


def named_in(text: str) -> list[str]:
    return re.findall(r"`(tests/[^`]+)`", text)


@pytest.mark.parametrize("test_id", sorted(set(named_in(PAGE))))
def test_each_named_test_exists(test_id: str) -> None:
    assert is_a_test(test_id)


def test_a_test_that_is_not_there_would_be_noticed() -> None:
    here = "tests/test_reliability.py"
    assert is_a_test(here)
    assert is_a_test(f"{here}::test_each_named_test_exists")
    assert not is_a_test(f"{here}::test_that_is_not_there")
    assert not is_a_test(f"{here}::TestNothing::test_each_named_test_exists")
    assert not is_a_test("tests/test_that_is_not_there.py")


def test_every_part_has_guarantees_and_every_guarantee_a_test() -> None:
    assert [int(part[0]) for part in PARTS] == list(range(1, 10))
    for part in PARTS:
        rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
        assert len(rows) >= 3
        for row in rows:
            assert named_in(row), row


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", PAGE, flags=re.MULTILINE)
    }
    for target in re.findall(r"\]\(#([^)]+)\)", PAGE):
        assert target in headings, (target, sorted(headings))
