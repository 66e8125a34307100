"""A registry in memory that fails as it is told, and how a serializer is asked."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from confluent_kafka.schema_registry._async.mock_schema_registry_client import (
    AsyncMockSchemaRegistryClient,
)

from aioproducer.serializers import SchemaRegistry, SerializationContext


class Troubled(AsyncMockSchemaRegistryClient):
    """confluent-kafka's registry in memory; counts calls, and raises what ``failures`` holds."""

    def __init__(self) -> None:
        super().__init__({"url": "mock://tests"})
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.always: Exception | None = None

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0.01)
        if self.always is not None:
            raise self.always
        if self.failures:
            raise self.failures.pop(0)

    async def register_schema_full_response(self, *args: Any, **kwargs: Any) -> Any:
        await self._called("register")
        return await super().register_schema_full_response(*args, **kwargs)

    async def lookup_schema(self, *args: Any, **kwargs: Any) -> Any:
        await self._called("lookup")
        return await super().lookup_schema(*args, **kwargs)

    async def get_latest_version(self, *args: Any, **kwargs: Any) -> Any:
        await self._called("latest")
        return await super().get_latest_version(*args, **kwargs)

    async def get_version(self, *args: Any, **kwargs: Any) -> Any:
        await self._called("version")
        return await super().get_version(*args, **kwargs)


def troubled(**options: Any) -> tuple[SchemaRegistry, Troubled]:
    registry = SchemaRegistry("mock://tests", **options)
    client = Troubled()
    registry._client = client
    return registry, client


def context(topic: str = "orders", field: Any = "value") -> SerializationContext:
    return SerializationContext(topic, field)


async def written(serializer: Any, value: object, asked: SerializationContext | None = None) -> Any:
    """Return the bytes of ``value``, now or later."""
    answer = serializer.serialize(value, asked or context())
    return await answer if inspect.isawaitable(answer) else answer
