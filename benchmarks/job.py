"""What one run has to do and what came of it: the two messages between runner and worker.

They travel as JSON or as plain words, so that a worker need not be Python.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

Kind = Literal[
    "throughput",
    "latency",
    "ping-pong",
    "scale",
    "codecs",
    "serializers",
    "memory",
    "loop-hold",
    "idle",
    "import",
]

KEY_SIZE = 16
NULL_KEYS = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One client, one run, one process."""

    peer: str
    kind: Kind
    value_size: int
    linger_ms: int
    seconds: float
    warm_up: float
    bootstrap_servers: str = ""
    """Set by the runner, as is ``topic``."""
    topic: str = ""
    topics: int = 0
    """With a number here the topics are TOPIC.0, TOPIC.1 and so on."""
    partitions: int = 12
    window: int = 20_000
    """Throughput: how many records may be un-awaited."""
    rate: int = 5_000
    """Latency: records per second."""
    keys: int = 20_000
    """How many different keys there are; 0 makes every record's key a new one, -1 null."""
    batch_size: int | None = None
    """``None`` leaves it to the client's own default."""
    compression: str = "none"
    loop: str = "asyncio"
    options: dict[str, str] = field(default_factory=dict)
    """Further settings by Kafka's names; for aioproducer alone."""
    parameters: dict[str, float] = field(default_factory=dict)
    """What else this kind of run needs to know."""

    @property
    def record_size(self) -> int:
        """Bytes of key and value."""
        return self.value_size + (0 if self.keys == NULL_KEYS else KEY_SIZE)

    @property
    def topic_names(self) -> list[str]:
        if not self.topics:
            return [self.topic]
        return [f"{self.topic}.{number}" for number in range(self.topics)]

    def at(self, bootstrap_servers: str, topic: str) -> Self:
        """Return the same job against this topic of this cluster."""
        return replace(self, bootstrap_servers=bootstrap_servers, topic=topic)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def to_words(self) -> list[str]:
        """Return what a client that is not Python is told: NAME=VALUE, what is unset left out."""
        plain = {name: value for name, value in asdict(self).items() if value is not None}
        del plain["options"], plain["parameters"]
        return [f"{name}={value}" for name, value in plain.items()]

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
    build: str = ""
    """"compiled" or "pure" for aioproducer."""
    extra: dict[str, float] = field(default_factory=dict)
    """Further figures by name; the stand-in's count is among them."""
    notes: dict[str, str] = field(default_factory=dict)
    """What a figure alone does not say, by name."""

    @property
    def records_per_second(self) -> float:
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def cpu_per_million(self) -> float:
        return self.cpu_seconds / self.records * 1e6 if self.records else 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)
