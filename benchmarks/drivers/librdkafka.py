"""The settings that both of confluent-kafka's producers share."""

from __future__ import annotations

from typing import Any

from benchmarks.job import Job


def settings(job: Job) -> dict[str, Any]:
    """Return librdkafka's configuration for ``job``."""
    chosen: dict[str, Any] = {
        "bootstrap.servers": job.bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": job.linger_ms,
        "compression.type": job.compression,
        # Hash as the others do; librdkafka's own default is CRC-32.
        "partitioner": "murmur2_random",
        "log_level": 0,
    }
    if job.batch_size is not None:
        chosen["batch.size"] = job.batch_size
    return chosen
