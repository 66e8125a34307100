"""What a seed of the simulation decides beforehand: configuration, cluster, faults."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.fake_broker import KAFKA_2_1, KAFKA_2_8, KAFKA_3_9, KAFKA_4


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
    truncates: bool
    # Nothing goes wrong: then nothing may be retried, and nothing may fail.
    calm: bool
    versions: Any


def make_plan(rng: random.Random) -> Plan:
    acks = rng.choice(["all"] * 8 + [1, 0])
    idempotent = acks == "all" and rng.random() < 0.9
    linger = rng.choice([0, 0, 5, 5, 50])
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
    return Plan(
        options=options,
        nodes=nodes,
        topics={f"topic-{i}": rng.randint(1, 4) for i in range(rng.randint(1, 3))},
        records=rng.randint(50, 120),
        senders=rng.randint(1, 3),
        fault_rate=rng.choice([0.0, 0.02, 0.1, 0.3]),
        chaos=rng.choice([0.05, 0.2, 1.0]),
        truncates=rng.random() < 0.5,
        calm=rng.random() < 0.1,
        versions=rng.choice([KAFKA_4, KAFKA_4, KAFKA_3_9, KAFKA_2_8, KAFKA_2_1]),
    )
