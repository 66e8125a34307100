"""What a line means as a record, and why it is none."""

from __future__ import annotations

import re

import pytest

from aioproducer.cli.record_format import (
    Fixed,
    MalformedLineError,
    fixed_headers,
    json_format,
    text_format,
    unescaped,
)
from aioproducer.records import Record

ORDERS = Fixed(topic="orders")
EVERYTHING = Fixed(topic="orders", partition=3, headers=(("from", b"here"),))


def test_a_line_is_a_value() -> None:
    assert text_format(ORDERS)(b"a:b \xff") == Record("orders", b"a:b \xff")
    assert text_format(EVERYTHING)(b"x") == Record(
        "orders", b"x", None, 3, None, (("from", b"here"),)
    )


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (b"k\tv", b"k", b"v"),
        (b"k\tv\tw", b"k", b"v\tw"),
        (b"\tv", b"", b"v"),
        (b"k\t", b"k", b""),
        (b"k\tNULL", b"k", None),
        (b"NULL\tv", b"NULL", b"v"),
        (b"k\tNULLS", b"k", b"NULLS"),
    ],
)
def test_the_first_separator_ends_the_key(line: bytes, key: bytes, value: bytes | None) -> None:
    record = text_format(ORDERS, b"\t", b"NULL")(line)
    assert (record.key, record.value) == (key, value)


def test_an_empty_value_can_stand_for_none() -> None:
    assert text_format(ORDERS, b":", b"")(b"k:") == Record("orders", None, b"k")


def test_a_line_without_its_separator_is_malformed() -> None:
    with pytest.raises(MalformedLineError, match=r"no '\\t' between key and value"):
        text_format(ORDERS, b"\t")(b"a:b")


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("{}", Record("orders")),
        ('{"value": "café"}', Record("orders", "café".encode())),
        ('{"value": null, "key": "k"}', Record("orders", None, b"k")),
        ('{"value": {"a": [1, 2.5, "é"]}}', Record("orders", '{"a":[1,2.5,"é"]}'.encode())),
        ('{"key": 7, "value": true}', Record("orders", b"true", b"7")),
        ('{"key": "", "value": ""}', Record("orders", b"", b"")),
        ('{"value_base64": "AP8=", "key_base64": "/w=="}', Record("orders", b"\0\xff", b"\xff")),
        ('{"value_base64": null}', Record("orders")),
        ('{"topic": "others", "partition": 0}', Record("others", None, None, 0)),
        ('{"timestamp": 1700000000000}', Record("orders", None, None, None, 1_700_000_000_000)),
        ('{"partition": null, "timestamp": null, "headers": null}', Record("orders")),
        (
            '{"headers": {"a": "x", "b": null, "c": {"base64": "AA=="}}}',
            Record("orders", headers=(("a", b"x"), ("b", None), ("c", b"\0"))),
        ),
        (
            '{"headers": [["a", "1"], ["a", "2"]]}',
            Record("orders", headers=(("a", b"1"), ("a", b"2"))),
        ),
    ],
)
def test_an_object_is_a_record(line: str, record: Record[bytes, bytes]) -> None:
    assert json_format(ORDERS)(line.encode()) == record


def test_an_object_comes_before_what_is_fixed_but_for_headers_which_are_added() -> None:
    record = json_format(EVERYTHING)(b'{"partition": 0, "headers": {"a": "x"}}')
    assert record == Record("orders", None, None, 0, None, (("from", b"here"), ("a", b"x")))
    assert json_format(EVERYTHING)(b"{}").partition == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        ("{}".encode("utf-16"), "no JSON: 'utf-8' codec"),
        (b"[" * 100_000, "no JSON"),
        (b'{"value": NaN}', "no JSON: NaN is no JSON"),
        (b'{"value": 1e999}', "value: "),
        (b"[]", "a JSON object is needed, not an array"),
        (b"5", "not a number"),
        (b"null", "not null"),
        (b'"x"', "not a string"),
        (b"true", "not a boolean"),
        (b'{"valu": 1, "kee": 2}', "unknown field 'kee', 'valu'"),
        (b'{"value": "x", "value_base64": "eA=="}', "value and value_base64 are both there"),
        (b'{"value_base64": "x"}', "value_base64 is no base64"),
        (b'{"value_base64": "AA!="}', "value_base64 is no base64"),
        (b'{"key_base64": 5}', "key_base64 must be a string, not a number"),
        (b'{"value": "\\ud800"}', "value: half of a surrogate pair"),
        (b'{"headers": {"\\ud800": ""}}', "a header's name: half of a surrogate pair"),
        (b'{"topic": "bad/topic"}', "'bad/topic' is no topic name"),
        (b'{"topic": null}', "topic must be str"),
        (b'{"partition": -1}', "partition must not be negative"),
        (b'{"partition": true}', "partition must be int"),
        (b'{"partition": 1.0}', "partition must be int"),
        (b'{"timestamp": "now"}', "timestamp_ms must be int"),
        (b'{"timestamp": -1}', "timestamp_ms must be milliseconds"),
        (b'{"headers": 5}', "headers must be an object or pairs, not a number"),
        (b'{"headers": 0}', "headers must be an object or pairs, not a number"),
        (b'{"headers": ""}', "headers must be an object or pairs, not a string"),
        (b'{"headers": ["a"]}', "a header is a pair"),
        (b'{"headers": [[1, "a"]]}', "a header is a pair"),
        (b'{"headers": {"a": 5}}', "header 'a' must be a string, null"),
        (b'{"headers": {"a": {"base64": "!"}}}', "header 'a' is no base64"),
    ],
)
def test_what_is_no_record_says_why(line: bytes, words: str) -> None:
    with pytest.raises(MalformedLineError, match=re.escape(words)):
        json_format(ORDERS)(line)


def test_headers_of_the_command_line_have_a_name_and_a_value() -> None:
    assert fixed_headers(["a=1", "a=b=c", "é="]) == (("a", b"1"), ("a", b"b=c"), ("é", b""))
    for wrong in ("a", "=b", ""):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            fixed_headers([wrong])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        (":", b":"),
        (r"\t", b"\t"),
        (r"\n\r\0\\", b"\n\r\0\\"),
        (r"\x1f\xFF", b"\x1f\xff"),
        ("é|", "é|".encode()),
    ],
)
def test_escapes_of_the_command_line(text: str, expected: bytes) -> None:
    assert unescaped(text) == expected


@pytest.mark.parametrize("text", ["\\", "\\q", "\\x", "\\x1", "\\xzz", "\\x 1", "a\\"])
def test_an_unknown_escape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a backslash begins"):
        unescaped(text)
