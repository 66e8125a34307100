"""From a value to the bytes of a key or a value, and back.

Whatever needs a package of its own (Avro, Protobuf, JSON Schema, a schema registry) asks for it
when it is used, and says what to install.
"""

from aioproducer.serializers.avro import AvroDeserializer, AvroSerializer
from aioproducer.serializers.base import (
    SerializationContext,
    Serializer,
    SerializerOf,
    resolve_serializer,
)
from aioproducer.serializers.builtin import BytesSerializer, StringDeserializer, StringSerializer
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
from aioproducer.serializers.unfit import UnfitBytesError, UnfitValueError

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
