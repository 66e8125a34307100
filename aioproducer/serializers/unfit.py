"""The errors of values that cannot be written, and of bytes that cannot be read."""

from __future__ import annotations


class UnfitValueError(TypeError, ValueError):
    """A value does not fit its serializer. The words never contain the value, which may be secret.

    They are what the record's :exc:`SerializationError` says. Serializers of your own may raise it
    to be quoted there; of other errors only the type is named.
    """


class UnfitBytesError(ValueError):
    """Bytes are not what a deserializer reads. The words never contain them."""
