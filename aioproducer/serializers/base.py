"""What a serializer is, and how the producer calls it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

from aioproducer.checks import check_headers
from aioproducer.config_table import KAFKA_CLASSES
from aioproducer.errors import ConfigurationError, SerializationError
from aioproducer.records import Header
from aioproducer.runtime.serializing import Answer
from aioproducer.serializers.builtin import BY_NAME, BytesSerializer, make_named
from aioproducer.serializers.unfit import UnfitValueError

Buffer = bytes | bytearray | memoryview
Field = Literal["key", "value"]
Bytes = Buffer | None | Awaitable[Buffer | None]
"""What a serializer returns: a buffer, ``None`` for null, or either to be awaited."""


@dataclasses.dataclass(slots=True)
class SerializationContext:
    """What a serializer may want to know beside the value, and what it may tell."""

    topic: str
    field: Field
    headers: Sequence[Header] = ()
    added: list[Header] = dataclasses.field(default_factory=list, compare=False, repr=False)
    trouble: Callable[[], BaseException | None] | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    """May be set by a serializer that answers later: what it cannot go on for, to be named in the
    error of a record that waited in vain."""

    def add_header(self, name: str, value: Buffer | None) -> None:
        """Have the record carry one more header, behind its own.

        Raises :exc:`UnfitValueError` for what is no header; the record's error then says so.
        """
        try:
            checked = check_headers(((name, value),))
            name.encode()
        except UnicodeEncodeError:
            raise UnfitValueError("half a character in a header's key") from None
        except TypeError as error:
            raise UnfitValueError(str(error)) from None
        self.added += checked

    def why(self) -> BaseException | None:
        """Return what the serializer cannot go on for, if it has said so."""
        return None if self.trouble is None else self.trouble()


@runtime_checkable
class Serializer(Protocol):
    """A serializer that wants to know the topic; a plain callable does too if it need not."""

    def serialize(self, value: Any, context: SerializationContext) -> Bytes:
        """Return the bytes of ``value``, or ``None`` for a null key or a tombstone.

        An awaitable of that is waited for, while the record keeps its place.
        """


T_contra = TypeVar("T_contra", contravariant=True)


class ContextSerializer(Protocol[T_contra]):
    """A :class:`Serializer` of values of one type, for type checkers."""

    def serialize(self, value: T_contra, context: SerializationContext, /) -> Bytes:
        """Return the bytes of ``value``."""


T = TypeVar("T")
SerializerOf = Callable[[T], Bytes] | ContextSerializer[T]
"""What serializes values of type T: a callable, or an object with ``serialize()``."""

Serialize = Callable[[Any, str, Sequence[Header]], Buffer | Answer | None]


def resolve_serializer(given: object, field: Field) -> Serialize | None:
    """Return how to serialize a ``field``, ``None`` for buffers that are taken as they are.

    ``given`` is a name, a callable ``(value) -> bytes | None`` or a :class:`Serializer`; either may
    answer with an awaitable. Raises :exc:`ConfigurationError` for anything else. ``None``, a null
    key or a tombstone, never reaches a serializer.
    """
    if isinstance(given, str):
        given = named_serializer(given, f"{field}_serializer")
    if given is None or isinstance(given, BytesSerializer):
        return None
    if isinstance(given, Serializer):
        return _with_context(given, field)
    if callable(given):
        return _plain(cast("Callable[[Any], Bytes]", given), field)
    raise ConfigurationError(
        f"{field}_serializer must be a name, a callable or have a serialize() method,"
        f" not {type(given).__name__}"
    )


def named_serializer(name: str, what: str = "serializer") -> Callable[[Any], Buffer | None]:
    """Return the serializer of a short name or of Kafka's own class; raises ConfigurationError."""
    serializer = make_named(KAFKA_CLASSES.get(name, name))
    if serializer is None:
        raise ConfigurationError(f"{what}={name!r} is unknown; there are {', '.join(BY_NAME)}")
    return serializer


def _with_context(serializer: Serializer, field: Field) -> Serialize:
    serialize_with = serializer.serialize

    def serialize(value: Any, topic: str, headers: Sequence[Header]) -> Buffer | Answer | None:
        if value is None:
            return None
        context = SerializationContext(topic, field, headers)
        try:
            answer = serialize_with(value, context)
            if answer.__class__ is bytes and not context.added:
                return answer
            return _checked(answer, value, context)
        except Exception as error:
            # The user's code may raise anything; it fails this record alone.
            raise _failure(field, topic, value, error) from error

    return serialize


def _plain(function: Callable[[Any], Bytes], field: Field) -> Serialize:
    def serialize(value: Any, topic: str, headers: Sequence[Header]) -> Buffer | Answer | None:
        if value is None:
            return None
        try:
            answer = function(value)
            if answer.__class__ is bytes:
                return answer
            return _checked(answer, value, SerializationContext(topic, field, headers))
        except Exception as error:
            # The user's code may raise anything; it fails this record alone.
            raise _failure(field, topic, value, error) from error

    return serialize


def _checked(
    answer: object, value: object, context: SerializationContext
) -> Buffer | Answer | None:
    """Return ``answer`` if it is one, wrapped where it is more than bytes."""
    is_buffer = answer is None or isinstance(answer, (bytes, bytearray, memoryview))
    if is_buffer and not context.added:
        return cast("Buffer | None", answer)
    if not is_buffer and not inspect.isawaitable(answer):
        raise UnfitValueError(f"the serializer returned {type(answer).__name__} instead of bytes")

    def to_error(error: Exception) -> SerializationError:
        return _failure(context.field, context.topic, value, error)

    return Answer(answer, context.added, to_error, context.why)


def _failure(field: Field, topic: str, value: object, error: Exception) -> SerializationError:
    if isinstance(error, SerializationError):
        error.topic = topic
        return error
    # The value may be a secret, and errors of others quote it: they stay the cause.
    words = str(error) if isinstance(error, UnfitValueError) else type(error).__name__
    failure = SerializationError(
        f"the {field} ({type(value).__name__}) could not be serialized: {words}", topic=topic
    )
    failure.__cause__ = error
    return failure
