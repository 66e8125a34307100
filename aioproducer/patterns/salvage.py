"""What can be kept of a record that failed: its bytes where there are any, else a picture."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from aioproducer import (
    AsyncProducer,
    Header,
    ProducerError,
    SerializationError,
    SerializerNotReadyError,
    SerializerTimeoutError,
)
from aioproducer.patterns.letters import shown

logger = logging.getLogger("aioproducer")

LONGEST = 5.0
"""Seconds that serializers have to make the bytes of a dead letter."""


class Given(NamedTuple):
    """What ``send()`` was given, and when, in seconds since 1970."""

    value: Any
    key: Any
    partition: int | None
    timestamp_ms: int | None
    headers: Sequence[Header]
    sent_at: float

    def copied(self) -> Given:
        """Return it with copies of buffers, which their owner may use again."""
        if isinstance(self.value, (bytearray, memoryview)):
            return self._replace(value=bytes(self.value)).copied()
        if isinstance(self.key, (bytearray, memoryview)):
            return self._replace(key=bytes(self.key))
        return self


def fixed(headers: Sequence[Header] | None) -> Sequence[Header]:
    """Return headers as they are now, whatever their owner does with them later."""
    if headers is None:
        return ()
    try:
        return headers if headers.__class__ is tuple else tuple(headers)
    except TypeError:
        # The producer says what is wrong with them.
        return headers


class Salvaged(NamedTuple):
    """The bytes of a key and a value, and in which form they are if they are not those sent."""

    key: bytes | None
    key_form: str
    value: bytes | None
    value_form: str
    headers: tuple[Header, ...]


async def salvage(
    producer: AsyncProducer[Any, Any],
    topic: str,
    given: Given,
    error: ProducerError,
    *,
    asks: bool = True,
) -> Salvaged:
    """Return what can be kept, asking the serializers again unless they are what was waited for.

    Without ``asks`` they are not asked at all, and this never waits.
    """
    config = producer.config
    headers = tuple(given.headers)
    plain = config.key_serializer is None and config.value_serializer is None
    hung = isinstance(error, SerializerTimeoutError | SerializerNotReadyError)
    if plain or hung or not asks:
        key, key_form = shown(given.key)
        value, value_form = shown(given.value)
        # Bytes that a serializer was to make something of are not what was to be sent.
        if config.key_serializer is not None and key is not None:
            key_form = key_form or "bytes"
        if config.value_serializer is not None and value is not None:
            value_form = value_form or "bytes"
        return Salvaged(key, key_form, value, value_form, headers)
    if not isinstance(error, SerializationError):
        try:
            async with asyncio.timeout(LONGEST):
                record = await producer.serialize(
                    topic, given.value, key=given.key, headers=given.headers
                )
            return Salvaged(record.key, "", record.value, "", tuple(record.headers))
        except Exception as failure:  # noqa: BLE001 - a user's serializer may raise anything
            logger.debug("no bytes for a dead letter of %s: %r", topic, failure)
    # Each alone: one of them may be well.
    key, key_form = await _part(producer, topic, given, "key")
    value, value_form = await _part(producer, topic, given, "value")
    return Salvaged(key, key_form, value, value_form, headers)


async def _part(
    producer: AsyncProducer[Any, Any], topic: str, given: Given, name: str
) -> tuple[bytes | None, str]:
    part = given.key if name == "key" else given.value
    if part is None:
        return None, ""
    try:
        async with asyncio.timeout(LONGEST):
            if name == "key":
                record = await producer.serialize(topic, None, key=part, headers=given.headers)
                return record.key, ""
            record = await producer.serialize(topic, part, headers=given.headers)
            return record.value, ""
    except Exception:  # noqa: BLE001 - a serializer of the user's may raise anything
        kept, form = shown(part)
        return kept, form or "bytes"
