"""GetTelemetrySubscriptions: which metrics the brokers want of this client (KIP-714)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aioproducer.wire.primitives import ZERO_UUID, Buffer, Reader, Writer
from aioproducer.wire.versions import ApiKey


@dataclass(frozen=True, slots=True)
class GetTelemetrySubscriptionsResponse:
    throttle_time_ms: int
    error_code: int
    client_instance_id: bytes
    subscription_id: int
    accepted_compression_types: tuple[int, ...]
    push_interval_ms: int
    telemetry_max_bytes: int
    delta_temporality: bool
    requested_metrics: tuple[str, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> GetTelemetrySubscriptionsResponse:
        head = (reader.int32(), reader.int16(), reader.uuid(), reader.int32())
        codecs = tuple([reader.int8() for _ in range(reader.array_length(True))])
        limits = (reader.int32(), reader.int32(), reader.boolean())
        requested = tuple([reader.string(True) for _ in range(reader.array_length(True))])
        reader.tagged_fields()
        return cls(*head, codecs, *limits, requested)


@dataclass(frozen=True, slots=True)
class GetTelemetrySubscriptionsRequest:
    """Ask for the subscriptions; without an instance id the broker chooses one."""

    API_KEY: ClassVar[ApiKey] = ApiKey.GET_TELEMETRY_SUBSCRIPTIONS
    Response: ClassVar[type[GetTelemetrySubscriptionsResponse]] = GetTelemetrySubscriptionsResponse

    client_instance_id: bytes = ZERO_UUID

    def encode(self, version: int) -> list[Buffer]:
        out = Writer()
        out.uuid(self.client_instance_id)
        out.tagged_fields()
        return [out.getvalue()]
