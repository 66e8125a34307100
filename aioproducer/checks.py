"""Misuse of ``send()`` that is known at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from aioproducer.records import Header

Buffer = bytes | bytearray | memoryview

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_LARGEST_PARTITION = 2**31 - 1
_LARGEST_TIMESTAMP = 2**63 - 1


def check_topic(topic: object) -> str:
    """Return ``topic`` if Kafka allows it as a name, else raise."""
    if not isinstance(topic, str):
        raise TypeError(f"topic must be str, not {type(topic).__name__}")
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise ValueError(
            f"{topic!r} is no topic name: 1 to 249 of the characters a-z A-Z 0-9 . _ -,"
            " and neither '.' nor '..'"
        )
    # Of a subclass of str, an enumeration's member say, what it is made of: its own str() may be
    # something else.
    return str.__str__(topic)


def check_topics(topics: Iterable[object]) -> list[str]:
    """Return ``topics`` as names if Kafka allows them all, else raise; a ``str`` is one name."""
    # Its letters would be names too: of topics to be created, or deleted.
    return [check_topic(topic) for topic in ((topics,) if isinstance(topics, str) else topics)]


def check_partition(partition: object) -> None:
    """Raise unless ``partition`` is an index or ``None``."""
    if partition is None:
        return
    if type(partition) is not int:
        raise TypeError(f"partition must be int or None, not {type(partition).__name__}")
    if not 0 <= partition <= _LARGEST_PARTITION:
        fault = "must not be negative" if partition < 0 else f"must be at most {_LARGEST_PARTITION}"
        raise ValueError(f"partition {fault}: {partition}")


def check_timestamp(timestamp_ms: object) -> None:
    """Raise unless ``timestamp_ms`` is a time in milliseconds since 1970 or ``None``."""
    if timestamp_ms is None:
        return
    if type(timestamp_ms) is not int:
        raise TypeError(f"timestamp_ms must be int or None, not {type(timestamp_ms).__name__}")
    if not 0 <= timestamp_ms <= _LARGEST_TIMESTAMP:
        raise ValueError(f"timestamp_ms must be milliseconds since 1970: {timestamp_ms}")


def check_headers(headers: Any) -> Sequence[Header]:
    """Return ``headers`` as pairs of str and bytes or ``None``, else raise."""
    checked: list[Header] = []
    try:
        if isinstance(headers, dict):
            raise TypeError  # its keys might pass for pairs
        pairs = iter(headers)
    except TypeError:
        raise TypeError(
            f"headers must be a sequence of pairs, [(key, value), ...], not"
            f" {type(headers).__name__}"
        ) from None
    for header in pairs:
        try:
            key, value = header
        except (TypeError, ValueError):
            raise TypeError(f"a header is a pair of key and value, not {header!r}") from None
        if not isinstance(key, str):
            raise TypeError(f"a header's key must be str, not {type(key).__name__}")
        if value is not None and not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"the value of header {key!r} must be bytes or None, not {type(value).__name__}"
            )
        checked.append((key, None if value is None else bytes(value)))
    return checked


def check_timeout(timeout: object) -> None:
    """Raise unless ``timeout`` is a number of seconds from 0 on, or ``None``."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout must not be negative: {timeout}")


def check_options(
    partition: object, timestamp_ms: object, headers: Sequence[Header] | None
) -> Sequence[Header]:
    """Check what most records do not have; return the headers as they will be encoded."""
    check_partition(partition)
    check_timestamp(timestamp_ms)
    return () if headers is None else check_headers(headers)


def as_buffer(value: object, field: str) -> Buffer:
    """Return ``value`` as a buffer whose length is its size in bytes, else raise."""
    if isinstance(value, (bytes, bytearray)):
        return value
    if isinstance(value, memoryview):
        return value.cast("B") if value.c_contiguous else value.tobytes()
    raise TypeError(
        f"{field} must be bytes, bytearray, memoryview or None, not {type(value).__name__};"
        f" give a {field}_serializer for other types"
    )
