"""From a value to the bytes of a key or a value."""

from aioproducer.serializers.base import (
    SerializationContext,
    Serializer,
    SerializerOf,
    resolve_serializer,
)
from aioproducer.serializers.builtin import (
    BytesSerializer,
    JsonSerializer,
    StringSerializer,
)

__all__ = [
    "BytesSerializer",
    "JsonSerializer",
    "SerializationContext",
    "Serializer",
    "SerializerOf",
    "StringSerializer",
    "resolve_serializer",
]
