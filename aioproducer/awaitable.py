"""What a Delivery is to a type checker: a future. ``awaitable.pyi`` says so; here is nothing."""

from __future__ import annotations


class FutureOfMetadata:
    """Has nothing of its own: a Delivery keeps a future's whole contract by itself."""

    __slots__ = ()
