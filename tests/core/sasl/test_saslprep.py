"""SASLprep: the examples of RFC 4013, section 3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.sasl.saslprep import has_two_spellings, saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_the_examples_of_the_rfc(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "a\u0627", "\ue000", "\ud800"])
def test_prohibited_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="prohibits") as refusal:
        saslprep(text)
    assert text not in str(refusal.value)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_ascii_stays_as_it_is(text: str) -> None:
    assert saslprep(text) == text
    assert not has_two_spellings(text)


def test_two_spellings_are_told_apart() -> None:
    assert has_two_spellings("alice", "pass\u00b2")
    assert not has_two_spellings("alice", "p\u00e4ss")
    assert not has_two_spellings("alice", "\u0007\u00b2")
