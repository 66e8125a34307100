"""Dead letters: what a record was, why it failed, and the headers that say so."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aioproducer import Header, ProducerError, Record
from aioproducer.errors import Persisted

ORIGINAL_TOPIC = "original.topic"
ORIGINAL_PARTITION = "original.partition"
PARTITION_FIXED = "original.partition.fixed"
ORIGINAL_TIMESTAMP = "original.timestamp"
KEY_FORM = "original.key.form"
VALUE_FORM = "original.value.form"
FAILURE_TIMESTAMP = "failure.timestamp"
FAILURE_REASON = "failure.reason"
FAILURE_CLASS = "failure.class"
FAILURE_PERSISTED = "failure.persisted"

_LONGEST_REASON = 2_000
_UNKNOWN_PARTITION = -1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that finally failed, and why.

    ``record`` is the record as it was to be sent, in bytes; its ``partition`` is set only where
    the sender chose one. ``partition`` is where it was to go, if that was known. ``key_form`` and
    ``value_form`` are empty where those are the bytes to send; where a serializer refused, they say
    how the bytes show what it was given: ``"utf-8"``, ``"json"`` or ``"repr"``.
    """

    record: Record[bytes, bytes]
    partition: int | None
    failed_at_ms: int
    reason: str
    failure_class: str
    persisted: Persisted = "no"
    key_form: str = ""
    value_form: str = ""

    @property
    def is_sendable(self) -> bool:
        """Whether its bytes are those that were to be sent."""
        return not self.key_form and not self.value_form


def letter_of(
    record: Record[bytes, bytes],
    partition: int | None,
    error: ProducerError,
    failed_at_ms: int,
    *,
    key_form: str = "",
    value_form: str = "",
) -> DeadLetter:
    """Return the dead letter of a record that failed with ``error``."""
    reason = str(error)
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + "..."
    return DeadLetter(
        record, partition, failed_at_ms, reason, type(error).__name__, error.persisted,
        key_form, value_form,
    )  # fmt: skip


def shown(given: Any) -> tuple[bytes | None, str]:
    """Return what can be kept of something that has no bytes of its own, and in which form.

    Bytes stay bytes, with an empty form. Text is UTF-8. What JSON can hold without loss is JSON;
    of everything else there is only what ``repr()`` says.
    """
    if given is None:
        return None, ""
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given), ""
    if isinstance(given, str):
        return given.encode("utf-8", "backslashreplace"), "utf-8"
    try:
        text = json.dumps(given, ensure_ascii=False)
        if json.loads(text) == given:
            return text.encode(), "json"
    except Exception:  # noqa: BLE001 - the user's own __eq__ may raise anything
        pass
    try:
        return repr(given).encode("utf-8", "backslashreplace"), "repr"
    except Exception as error:  # noqa: BLE001 - the user's own repr may raise anything
        words = f"<{type(given).__name__}, whose repr() raised {type(error).__name__}>"
        return words.encode(), "repr"


def to_record(letter: DeadLetter, topic: str) -> Record[bytes, bytes]:
    """Return the record that carries ``letter`` in a dead-letter topic.

    Its time is that of the failure: an old one could be deleted at once, or refused.
    """
    original = letter.record
    placed = _UNKNOWN_PARTITION if letter.partition is None else letter.partition
    told = [(ORIGINAL_TOPIC, original.topic), (ORIGINAL_PARTITION, str(placed))]
    if original.partition is not None:
        told.append((PARTITION_FIXED, "true"))
    if original.timestamp_ms is not None:
        told.append((ORIGINAL_TIMESTAMP, str(original.timestamp_ms)))
    if letter.key_form:
        told.append((KEY_FORM, letter.key_form))
    if letter.value_form:
        told.append((VALUE_FORM, letter.value_form))
    told += [
        (FAILURE_TIMESTAMP, str(letter.failed_at_ms)),
        (FAILURE_REASON, letter.reason),
        (FAILURE_CLASS, letter.failure_class),
        (FAILURE_PERSISTED, letter.persisted),
    ]
    ours = [(name, text.encode("utf-8", "backslashreplace")) for name, text in told]
    return Record(
        topic, original.value, original.key, None, letter.failed_at_ms, (*original.headers, *ours)
    )


def from_record(
    value: bytes | None, key: bytes | None, headers: Iterable[Header]
) -> DeadLetter | None:
    """Return the letter that a record of a dead-letter topic carries; ``None`` if it is none.

    The record's own headers may have the same names: ours are the last.
    """
    given = list(headers)
    names = [name for name, _ in given]
    if ORIGINAL_TOPIC not in names:
        return None
    first = len(names) - 1 - names[::-1].index(ORIGINAL_TOPIC)
    told = {name: (text or b"").decode("utf-8", "replace") for name, text in given[first:]}
    try:
        placed = int(told.get(ORIGINAL_PARTITION) or _UNKNOWN_PARTITION)
        failed_at_ms = int(told.get(FAILURE_TIMESTAMP) or 0)
        time = told.get(ORIGINAL_TIMESTAMP)
        timestamp_ms = int(time) if time else None
    except ValueError:
        return None
    partition = None if placed < 0 else placed
    record = Record(
        told[ORIGINAL_TOPIC], value, key, partition if told.get(PARTITION_FIXED) else None,
        timestamp_ms, tuple(given[:first]),
    )  # fmt: skip
    return DeadLetter(
        record, partition, failed_at_ms, told.get(FAILURE_REASON, ""), told.get(FAILURE_CLASS, ""),
        fate(told.get(FAILURE_PERSISTED, "maybe")),
        told.get(KEY_FORM, ""), told.get(VALUE_FORM, ""),
    )  # fmt: skip


def fate(text: str) -> Persisted:
    """Return what a letter says of its record's fate; "maybe" for what makes no sense."""
    known: dict[str, Persisted] = {"no": "no", "yes": "yes"}
    return known.get(text, "maybe")
