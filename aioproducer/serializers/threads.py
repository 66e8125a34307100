"""Serializers that take their time, on a thread."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable
from typing import Any, Generic, TypeVar, cast

from aioproducer.serializers.base import Buffer, SerializationContext, Serializer, SerializerOf

T = TypeVar("T")


class OnThread(Generic[T]):
    """What :func:`on_thread` returns."""

    def __init__(self, serializer: SerializerOf[T]) -> None:
        self._serializer: Any = serializer
        self._with_context = isinstance(serializer, Serializer)

    def serialize(self, value: T, context: SerializationContext) -> Awaitable[Buffer | None]:
        """Return what will be the answer. Cancelling lets the thread come to its end."""
        function = self._serializer.serialize if self._with_context else self._serializer
        arguments = (value, context) if self._with_context else (value,)
        run = contextvars.copy_context().run
        answer = asyncio.get_running_loop().run_in_executor(None, run, function, *arguments)
        return cast("Awaitable[Buffer | None]", answer)


def on_thread(serializer: SerializerOf[T]) -> OnThread[T]:
    """Have ``serializer``, which is slow and synchronous, run on a thread of the loop's executor.

    For what takes more than about a millisecond and releases the GIL meanwhile: encryption,
    compression. Records keep their order. A value must not be changed until its record is
    serialized; what the serializer shares between values has to bear several threads.
    """
    return OnThread(serializer)
