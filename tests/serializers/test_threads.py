"""Serializers on a thread."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from aioproducer.serializers import SerializationContext, on_thread

_request = contextvars.ContextVar("request", default="none")
_CONTEXT = SerializationContext("orders", "value")


async def _awaited(serializer: Any, value: object) -> object:
    return await serializer.serialize(value, _CONTEXT)


def test_the_loop_goes_on_while_it_works() -> None:
    seen: list[threading.Thread] = []
    release = threading.Event()

    def slow(value: bytes) -> bytes:
        seen.append(threading.current_thread())
        assert release.wait(120)
        return value

    async def main() -> None:
        answer = asyncio.ensure_future(_awaited(on_thread(slow), b"v"))
        while not seen:
            await asyncio.sleep(0.001)
        release.set()
        assert await answer == b"v"

    asyncio.run(main())
    assert seen[0] is not threading.main_thread()


def test_it_sees_the_context_variables_of_its_sender() -> None:
    async def main() -> None:
        _request.set("r1")
        assert await _awaited(on_thread(lambda value: _request.get().encode()), 1) == b"r1"

    asyncio.run(main())


def test_an_object_is_told_its_context() -> None:
    class Own:
        def serialize(self, value: int, context: SerializationContext) -> bytes:
            return f"{context.topic} {context.field} {value}".encode()

    assert asyncio.run(_awaited(on_thread(Own()), 7)) == b"orders value 7"


def test_what_it_raises_arrives() -> None:
    def fall_over(value: int) -> bytes:
        raise KeyError("field")

    with pytest.raises(KeyError):
        asyncio.run(_awaited(on_thread(fall_over), 7))
