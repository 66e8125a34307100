"""What the page shows: figures of all producers, twice a second, the last minute kept."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

from aioproducer import AsyncProducer, MetricsSnapshot
from examples.lab.runs import difference, percentiles

INTERVAL = 0.5
_KEPT = 120
# Percentiles are of the last frames: of half a second alone they would jump.
_WINDOW = 10

SEALS = ("size", "linger", "flush", "expedite", "memory", "idle")


class _Sample(NamedTuple):
    at: float
    metrics: MetricsSnapshot


class Live:
    """Samples the producers that it is told of; those that are gone leave it."""

    def __init__(self) -> None:
        self._producers: dict[str, AsyncProducer[Any, Any]] = {}
        self._samples: dict[str, deque[_Sample]] = {}
        self._frames: deque[dict[str, object]] = deque(maxlen=_KEPT)
        self._number = 0

    def watch(self, name: str, producer: AsyncProducer[Any, Any]) -> None:
        """Show a producer; one of the same name before it is shown no more."""
        self._producers[name] = producer
        self._samples[name] = deque([_Sample(time.monotonic(), producer.metrics())], _WINDOW)

    async def keep_sampling(self) -> None:
        """Take a frame at each interval, until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.sample(time.monotonic())

    def sample(self, now: float) -> None:
        """Take one frame at the monotonic time ``now``."""
        self._number += 1
        figures = {
            name: self._frame(self._samples[name], _Sample(now, producer.metrics()))
            for name, producer in self._producers.items()
        }
        frame: dict[str, object] = {"number": self._number, "at": time.time(), "producers": figures}
        self._frames.append(frame)

    def frames(self, after: int) -> list[dict[str, object]]:
        """Return the frames that came after number ``after``, oldest first."""
        skip = len(self._frames) - max(0, self._number - after)
        return list(self._frames)[max(0, skip) :]

    def producers(self) -> dict[str, dict[str, object]]:
        """Return what does not need a history: settings, seal reasons, diagnosis."""
        return {name: _describe(producer) for name, producer in self._producers.items()}

    def _frame(self, samples: deque[_Sample], new: _Sample) -> dict[str, object]:
        last, oldest = samples[-1], samples[0]
        samples.append(new)
        seconds = max(new.at - last.at, 1e-3)
        metrics = new.metrics
        return {
            "records": metrics.record_ack_total,
            "rate": round((metrics.record_ack_total - last.metrics.record_ack_total) / seconds, 1),
            "bytes_rate": round(
                (metrics.outgoing_byte_total - last.metrics.outgoing_byte_total) / seconds
            ),
            "failed": metrics.record_error_total,
            "latency_ms": percentiles(difference(oldest.metrics.ack_times, metrics.ack_times)),
            "batch_fill": round(metrics.batch_fill_avg, 4),
            "in_flight": metrics.requests_in_flight,
            "outstanding": metrics.deliveries_outstanding,
        }


def _describe(producer: AsyncProducer[Any, Any]) -> dict[str, object]:
    metrics, config = producer.metrics(), producer.config
    diagnosis = producer.diagnose()
    return {
        "client_id": producer.client_id,
        "state": producer.state.value,
        "profile": config.profile,
        "batch_size": config.batch_size,
        "linger_ms": config.linger_ms,
        "compression_type": config.compression_type,
        "acks": config.acks,
        "seals": {why: getattr(metrics, f"batch_sealed_{why}_total") for why in SEALS},
        "diagnosis": [
            {
                "name": finding.name,
                "severity": finding.severity.value,
                "symptom": finding.symptom,
                "causes": list(finding.causes),
                "settings": list(finding.settings),
                "where": finding.where,
            }
            for finding in diagnosis
        ],
    }
