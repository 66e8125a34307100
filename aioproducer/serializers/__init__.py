"""From a value to the bytes of a key or a value, and back.

Nothing but what the producer itself needs is imported before it is asked for. What needs a
package of its own (Avro, Protobuf, JSON Schema, a schema registry) says what to install.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aioproducer.serializers.base import (
    SerializationContext,
    Serializer,
    SerializerOf,
    resolve_serializer,
)
from aioproducer.serializers.builtin import BytesSerializer, StringDeserializer, StringSerializer
from aioproducer.serializers.unfit import UnfitBytesError, UnfitValueError

if TYPE_CHECKING:
    from aioproducer.serializers.avro import AvroDeserializer, AvroSerializer
    from aioproducer.serializers.json_schema import JsonSchemaDeserializer, JsonSchemaSerializer
    from aioproducer.serializers.json_values import JsonDeserializer, JsonSerializer
    from aioproducer.serializers.numbers import (
        BooleanDeserializer,
        BooleanSerializer,
        DoubleDeserializer,
        DoubleSerializer,
        FloatDeserializer,
        FloatSerializer,
        IntegerDeserializer,
        IntegerSerializer,
        LongDeserializer,
        LongSerializer,
        ShortDeserializer,
        ShortSerializer,
        UuidDeserializer,
        UuidSerializer,
    )
    from aioproducer.serializers.per_topic import PerTopic
    from aioproducer.serializers.protobuf import ProtobufDeserializer, ProtobufSerializer
    from aioproducer.serializers.schema_registry import SchemaReference, SchemaRegistry
    from aioproducer.serializers.threads import OnThread, on_thread

__all__ = [
    "AvroDeserializer",
    "AvroSerializer",
    "BooleanDeserializer",
    "BooleanSerializer",
    "BytesSerializer",
    "DoubleDeserializer",
    "DoubleSerializer",
    "FloatDeserializer",
    "FloatSerializer",
    "IntegerDeserializer",
    "IntegerSerializer",
    "JsonDeserializer",
    "JsonSchemaDeserializer",
    "JsonSchemaSerializer",
    "JsonSerializer",
    "LongDeserializer",
    "LongSerializer",
    "OnThread",
    "PerTopic",
    "ProtobufDeserializer",
    "ProtobufSerializer",
    "SchemaReference",
    "SchemaRegistry",
    "SerializationContext",
    "Serializer",
    "SerializerOf",
    "ShortDeserializer",
    "ShortSerializer",
    "StringDeserializer",
    "StringSerializer",
    "UnfitBytesError",
    "UnfitValueError",
    "UuidDeserializer",
    "UuidSerializer",
    "on_thread",
    "resolve_serializer",
]

_LATER = {
    "avro": (
        "AvroDeserializer",
        "AvroSerializer",
    ),
    "json_schema": (
        "JsonSchemaDeserializer",
        "JsonSchemaSerializer",
    ),
    "json_values": (
        "JsonDeserializer",
        "JsonSerializer",
    ),
    "numbers": (
        "BooleanDeserializer",
        "BooleanSerializer",
        "DoubleDeserializer",
        "DoubleSerializer",
        "FloatDeserializer",
        "FloatSerializer",
        "IntegerDeserializer",
        "IntegerSerializer",
        "LongDeserializer",
        "LongSerializer",
        "ShortDeserializer",
        "ShortSerializer",
        "UuidDeserializer",
        "UuidSerializer",
    ),
    "per_topic": ("PerTopic",),
    "protobuf": (
        "ProtobufDeserializer",
        "ProtobufSerializer",
    ),
    "schema_registry": (
        "SchemaReference",
        "SchemaRegistry",
    ),
    "threads": (
        "OnThread",
        "on_thread",
    ),
}
_PLACES = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
