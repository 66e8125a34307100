"""Misuse is told at once, in words that say what was expected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.checks import (
    as_buffer,
    check_headers,
    check_options,
    check_partition,
    check_timeout,
    check_timestamp,
    check_topic,
    check_topics,
)


@pytest.mark.parametrize("topic", ["a", "orders", "a.b_c-D.9", "x" * 249, "...", "__consumer"])
def test_topic_names_that_kafka_takes(topic: str) -> None:
    assert check_topic(topic) == topic


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "a/b", "ü", "a\n", "x" * 250, "a:b", "\0"])
def test_topic_names_that_kafka_refuses(topic: str) -> None:
    with pytest.raises(ValueError, match="no topic name"):
        check_topic(topic)


@pytest.mark.parametrize("topic", [None, b"orders", 5, ["orders"]])
def test_topics_that_are_no_text(topic: object) -> None:
    with pytest.raises(TypeError, match="topic must be str"):
        check_topic(topic)


def test_one_name_is_not_taken_for_a_list_of_letters() -> None:
    assert check_topics("orders") == ["orders"]
    assert check_topics(name for name in ("a", "b")) == ["a", "b"]
    with pytest.raises(ValueError, match="no topic name"):
        check_topics(["a", "b/c"])


@pytest.mark.parametrize("partition", [None, 0, 7, 2**31 - 1])
def test_partitions(partition: object) -> None:
    check_partition(partition)


@pytest.mark.parametrize("partition", [-1, 2**31])
def test_partitions_out_of_range(partition: int) -> None:
    with pytest.raises(ValueError, match=str(partition)):
        check_partition(partition)


def test_a_partition_beyond_the_last_possible_is_not_called_negative() -> None:
    with pytest.raises(ValueError, match="must be at most 2147483647: 2147483648"):
        check_partition(2**31)


@pytest.mark.parametrize("partition", ["0", 0.0, True, b"0"])
def test_partitions_of_the_wrong_type(partition: object) -> None:
    with pytest.raises(TypeError, match="partition must be int or None"):
        check_partition(partition)


@pytest.mark.parametrize("timestamp", [None, 0, 1_700_000_000_000, 2**63 - 1])
def test_timestamps(timestamp: object) -> None:
    check_timestamp(timestamp)


@pytest.mark.parametrize("timestamp", [-1, 2**63])
def test_timestamps_out_of_range(timestamp: int) -> None:
    with pytest.raises(ValueError, match="milliseconds since 1970"):
        check_timestamp(timestamp)


@pytest.mark.parametrize("timestamp", [1.5, "1", True])
def test_timestamps_of_the_wrong_type(timestamp: object) -> None:
    with pytest.raises(TypeError, match="timestamp_ms must be int or None"):
        check_timestamp(timestamp)


def test_headers_are_copied_as_pairs() -> None:
    value = bytearray(b"1")
    checked = check_headers([("a", value), ["a", None], ("", memoryview(b"2"))])
    value[:] = b"X"
    assert checked == [("a", b"1"), ("a", None), ("", b"2")]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (5, "sequence of pairs"),
        (["abc"], "pair of key and value"),
        ([("a",)], "pair of key and value"),
        ([("a", b"1", b"2")], "pair of key and value"),
        ([(b"a", b"1")], "key must be str"),
        ([("a", "1")], "must be bytes or None"),
        ([("a", 1)], "must be bytes or None"),
        ([None], "pair of key and value"),
    ],
)
def test_headers_that_are_none(headers: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        check_headers(headers)


@pytest.mark.parametrize("timeout", [None, 0, 0.5, 10, float("inf")])
def test_timeouts(timeout: object) -> None:
    check_timeout(timeout)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_timeouts_out_of_range(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        check_timeout(timeout)


@pytest.mark.parametrize("timeout", ["1", True, b"1"])
def test_timeouts_of_the_wrong_type(timeout: object) -> None:
    with pytest.raises(TypeError, match="seconds"):
        check_timeout(timeout)


def test_a_dict_of_headers_is_told_what_to_be_instead() -> None:
    with pytest.raises(TypeError, match=r"pairs, \[\(key, value\), ...\], not dict"):
        check_headers({"ab": b"1"})


def test_no_headers_may_be_none() -> None:
    assert check_options(None, None, None) == ()


def test_options_are_all_checked() -> None:
    for bad in ((-1, None, ()), (None, -1, ()), (None, None, 5)):
        with pytest.raises((TypeError, ValueError)):
            check_options(*bad)  # type: ignore[arg-type]


@given(st.binary(max_size=50))
def test_buffers_keep_their_bytes(data: bytes) -> None:
    for given_as in (data, bytearray(data), memoryview(data)):
        buffer = as_buffer(given_as, "value")
        assert bytes(buffer) == data
        assert len(buffer) == len(data)


def test_views_are_measured_in_bytes() -> None:
    import array

    numbers = memoryview(array.array("i", [1, 2, 3]))
    assert len(as_buffer(numbers, "value")) == numbers.nbytes
    assert bytes(as_buffer(memoryview(b"abcdef")[::2], "value")) == b"ace"


@pytest.mark.parametrize("value", ["text", 5, [1], object()])
def test_other_values_need_a_serializer(value: object) -> None:
    with pytest.raises(TypeError, match="key_serializer"):
        as_buffer(value, "key")
