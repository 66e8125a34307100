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
from aioproducer.serializers.threads import OnThread, on_thread
from aioproducer.serializers.unfit import UnfitValueError

__all__ = [
    "BytesSerializer",
    "JsonSerializer",
    "OnThread",
    "SerializationContext",
    "Serializer",
    "SerializerOf",
    "StringSerializer",
    "UnfitValueError",
    "on_thread",
    "resolve_serializer",
]
