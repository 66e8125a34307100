"""What a seed of the simulation decides beforehand: configuration, cluster, faults."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from aioproducer.wire.versions import ApiKey
from tests.fake_broker import KAFKA_2_1, KAFKA_2_8, KAFKA_3_9, KAFKA_4

FEWEST_RECORDS = 50
FEWEST_FAULTS = 3
_FIRST_PRODUCE_WITH_RECORD_ERRORS = 8


@dataclass(slots=True)
class Plan:
    """What a seed decides beforehand."""

    options: dict[str, Any]
    nodes: int
    topics: dict[str, int]
    records: int
    senders: int
    fault_rate: float
    chaos: float
    slow: float
    truncates: bool
    # Nothing goes wrong: then nothing may be retried, and nothing may fail.
    calm: bool
    versions: Any
    # Brokers forget producers, lose the ends of logs, and topics are made anew.
    lapses: bool
    # The application holds the loop now and then.
    blocks: bool
    # Sequences are about to wrap, as after two thousand million records.
    wraps: bool
    # Some records are ones that brokers refuse.
    poison: bool
    # After how many records something happens in any case.
    strikes: list[int]

    @property
    def acks(self) -> Any:
        return self.options["acks"]

    @property
    def is_idempotent(self) -> bool:
        return bool(self.options["enable_idempotence"])

    @property
    def retries(self) -> int:
        return int(self.options.get("retries", 2**31 - 1))

    @property
    def linger(self) -> float:
        return float(self.options["linger_ms"]) / 1000

    @property
    def delivery_timeout(self) -> float:
        return float(self.options["delivery_timeout_ms"]) / 1000

    @property
    def longest(self) -> float:
        """Seconds within which every record must be settled."""
        return max(self.delivery_timeout, float(self.options["max_block_ms"]) / 1000)

    @property
    def is_generous(self) -> bool:
        """Whether all records get through in time when nothing goes wrong."""
        return self.delivery_timeout >= 60 and self.options["max_block_ms"] >= 10_000

    @property
    def tells_topic_ids(self) -> bool:
        """Whether brokers say that a topic is not the one it was (KIP-516)."""
        return bool(self.versions[ApiKey.METADATA].maximum >= 10)

    @property
    def names_poison(self) -> bool:
        """Whether brokers say which records of a batch they refuse (KIP-467)."""
        newest = self.versions[ApiKey.PRODUCE].maximum
        may_resend = self.acks != 0 and "retries" not in self.options
        return bool(newest >= _FIRST_PRODUCE_WITH_RECORD_ERRORS and may_resend)

    @property
    def has_patience(self) -> bool:
        """Whether the configuration leaves time to find out what has changed."""
        options = self.options
        return (
            options["delivery_timeout_ms"] >= options["linger_ms"] + 2000
            and options["max_block_ms"] >= 1000
            and "retries" not in options
        )


def make_plan(rng: random.Random, *, calm: bool = False) -> Plan:
    acks = rng.choice(["all"] * 8 + [1, 0])
    idempotent = acks == "all" and rng.random() < 0.9
    linger = rng.choice([0, 0, 0, 5, 5, 5, 50, 50, 3000])
    request_timeout = rng.choice([200, 1000, 3000])
    options = {
        "acks": acks,
        "enable_idempotence": idempotent,
        "linger_ms": linger,
        "batch_size": rng.choice([1, 100, 200, 300, 1000, 16384]),
        "max_in_flight_requests_per_connection": rng.randint(1, 5),
        "request_timeout_ms": request_timeout,
        "delivery_timeout_ms": linger + request_timeout + rng.choice([0, 500, 5000, 60000]),
        "max_block_ms": rng.choice([100, 1000, 10000, 10000]),
        "buffer_memory": rng.choice([600, 3000, 20000, 32 * 2**20, 32 * 2**20]),
        "max_request_size": rng.choice([400, 1000, 1048576, 1048576]),
        "compression_type": rng.choice(["none", "none", "none", "gzip"]),
        "retry_backoff_ms": rng.choice([1, 10, 100]),
        "retry_backoff_max_ms": 400,
        "reconnect_backoff_ms": 10,
        "reconnect_backoff_max_ms": 300,
        "metadata_max_age_ms": rng.choice([300, 5000, 300000]),
        "connections_max_idle_ms": rng.choice([500, 540000]),
    }
    if not idempotent and rng.random() < 0.3:
        options["retries"] = rng.choice([0, 1, 3])
    nodes = rng.randint(1, 4)
    records = rng.randint(FEWEST_RECORDS, 110)
    lapses = not calm and rng.random() < 0.3
    # A log cut short would remember sequences from before the jump.
    wraps = not lapses and rng.random() < 0.25
    return Plan(
        options=options,
        nodes=nodes,
        topics={f"topic-{i}": rng.randint(1, 4) for i in range(rng.randint(1, 3))},
        records=records,
        senders=rng.randint(1, 3),
        fault_rate=rng.choice([0.0, 0.02, 0.1, 0.3]),
        chaos=rng.choice([0.2, 1.0] if linger > 1000 else [0.05, 0.2, 1.0]),
        slow=rng.choice([0.0005, 0.002, 0.02]),
        truncates=not wraps and rng.random() < 0.6,
        calm=calm,
        versions=rng.choice([KAFKA_4, KAFKA_4, KAFKA_3_9, KAFKA_2_8, KAFKA_2_1]),
        lapses=lapses,
        blocks=not calm and rng.random() < 0.3,
        poison=rng.random() < 0.25,
        wraps=wraps,
        strikes=sorted(rng.sample(range(1, records), 4)),
    )
