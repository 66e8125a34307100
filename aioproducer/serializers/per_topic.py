"""One producer for several topics: which serializer a topic has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from aioproducer.errors import ConfigurationError
from aioproducer.serializers.base import (
    Bytes,
    SerializationContext,
    Serializer,
    SerializerOf,
    named_serializer,
)
from aioproducer.serializers.unfit import UnfitValueError

T = TypeVar("T")


class PerTopic(Generic[T]):
    """Serializes by topic: ``PerTopic({"orders": orders, "audit": "json"})``.

    Each is what ``value_serializer`` takes. A topic that is not named has the ``default``; without
    one its records fail, so that nothing gets into a topic that nobody thought of. Raises
    :exc:`ConfigurationError` for what is no serializer.
    """

    def __init__(
        self,
        serializers: Mapping[str, SerializerOf[Any] | str],
        default: SerializerOf[Any] | str | None = None,
    ) -> None:
        self._by_topic = {topic: _caller(given) for topic, given in serializers.items()}
        self._default = None if default is None else _caller(default)

    def serialize(self, value: T, context: SerializationContext) -> Bytes:
        """Return what the serializer of the topic makes of ``value``."""
        serialize = self._by_topic.get(context.topic, self._default)
        if serialize is None:
            raise UnfitValueError(
                "no serializer is set for this topic; there are some for"
                f" {', '.join(self._by_topic) or 'none'}"
            )
        return serialize(value, context)


def _caller(given: object) -> Callable[[Any, SerializationContext], Bytes]:
    serializer = named_serializer(given) if isinstance(given, str) else given
    if isinstance(serializer, Serializer):
        return serializer.serialize
    if callable(serializer):
        return lambda value, context: serializer(value)
    raise ConfigurationError(
        f"a serializer must be a name, a callable or have a serialize() method, not"
        f" {type(given).__name__}"
    )
