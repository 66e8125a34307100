"""The error of a value that a serializer cannot write."""

from __future__ import annotations


class UnfitValueError(TypeError, ValueError):
    """A value does not fit its serializer. The words never contain the value, which may be secret.

    They are what the record's :exc:`SerializationError` says. Serializers of your own may raise it
    to be quoted there; of other errors only the type is named.
    """
