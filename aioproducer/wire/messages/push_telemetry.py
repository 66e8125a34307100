"""PushTelemetry: this client's metrics, as OpenTelemetry's MetricsData (KIP-714)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import ApiKey


@dataclass(frozen=True, slots=True)
class PushTelemetryResponse:
    throttle_time_ms: int
    error_code: int

    @classmethod
    def decode(cls, reader: Reader, version: int) -> PushTelemetryResponse:
        response = cls(reader.int32(), reader.int16())
        reader.tagged_fields()
        return response


@dataclass(frozen=True, slots=True)
class PushTelemetryRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.PUSH_TELEMETRY
    Response: ClassVar[type[PushTelemetryResponse]] = PushTelemetryResponse

    client_instance_id: bytes
    subscription_id: int
    terminating: bool
    compression_type: int
    metrics: bytes

    def encode(self, version: int) -> list[Buffer]:
        out = Writer()
        out.uuid(self.client_instance_id)
        out.int32(self.subscription_id)
        out.boolean(self.terminating)
        out.int8(self.compression_type)
        out.bytes_(self.metrics, True)
        out.tagged_fields()
        return [out.getvalue()]
