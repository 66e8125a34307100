"""What is kept of records whose serializers refuse, hang or answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer import AsyncProducer, ProducerError, SerializationError, SerializerTimeoutError
from aioproducer.patterns.salvage import Given, Salvaged, salvage

HEADERS = (("h", b"v"),)


def given(value: Any, key: Any = None) -> Given:
    return Given(value, key, None, None, HEADERS, 0.0)


async def kept(error: ProducerError, value: Any, key: Any = None, **options: Any) -> Salvaged:
    producer: AsyncProducer[Any, Any] = AsyncProducer("h:1", **options)
    return await salvage(producer, "t", given(value, key), error)


async def test_without_serializers_bytes_are_bytes() -> None:
    assert await kept(ProducerError(), b"v", b"k") == (b"k", "", b"v", "", HEADERS)


async def test_a_serializer_gives_the_bytes_again_and_its_headers() -> None:
    class Marked:
        def serialize(self, value: str, context: Any) -> bytes:
            context.add_header("form", b"1")
            return value.encode()

    found = await kept(
        ProducerError(), "v", "k", key_serializer="string", value_serializer=Marked()
    )
    assert found == (b"k", "", b"v", "", (*HEADERS, ("form", b"1")))


async def test_nothing_stays_nothing() -> None:
    found = await kept(SerializationError(), None, None, value_serializer="string")
    assert found == (None, "", None, "", HEADERS)


async def test_one_that_hangs_now_is_given_up() -> None:
    async def never(value: object) -> bytes:
        await asyncio.sleep(10_000)
        return b""

    found = await kept(ProducerError(), [1], "k", key_serializer="string", value_serializer=never)
    assert found == (b"k", "", b"[1]", "json", HEADERS)


async def test_one_that_did_not_answer_is_not_asked() -> None:
    async def never(value: object) -> bytes:
        raise AssertionError("asked again")

    found = await kept(
        SerializerTimeoutError(), b"v", b"k", value_serializer=never, key_serializer=never
    )
    assert found == (b"k", "bytes", b"v", "bytes", HEADERS)


@pytest.mark.parametrize("buffer", [bytearray(b"v"), memoryview(b"v")], ids=["bytearray", "view"])
def test_buffers_are_copied(buffer: Any) -> None:
    copied = given(buffer, buffer).copied()
    assert (copied.value, copied.key) == (b"v", b"v")
    assert type(copied.value) is type(copied.key) is bytes
    plain = given(b"v", b"k")
    assert plain.copied() is plain
