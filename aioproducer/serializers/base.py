"""What a serializer is, and how the producer calls it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

from aioproducer.errors import ConfigurationError, SerializationError
from aioproducer.records import Header
from aioproducer.serializers.builtin import BytesSerializer, JsonSerializer, StringSerializer

Buffer = bytes | bytearray | memoryview
Field = Literal["key", "value"]


@dataclass(frozen=True, slots=True)
class SerializationContext:
    """What a serializer may want to know beside the value."""

    topic: str
    field: Field
    headers: Sequence[Header] = ()


@runtime_checkable
class Serializer(Protocol):
    """A serializer that wants to know the topic; a plain callable does too if it need not."""

    def serialize(self, value: Any, context: SerializationContext) -> Buffer | None:
        """Return the bytes of ``value``, or ``None`` for a null key or a tombstone."""


T_contra = TypeVar("T_contra", contravariant=True)


class ContextSerializer(Protocol[T_contra]):
    """A :class:`Serializer` of values of one type, for type checkers."""

    def serialize(self, value: T_contra, context: SerializationContext, /) -> Buffer | None:
        """Return the bytes of ``value``."""


T = TypeVar("T")
SerializerOf = Callable[[T], Buffer | None] | ContextSerializer[T]
"""What serializes values of type T: a callable, or an object with ``serialize()``."""

Serialize = Callable[[Any, str, Sequence[Header]], Buffer | None]

_BY_NAME: dict[str, Callable[[], Callable[[Any], Buffer | None] | None]] = {
    "bytes": lambda: None,
    "string": StringSerializer,
    "json": JsonSerializer,
    "org.apache.kafka.common.serialization.ByteArraySerializer": lambda: None,
    "org.apache.kafka.common.serialization.StringSerializer": StringSerializer,
}


def resolve_serializer(given: object, field: Field) -> Serialize | None:
    """Return how to serialize a ``field``, ``None`` for buffers that are taken as they are.

    ``given`` is a name, a callable ``(value) -> bytes | None`` or a :class:`Serializer`. Raises
    :exc:`ConfigurationError` for anything else. ``None``, a null key or a tombstone, never reaches
    a serializer.
    """
    if isinstance(given, str):
        if given not in _BY_NAME:
            raise ConfigurationError(
                f"{field}_serializer={given!r} is unknown; there are {', '.join(_BY_NAME)}"
            )
        given = _BY_NAME[given]()
    if given is None or isinstance(given, BytesSerializer):
        return None
    if isinstance(given, Serializer):
        return _with_context(given, field)
    if callable(given):
        return _plain(cast("Callable[[Any], Buffer | None]", given), field)
    raise ConfigurationError(
        f"{field}_serializer must be a name, a callable or have a serialize() method,"
        f" not {type(given).__name__}"
    )


def _with_context(serializer: Serializer, field: Field) -> Serialize:
    def serialize(value: Any, topic: str, headers: Sequence[Header]) -> Buffer | None:
        if value is None:
            return None
        context = SerializationContext(topic, field, headers)
        try:
            return _checked(serializer.serialize(value, context))
        except Exception as error:
            # The user's code may raise anything; it fails this record alone.
            raise _failure(field, topic, error) from error

    return serialize


def _plain(function: Callable[[Any], Buffer | None], field: Field) -> Serialize:
    def serialize(value: Any, topic: str, headers: Sequence[Header]) -> Buffer | None:
        if value is None:
            return None
        try:
            return _checked(function(value))
        except Exception as error:
            # The user's code may raise anything; it fails this record alone.
            raise _failure(field, topic, error) from error

    return serialize


def _checked(answer: object) -> Buffer | None:
    if answer is None or isinstance(answer, (bytes, bytearray, memoryview)):
        return answer
    raise TypeError(f"the serializer returned {type(answer).__name__} instead of bytes")


def _failure(field: Field, topic: str, error: Exception) -> SerializationError:
    # The value itself may be a secret: only its error is told.
    failure = SerializationError(f"the {field} could not be serialized: {error}", topic=topic)
    failure.__cause__ = error
    return failure
