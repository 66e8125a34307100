"""Protobuf: with a schema registry in Confluent's format, or the bare message without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from aioproducer.errors import ConfigurationError, DeserializationError
from aioproducer.serializers.base import SerializationContext
from aioproducer.serializers.registered import Registered, SubjectStrategy, Write, read_with
from aioproducer.serializers.schema_registry import SchemaRegistry, missing
from aioproducer.serializers.unfit import UnfitValueError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    M = TypeVar("M", bound=Message)
else:
    M = TypeVar("M")

_INSTALL = "pip install 'aioproducer[protobuf]'"


class ProtobufSerializer(Registered[M], Generic[M]):
    """Writes messages of one generated class.

    With a ``registry`` the file of the message and all that it imports are registered, and the
    path of the message in that file follows the schema's id; the other arguments are those of
    :class:`AvroSerializer`. ``deterministic`` makes equal messages equal bytes, as keys need.
    Raises :exc:`ConfigurationError` for what is no message class, and where protobuf is missing.
    """

    def __init__(
        self,
        message: type[M],
        registry: SchemaRegistry | None = None,
        *,
        deterministic: bool = False,
        auto_register: bool | None = None,
        use_latest: bool = False,
        normalize: bool = False,
        subject: SubjectStrategy = "topic",
        schema_id: Literal["prefix", "header"] = "prefix",
    ) -> None:
        self._message = _checked(message)
        self._deterministic = deterministic
        super().__init__(
            registry,
            auto_register=auto_register,
            use_latest=use_latest,
            normalize=normalize,
            subject=subject,
            schema_id=schema_id,
        )

    def _writer_alone(self) -> Write:
        from google.protobuf.message import EncodeError

        kind, deterministic = self._message, self._deterministic

        def write(value: Any) -> bytes:
            if not isinstance(value, kind):
                raise UnfitValueError(f"{kind.__name__} expected, not {type(value).__name__}")
            try:
                data: bytes = value.SerializeToString(deterministic=deterministic)
            except EncodeError as error:
                # proto2: its words are the names of the fields.
                absent = ", ".join(value.FindInitializationErrors())
                raise UnfitValueError(f"required fields are missing: {absent}") from error
            return data

        return write

    async def _writer(self, client: Any, latest: Any) -> Write:
        return self._writer_alone()

    def _import_theirs(self) -> Any:
        try:
            from confluent_kafka.schema_registry.protobuf import AsyncProtobufSerializer
        except ImportError as error:
            raise missing(error, _INSTALL) from error
        return AsyncProtobufSerializer

    async def _make_theirs(self, client: Any, conf: dict[str, Any]) -> Any:
        # Its constructor is a coroutine.
        return await self._theirs(self._message, client, conf)

    def _record_name(self) -> str | None:
        return str(self._message.DESCRIPTOR.full_name)


class ProtobufDeserializer(Generic[M]):
    """Reads messages of one class, written with a registry or, without one, bare."""

    def __init__(self, message: type[M], registry: SchemaRegistry | None = None) -> None:
        self._message = _checked(message)
        self._registry = registry
        self._theirs: Any = None
        if registry is not None:
            from confluent_kafka.schema_registry.protobuf import AsyncProtobufDeserializer

            self._class = AsyncProtobufDeserializer

    async def deserialize(self, data: bytes | None, context: SerializationContext) -> M | None:
        """Return the message; raises :exc:`DeserializationError` for bytes that are none.

        Cancelling ends it.
        """
        if data is None:
            return None
        if self._registry is not None:
            found: M = await read_with(self._registry, self._make_theirs, data, context)
            return found
        from google.protobuf.message import DecodeError

        try:
            parsed: M = self._message.FromString(data)
        except DecodeError as error:
            raise DeserializationError(
                f"the {context.field} is no {self._message.__name__}"
            ) from error
        return parsed

    async def _make_theirs(self) -> Any:
        assert self._registry is not None
        if self._theirs is None:
            conf = {"use.deprecated.format": False, "subject.name.strategy.type": "TOPIC"}
            self._theirs = await self._class(self._message, conf, self._registry.client)
        return self._theirs


def _checked(message: Any) -> Any:
    try:
        from google.protobuf.message import Message
    except ImportError as error:
        raise missing(error, _INSTALL) from error
    if not isinstance(message, type) or not issubclass(message, Message):
        raise ConfigurationError(f"a generated message class is needed, not {message!r}")
    return message
