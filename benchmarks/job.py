"""What one run has to do and what came of it: the two messages between runner and worker.

They travel as JSON, so that a worker need not be Python.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Kind = Literal["throughput", "latency"]

KEY_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One client, one run, one process."""

    peer: str
    kind: Kind
    bootstrap_servers: str
    topic: str
    value_size: int
    linger_ms: int
    seconds: float
    warm_up: float
    window: int
    """Throughput: how many records may be un-awaited."""
    rate: int
    """Latency: records per second."""
    keys: int
    """How many different keys there are; 0 makes every record's key a new one."""
    batch_size: int | None = None
    """``None`` leaves it to the client's own default."""
    compression: str = "none"
    loop: str = "asyncio"
    options: dict[str, str] = field(default_factory=dict)
    """Further settings by Kafka's names; for aioproducer alone."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run's figures. All but ``sent`` leave the warm-up out."""

    records: int
    seconds: float
    """From the first send to the last acknowledgement."""
    cpu_seconds: float
    """User and system time of the client's process, all its threads together."""
    sent: int
    """Records sent, warm-up included: what the end offsets must have grown by."""
    latency_ms: dict[str, float] = field(default_factory=dict)
    """Percentiles by name, from when a record was due; empty for throughput."""
    call_delay_ms: float = 0.0
    """The median time from due to the call of send(): a part of the latencies, the same for all
    clients as far as it is the metronome's."""

    @property
    def records_per_second(self) -> float:
        return self.records / self.seconds

    @property
    def cpu_per_million(self) -> float:
        return self.cpu_seconds / self.records * 1e6

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)
