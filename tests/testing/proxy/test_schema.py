"""Tables of messages: what is decoded is encoded to the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.errors import MalformedResponseError
from aioproducer.testing.proxy.messages import MESSAGES, PRODUCE
from aioproducer.testing.proxy.schema import REST, TAGS, Field, Message, message

TABLE = """
Name ?string
Rows [] 1-2
  Code int16 =-1
  Id uuid 2+
Leader {} 2+ tag0
  Node int32
Numbers []int32 3
"""

_RANGES = {"int8": 7, "int16": 15, "int32": 31, "int64": 63}


def values_of(field: Field, version: int) -> st.SearchStrategy[Any]:
    """Return what a field can hold in a version."""
    kind = field.kind
    one: st.SearchStrategy[Any]
    if kind in _RANGES:
        limit = 2 ** _RANGES[kind]
        one = st.integers(-limit, limit - 1)
    elif kind == "bool":
        one = st.booleans()
    elif kind == "uuid":
        one = st.binary(min_size=16, max_size=16)
    elif kind == "{}":
        one = rows_of(field.fields, version)
    else:
        one = st.text(max_size=5) if kind == "string" else st.binary(max_size=200)
    if field.is_array:
        one = st.lists(one, max_size=2)
    return st.none() | one if field.nullable else one


def rows_of(fields: tuple[Field, ...], version: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {f.name: values_of(f, version) for f in fields if f.is_in(version) and f.tag is None},
        optional={f.name: values_of(f, version) for f in fields if f.is_in(version) and f.tag == 0},
    )


ALL = [
    pytest.param(each, pair.newest, id=each.name)
    for pair in MESSAGES.values()
    for each in (pair.request, pair.answer)
]


@pytest.mark.parametrize(("each", "newest"), ALL)
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_encoded_is_decoded(each: Message, newest: int, data: st.DataObject) -> None:
    version = data.draw(st.integers(0, newest))
    values = data.draw(rows_of(each.fields, version))
    encoded = each.encode(values, version)
    assert each.decode(encoded, version) == values
    # librdkafka's mock brokers write a byte too much, and clients do not mind.
    assert each.decode(encoded + b"\5", version) == {**values, REST: b"\5"}
    assert each.encode({**values, REST: b"\5"}, version) == encoded + b"\5"


@pytest.mark.parametrize(("each", "newest"), ALL)
@settings(max_examples=15)
@given(data=st.binary(max_size=100))
def test_bytes_that_are_no_message_are_refused(each: Message, newest: int, data: bytes) -> None:
    try:
        values = each.decode(data, newest)
    except MalformedResponseError:
        return
    each.encode(values, newest)


def test_a_table_is_read_as_it_stands() -> None:
    made = message("Example", TABLE, flexible=2)
    assert made.encode({}, 0) == b"\xff\xff"
    assert made.encode({"Rows": [{}]}, 1) == b"\xff\xff\0\0\0\1\xff\xff"
    assert made.decode(made.encode({"Leader": {"Node": 7}}, 2), 2) == {
        "Name": None,
        "Rows": [],
        "Leader": {"Node": 7},
    }
    assert made.encode({"Numbers": [1]}, 3) == b"\0\2\0\0\0\1\0"


def test_tags_that_nobody_knows_are_passed_on() -> None:
    """A newer broker may say more than the proxy understands."""
    made = message("Example", TABLE, flexible=2)
    encoded = b"\0\1\2\0\5\0\0\0\7\0\5\1x"
    values = made.decode(encoded, 2)
    assert values[TAGS] == {5: b"x"}
    assert made.encode(values, 2) == encoded


def test_records_are_not_touched() -> None:
    answer = MESSAGES[PRODUCE].request
    rows = [{"Index": 0, "Records": b"\1" * 70_000}]
    values = {
        "TransactionalId": None,
        "Acks": -1,
        "TimeoutMs": 5,
        "TopicData": [{"Name": "orders", "PartitionData": rows}],
    }
    assert answer.decode(answer.encode(values, 9), 9) == values
