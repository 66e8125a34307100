"""SASLprep (RFC 4013): the one spelling of a name or password that both sides calculate with."""

from __future__ import annotations

import stringprep
import unicodedata
from collections.abc import Callable

_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Return ``text`` prepared as a query string.

    Raises :exc:`ValueError`, which does not name the text, when it holds what is prohibited.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(prohibited(character) for character in prepared for prohibited in _PROHIBITED):
        raise ValueError(
            "it holds a character that SASLprep prohibits, such as a control character"
        )
    _check_direction(prepared)
    return prepared


def has_two_spellings(*texts: str) -> bool:
    """Return whether preparing changes any of ``texts`` into something that may be used."""
    try:
        return any(saslprep(text) != text for text in texts)
    except ValueError:
        return False


def _check_direction(text: str) -> None:
    """Right-to-left text must be so from its first to its last character (RFC 3454, 6)."""
    right_to_left = [stringprep.in_table_d1(character) for character in text]
    if not any(right_to_left):
        return
    mixed = any(stringprep.in_table_d2(character) for character in text)
    if mixed or not (right_to_left[0] and right_to_left[-1]):
        raise ValueError("it mixes directions of writing in a way that SASLprep prohibits")
