"""The public names of the package, and what it does not import before it is asked."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from aioproducer import serializers

_OPTIONAL = (
    "attrs, confluent_kafka, fastavro, google, httpx, httpx2, jsonschema, msgspec, orjson, pydantic"
)


@pytest.mark.parametrize("name", serializers.__all__)
def test_every_name_is_there_and_described(name: str) -> None:
    public = getattr(serializers, name)
    if inspect.isclass(public) or inspect.isfunction(public):
        assert inspect.getdoc(public)
        assert public.__name__ == name


def test_they_are_sorted_and_others_are_not_there() -> None:
    assert list(serializers.__all__) == sorted(serializers.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'ThriftSerializer'"):
        _ = serializers.ThriftSerializer


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("aioproducer", f"{_OPTIONAL}, decimal, uuid, aioproducer.serializers.avro"),
        ("aioproducer.serializers.avro", _OPTIONAL),
        ("aioproducer.serializers.protobuf", _OPTIONAL),
        ("aioproducer.serializers.json_schema", _OPTIONAL),
    ],
)
def test_nothing_is_imported_before_it_is_used(imported: str, absent: str) -> None:
    program = (
        f"import sys, {imported}\n"
        f"print([name for name in {absent.split(', ')!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=250
    )
    assert done.stdout.strip() == "[]"
