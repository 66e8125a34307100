"""JSON, with orjson and without: the same values and refusals, and the same bytes for keys."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import json
import sys
import uuid
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.serializers import JsonDeserializer, JsonSerializer, UnfitBytesError
from aioproducer.serializers.unfit import UnfitValueError

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)

values_without_fractions = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.fixture(params=["orjson", "the standard library"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name != "orjson":
        monkeypatch.setitem(sys.modules, "orjson", None)
    return name


def both() -> list[JsonSerializer[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        slow: JsonSerializer[Any] = JsonSerializer()
    quick: JsonSerializer[Any] = JsonSerializer()
    assert slow._dumps is None
    assert quick._dumps is not None
    return [slow, quick]


@given(plain_values)
def test_json_can_be_read_back(value: object) -> None:
    for serialize in both():
        assert json.loads(serialize(value)) == value


@given(values_without_fractions)
def test_the_bytes_are_the_same_with_orjson_and_without(value: object) -> None:
    """Fractions aside: how very small ones are spelled is left to the libraries."""
    slow, quick = both()
    assert quick(value) == slow(value)


def test_it_is_compact_and_plain(library: str) -> None:
    assert JsonSerializer()({"b": [1, 2], "a": "ö"}) == '{"b":[1,2],"a":"ö"}'.encode()


AMSTERDAM = datetime.timezone(datetime.timedelta(minutes=19, seconds=32))
ORDER_TIME = datetime.datetime(2026, 3, 1, 12, 30, 0, 4, tzinfo=datetime.UTC)


@dataclasses.dataclass
class Line:
    name: str
    price: decimal.Decimal
    _cached: int = 0


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Order:
    number: uuid.UUID
    at: datetime.datetime
    day: datetime.date
    lines: list[Line]
    colour: Colour


ORDER = Order(
    uuid.UUID("123e4567-e89b-12d3-a456-426614174000"),
    datetime.datetime(2026, 3, 1, 12, 30, tzinfo=datetime.UTC),
    datetime.date(2026, 3, 1),
    [Line("tea", decimal.Decimal("2.50"))],
    Colour.RED,
)


def test_dataclasses_dates_uuids_and_decimals_are_written(library: str) -> None:
    assert JsonSerializer()(ORDER) == (
        b'{"number":"123e4567-e89b-12d3-a456-426614174000","at":"2026-03-01T12:30:00+00:00",'
        b'"day":"2026-03-01","lines":[{"name":"tea","price":"2.50"}],"colour":"red"}'
    )


@dataclasses.dataclass
class Basket:
    items: list[int]

    @functools.cached_property
    def total(self) -> int:
        return sum(self.items)


def test_what_hangs_on_a_dataclass_beside_its_fields_is_not_written(library: str) -> None:
    basket = Basket([1, 2])
    assert basket.total == 3
    basket.session = "a secret"  # type: ignore[attr-defined]
    assert JsonSerializer()({"basket": basket}) == b'{"basket":{"items":[1,2]}}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime.datetime(1890, 1, 1, tzinfo=AMSTERDAM), "1890-01-01T00:00:00+00:19:32"),
        (ORDER_TIME, "2026-03-01T12:30:00.000004+00:00"),
        (datetime.date(2026, 3, 1), "2026-03-01"),
        (datetime.time(1, 2, 3), "01:02:03"),
    ],
)
def test_dates_are_iso_8601_to_the_second_of_the_offset(
    library: str, value: object, text: str
) -> None:
    assert JsonSerializer()(value) == f'"{text}"'.encode()


class Model(pydantic.BaseModel):
    name: str
    at: datetime.datetime
    price: decimal.Decimal


class Struct(msgspec.Struct, rename="camel"):
    full_name: str
    tags: set[str]


def test_models_are_written_as_their_makers_do(library: str) -> None:
    model = Model(name="tea", at=ORDER.at, price=decimal.Decimal("2.50"))
    struct = Struct(full_name="tea", tags={"hot"})
    data = JsonSerializer()({"model": model, "struct": struct})
    assert json.loads(data) == {
        "model": json.loads(model.model_dump_json()),
        "struct": json.loads(msgspec.json.encode(struct)),
    }


def test_what_orjson_cannot_is_written_all_the_same(library: str) -> None:
    assert JsonSerializer()({1: 2**70}) == b'{"1":1180591620717411303424}'


@given(plain_values)
def test_a_deterministic_one_writes_the_same_with_and_without_orjson(value: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        without = JsonSerializer(deterministic=True)(value)
    assert JsonSerializer(deterministic=True)(value) == without


def test_a_deterministic_one_sorts_names(library: str) -> None:
    serialize: JsonSerializer[Any] = JsonSerializer(deterministic=True)
    assert serialize({"b": 1, "a": 1e16}) == serialize({"a": 1e16, "b": 1}) == b'{"a":1e+16,"b":1}'


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "neither NaN nor Infinity"),
        ([1, {"a": float("inf")}], "neither NaN nor Infinity"),
        ({1, 2}, "JSON has no set"),
        (object(), "JSON has no object"),
        ("\ud800", "half a character"),
        ({(1, 2): 3}, "a key of a dict is no text"),
    ],
)
def test_what_json_cannot_say_is_refused(value: object, words: str, library: str) -> None:
    with pytest.raises(UnfitValueError, match=words):
        JsonSerializer()(value)


def test_what_contains_itself_is_refused(library: str) -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(UnfitValueError, match="it contains itself"):
        JsonSerializer()(value)


def test_null_inside_is_no_reason_to_refuse(library: str) -> None:
    assert JsonSerializer()({"a": None}) == b'{"a":null}'


def test_own_types_are_asked_for_a_plain_value(library: str) -> None:
    serialize: JsonSerializer[Any] = JsonSerializer(default=lambda value: sorted(value))
    assert serialize({"tags": {"b", "a"}}) == b'{"tags":["a","b"]}'


def test_it_is_read_back() -> None:
    assert JsonDeserializer()(b'{"a":1}') == {"a": 1}
    assert JsonDeserializer()(None) is None
    read = JsonDeserializer(lambda found: Line(found["name"], decimal.Decimal(found["price"])))
    assert read(b'{"name":"tea","price":"2.50"}') == Line("tea", decimal.Decimal("2.50"))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"secret"])
def test_what_is_no_json_is_told_without_its_bytes(data: bytes) -> None:
    with pytest.raises(UnfitBytesError, match="no JSON") as caught:
        JsonDeserializer()(data)
    assert "secret" not in str(caught.value)
