"""A typed snapshot of what the producer counted."""

from __future__ import annotations

from dataclasses import dataclass, fields

from aioproducer.runtime.engine import Engine


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """Totals since start, and a few figures of this moment."""

    record_send_total: int = 0
    record_error_total: int = 0
    record_retry_total: int = 0
    batch_total: int = 0
    compression_rate_avg: float = 1.0
    buffer_total_bytes: int = 0
    buffer_available_bytes: int = 0
    waiting_records: int = 0
    requests_in_flight: int = 0
    loop_stalls: int = 0
    loop_stall_longest_s: float = 0.0
    loop_stall_total_s: float = 0.0
    throttle_time_total_ms: int = 0

    def as_java(self) -> dict[str, float]:
        """Return the figures under the names of Kafka's ``producer-metrics`` where it has them."""
        return {f.name.replace("_", "-"): getattr(self, f.name) for f in fields(self)}


def take_snapshot(engine: Engine | None) -> MetricsSnapshot:
    """Return the figures of ``engine``, zeros before the producer was started."""
    if engine is None:
        return MetricsSnapshot()
    ledger, budget = engine.ledger, engine.budget
    stalls = engine.watch.figures
    written, body = ledger.bytes_delivered, ledger.body_bytes_delivered
    return MetricsSnapshot(
        record_send_total=ledger.records_delivered,
        record_error_total=ledger.records_failed,
        record_retry_total=ledger.records_retried,
        batch_total=ledger.batches_delivered,
        compression_rate_avg=written / body if body else 1.0,
        buffer_total_bytes=budget.total,
        buffer_available_bytes=budget.available,
        waiting_records=len(engine.admission.room),
        requests_in_flight=engine.cluster.requests_in_flight(),
        loop_stalls=stalls.count,
        loop_stall_longest_s=stalls.longest,
        loop_stall_total_s=stalls.total,
        throttle_time_total_ms=ledger.throttle_time_ms,
    )
