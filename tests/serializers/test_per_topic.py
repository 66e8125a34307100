"""A serializer for each topic."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer.errors import ConfigurationError, SerializationError
from aioproducer.runtime.serializing import Answer
from aioproducer.serializers import PerTopic, SerializationContext, resolve_serializer


class Tagging:
    def serialize(self, value: str, context: SerializationContext) -> bytes:
        context.add_header("tag", context.field.encode())
        return f"{context.topic}:{value}".encode()


async def later(value: str) -> bytes:
    return b"later"


def serialize(given: object, value: object, topic: str) -> Any:
    function = resolve_serializer(given, "value")
    assert function is not None
    return function(value, topic, ())


def test_each_topic_has_its_own() -> None:
    given: PerTopic[Any] = PerTopic(
        {"names": "string", "counts": "long", "java": str.encode}, default="json"
    )
    assert serialize(given, "v", "names") == b"v"
    assert serialize(given, 1, "counts") == b"\0\0\0\0\0\0\0\1"
    assert serialize(given, "v", "java") == b"v"
    assert serialize(given, [1], "any") == b"[1]"


def test_headers_and_answers_to_come_go_through() -> None:
    given: PerTopic[Any] = PerTopic({"tagged": Tagging(), "slow": later})
    tagged, slow = serialize(given, "v", "tagged"), serialize(given, "v", "slow")
    assert isinstance(tagged, Answer)
    assert (tagged.now("value"), tagged.headers) == (b"tagged:v", [("tag", b"value")])
    assert isinstance(slow, Answer)
    assert asyncio.run(_awaited(slow)) == b"later"


async def _awaited(answer: Answer) -> object:
    return await answer.later("value")


def test_a_topic_that_nobody_thought_of_is_told() -> None:
    given: PerTopic[Any] = PerTopic({"orders": "json", "audit": "string"})
    with pytest.raises(SerializationError, match="no serializer is set for this topic") as caught:
        serialize(given, "v", "oders")
    assert "orders, audit" in str(caught.value)
    assert caught.value.topic == "oders"


@pytest.mark.parametrize("given", ["avrö", 5])
def test_what_is_no_serializer_is_refused_when_it_is_made(given: Any) -> None:
    with pytest.raises(ConfigurationError):
        PerTopic({"orders": given})
