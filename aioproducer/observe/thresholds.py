"""From which figures on something is worth a finding; data that users can change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from aioproducer.errors import ConfigurationError


def _limit(default: float | None, low: float, high: float, unit: str, doc: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The limits of :meth:`AsyncProducer.diagnose`.

    Raises :exc:`ConfigurationError`, naming everything that is wrong at once, for a value that is
    no number or out of its range. ``docs/observability.md`` lists them with their ranges.
    """

    records_per_request: float = _limit(
        10, 1, 1e6, "records", "Fewer records in a request are poor batching."
    )
    batching_from_rate: float = _limit(
        50, 0, 1e9, "records/s", "Batching is judged from this rate on: fewer cannot be batched."
    )
    queue_time_ms: float = _limit(
        100, 0, 3.6e6, "ms", "Batches that wait longer for their broker wait too long."
    )
    compression_ratio: float = _limit(1.5, 1, 1000, "to 1", "Compression that saves less is poor.")
    error_rate: float = _limit(
        0.01, 0, 1, "of records", "A larger part of the records failing is critical."
    )
    memory_used: float = _limit(
        0.8, 0, 1, "of buffer.memory", "More in use is pressure on the memory."
    )
    memory_free_bytes: float = _limit(
        10 * 1024 * 1024, 0, 2**63, "bytes",
        "Less free is critical, where `buffer.memory` is at least twice as much.",
    )  # fmt: skip
    request_latency_ms: float = _limit(
        50, 0, 3.6e6, "ms", "Slower answers to produce requests are worth a warning."
    )
    request_latency_critical_ms: float = _limit(
        100, 0, 3.6e6, "ms", "Slower answers still are critical."
    )
    timeout_rate: float = _limit(
        0.001, 0, 1, "of requests", "A larger part of the requests unanswered is critical."
    )
    throughput_share: float = _limit(
        0.7, 0, 1, "of the baseline", "Less than this part of the baseline is too slow."
    )
    baseline_records_per_second: float | None = _limit(
        None,
        0,
        1e9,
        "records/s",
        "What is usually acknowledged; without it no throughput is judged.",
    )
    hot_partition_factor: float = _limit(
        3, 1, 1e6, "times the average",
        "A partition that gets so much more than the average of its topic is hot.",
    )  # fmt: skip
    hot_partition_from: float = _limit(
        100, 1, 1e12, "records", "Partitions are judged once a topic had so many records lately."
    )
    hot_partition_turns: float = _limit(
        16, 0, 1e6, "batch.size",
        "Topics with records without a key are judged once so much went to each partition on"
        " average: such records go to one partition for a batch.size, then on.",
    )  # fmt: skip
    throttle_share: float = _limit(
        0.01, 0, 1, "of the time", "Brokers that ask for longer pauses throttle."
    )
    loop_stalls_per_minute: float = _limit(
        1, 0, 1e6, "a minute", "An event loop that stands still more often is blocked."
    )
    waiting_growth_per_second: float = _limit(
        1, 0, 1e9, "records/s", "A waiting room that grows faster does not keep up."
    )
    waiting_oldest_ms: float = _limit(
        1000, 0, 3.6e6, "ms", "A record that waits longer for room or metadata is stuck."
    )

    def __post_init__(self) -> None:
        wrong = [words for each in fields(self) if (words := self._violation(each)) is not None]
        if not wrong and self.request_latency_critical_ms < self.request_latency_ms:
            wrong.append("request_latency_critical_ms is below request_latency_ms")
        if wrong:
            raise ConfigurationError(f"thresholds: {'; '.join(wrong)}")

    def _violation(self, each: Any) -> str | None:
        value = getattr(self, each.name)
        if value is None and each.default is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            return f"{each.name} must be a number, not {value!r}"
        low, high = each.metadata["low"], each.metadata["high"]
        if not low <= value <= high:
            return f"{each.name} must be from {low:g} to {high:g}, not {value:g}"
        return None

    @classmethod
    def of(cls, given: Thresholds | Mapping[str, float] | None) -> Thresholds:
        """Return thresholds from a mapping as well, as a file gives them."""
        if given is None:
            return cls()
        if isinstance(given, Thresholds):
            return given
        known = {each.name for each in fields(cls)}
        unknown = sorted(set(given) - known)
        if unknown:
            raise ConfigurationError(
                f"thresholds: unknown: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        return cls(**given)
