"""The keywords of AsyncProducer, for type checkers and editors.

Written by `python -m tools.generate_reference` from aioproducer/config_table.py; not by hand.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class ProducerOptions(TypedDict, total=False):
    """The working configuration keys under Python's names."""

    client_id: str
    client_dns_lookup: Literal["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]
    acks: Literal["all", "-1", "0", "1", -1, 0, 1]
    enable_idempotence: bool
    max_in_flight_requests_per_connection: int
    partition_ordering: bool
    linger_ms: int
    batch_size: int
    max_request_size: int
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"]
    compression_gzip_level: int
    compression_lz4_level: int
    compression_zstd_level: int
    partitioner_ignore_keys: bool
    partitioner_adaptive_partitioning_enable: bool
    partitioner_availability_timeout_ms: int
    buffer_memory: int
    max_block_ms: int
    delivery_timeout_ms: int
    request_timeout_ms: int
    retries: int
    retry_backoff_ms: int
    retry_backoff_max_ms: int
    metadata_max_age_ms: int
    metadata_max_idle_ms: int
    metadata_recovery_strategy: Literal["none", "rebootstrap"]
    metadata_recovery_rebootstrap_trigger_ms: int
    allow_auto_create_topics: bool
    connections_max_idle_ms: int
    reconnect_backoff_ms: int
    reconnect_backoff_max_ms: int
    socket_connection_setup_timeout_ms: int
    socket_connection_setup_timeout_max_ms: int
    send_buffer_bytes: int
    receive_buffer_bytes: int
    transactional_id: str
    transaction_timeout_ms: int
