"""Profiles: named settings for what the user did not set.

A key of the user beats the profile's. Where the two contradict, the profile gives way, as a default
would: two keys contradict each other only if the user set both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from aioproducer.config_rules import Draft
from aioproducer.config_table import INT_MAX

ProfileName = Literal["throughput", "latency", "balanced", "reliability"]

_KIB = 1024
_MIB = 1024 * _KIB

PROFILES: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "throughput": MappingProxyType(
            {
                "batch_size": 64 * _KIB,
                "linger_ms": 20,
                "compression_type": "lz4",
                "acks": 1,
                "buffer_memory": 128 * _MIB,
                "max_in_flight_requests_per_connection": 5,
            }
        ),
        "latency": MappingProxyType(
            {
                "batch_size": 16 * _KIB,
                "linger_ms": 0,
                "compression_type": "none",
                "acks": 1,
                "buffer_memory": 32 * _MIB,
                "max_in_flight_requests_per_connection": 1,
            }
        ),
        "balanced": MappingProxyType(
            {
                "batch_size": 32 * _KIB,
                "linger_ms": 5,
                "compression_type": "snappy",
                "acks": -1,
                "enable_idempotence": True,
                "buffer_memory": 64 * _MIB,
                "max_in_flight_requests_per_connection": 5,
            }
        ),
        "reliability": MappingProxyType(
            {
                "batch_size": 16 * _KIB,
                "linger_ms": 1,
                "compression_type": "zstd",
                "acks": -1,
                "enable_idempotence": True,
                "max_in_flight_requests_per_connection": 1,
                "retries": INT_MAX,
                "delivery_timeout_ms": 300_000,
            }
        ),
    }
)
"""What each profile sets, by Python's names."""


def apply_profile(draft: Draft) -> None:
    """Fill in what the profile sets and the user did not."""
    name = draft.values["profile"]
    if name is None:
        return
    assert isinstance(name, str)
    draft.profile = name
    for key, value in PROFILES[name].items():
        if not draft.is_set(key):
            draft.values[key] = value
            draft.profiled.add(key)
