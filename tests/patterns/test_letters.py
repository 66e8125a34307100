"""What a dead letter keeps, and the headers it travels with."""

from __future__ import annotations

import pytest

from aioproducer import DeliveryTimeoutError, Record, RecordTooLargeError
from aioproducer.patterns.letters import (
    DeadLetter,
    fate,
    from_record,
    letter_of,
    shown,
    to_record,
)

RECORD = Record("orders", b"v", b"k", None, None, (("a", b"1"), ("b", None), ("a", b"2")))


def test_the_headers_say_where_it_was_to_go_and_why_it_failed() -> None:
    error = DeliveryTimeoutError("too late", persisted="maybe", topic="orders", partition=3)
    record = to_record(letter_of(RECORD, 3, error, 1_700_000_000_000), "dead")
    assert (record.topic, record.value, record.key) == ("dead", b"v", b"k")
    assert record.partition is None
    assert record.headers == (
        ("a", b"1"),
        ("b", None),
        ("a", b"2"),
        ("original.topic", b"orders"),
        ("original.partition", b"3"),
        ("failure.timestamp", b"1700000000000"),
        ("failure.reason", b"too late (topic 'orders', partition 3)"),
        ("failure.class", b"DeliveryTimeoutError"),
        ("failure.persisted", b"maybe"),
    )


def test_a_partition_that_was_not_known_is_minus_one() -> None:
    letter = letter_of(RECORD, None, RecordTooLargeError("large"), 1)
    headers = dict(to_record(letter, "dead").headers)
    assert headers["original.partition"] == b"-1"
    assert headers["failure.persisted"] == b"no"


@pytest.mark.parametrize(
    "letter",
    [
        DeadLetter(RECORD, 3, 17, "too late", "DeliveryTimeoutError", "maybe"),
        DeadLetter(Record("t", None, None), None, 0, "", "", "no"),
        DeadLetter(Record("t", b"", b"", 0, 0), 0, 1, "grün \udc80".replace("\udc80", ""), "X"),
        DeadLetter(Record("t", b"{}", b"k", 7, 12), 7, 1, "r", "X", "yes", "repr", "json"),
    ],
)
def test_what_is_read_back_is_what_was_kept(letter: DeadLetter) -> None:
    record = to_record(letter, "dead")
    assert from_record(record.value, record.key, record.headers) == letter


def test_a_letter_that_died_again_keeps_its_first_headers_as_its_own() -> None:
    once = to_record(DeadLetter(RECORD, 3, 17, "first", "A", "no"), "dead")
    twice = to_record(DeadLetter(once, 0, 18, "second", "B", "no"), "dead-2")
    read = from_record(twice.value, twice.key, twice.headers)
    assert read is not None
    assert (read.record.topic, read.reason) == ("dead", "second")
    inner = from_record(read.record.value, read.record.key, read.record.headers)
    assert inner is not None
    assert (inner.record.topic, inner.reason) == ("orders", "first")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("failure.reason", b"r")],
        [("original.topic", b"t"), ("original.partition", b"x")],
        [("original.topic", b"t"), ("failure.timestamp", b"soon")],
    ],
)
def test_a_record_without_sensible_headers_is_no_letter(
    headers: list[tuple[str, bytes | None]],
) -> None:
    assert from_record(b"v", None, headers) is None


def test_a_letter_of_another_make_is_in_doubt() -> None:
    letter = from_record(b"v", None, [("original.topic", b"t")])
    assert letter is not None
    assert (letter.persisted, letter.partition, letter.reason) == ("maybe", None, "")


def test_a_long_reason_is_cut() -> None:
    letter = letter_of(RECORD, None, DeliveryTimeoutError("x" * 100_000), 1)
    assert len(letter.reason) == 2_003


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


class Order:
    def __repr__(self) -> str:
        return "Order(1)"


class Incomparable(dict[str, int]):
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, (None, "")),
        (b"v", (b"v", "")),
        (bytearray(b"v"), (b"v", "")),
        ("grün", ("grün".encode(), "utf-8")),
        ("\udc80", (b"\\udc80", "utf-8")),
        ({"a": [1, None]}, (b'{"a": [1, null]}', "json")),
        ((1, 2), (b"(1, 2)", "repr")),
        ({1: 2}, (b"{1: 2}", "repr")),
        (Order(), (b"Order(1)", "repr")),
        (Incomparable(a=1), (b"{'a': 1}", "repr")),
        (Unprintable(), (b"<Unprintable, whose repr() raised ZeroDivisionError>", "repr")),
    ],
)
def test_of_what_has_no_bytes_is_kept_what_can_be(given: object, kept: object) -> None:
    assert shown(given) == kept


def test_what_makes_no_sense_is_in_doubt() -> None:
    assert [fate(text) for text in ("no", "yes", "maybe", "", "NO")] == [
        "no", "yes", "maybe", "maybe", "maybe",
    ]  # fmt: skip
