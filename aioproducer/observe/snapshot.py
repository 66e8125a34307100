"""A snapshot of every metric, typed.

Written by `python -m tools.generate_reference` from aioproducer/observe/catalogue.py; not by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aioproducer.observe.readings import Readable, Registered, TimeHistogram
from aioproducer.version import __version__


@dataclass(frozen=True, slots=True)
class TopicMetrics:
    """One topic's figures.

    ``partition_records`` are what each partition was sent lately, ``partition_count`` is how many
    there are.
    """

    record_send_rate: float = 0.0
    record_send_total: int = 0
    byte_rate: float = 0.0
    byte_total: int = 0
    compression_rate: float = 0.0
    record_retry_rate: float = 0.0
    record_retry_total: int = 0
    record_error_rate: float = 0.0
    record_error_total: int = 0
    record_ack_total: int = 0
    partition_records: Mapping[int, int] = field(default_factory=dict)
    partition_count: int = 0


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """The figures of the connections to one broker."""

    request_rate: float = 0.0
    request_total: int = 0
    request_size_avg: float = 0.0
    request_size_max: float = 0.0
    outgoing_byte_rate: float = 0.0
    outgoing_byte_total: int = 0
    response_rate: float = 0.0
    response_total: int = 0
    incoming_byte_rate: float = 0.0
    incoming_byte_total: int = 0
    request_latency_avg: float = 0.0
    request_latency_max: float = 0.0
    request_timeout_rate: float = 0.0
    request_timeout_total: int = 0
    requests_in_flight: int = 0
    connected: int = 0
    throttled: int = 0


@dataclass(frozen=True, slots=True)
class MetricsSnapshot(Readable):
    """What the producer has counted, and what is so at this moment.

    Names and meanings are those of Kafka's producer where it has them; docs/reference/metrics.md
    describes each. Rates, averages, maxima and percentiles are over the last windows
    (``metrics.num.samples`` of ``metrics.sample.window.ms``) and 0 where nothing happened in
    them; totals are since the start. ``topics`` are by name, ``nodes`` by broker id (negative ids
    are bootstrap addresses), ``ciphers`` count TLS connections by cipher and protocol.
    """

    client_id: str = ""
    version: str = __version__
    record_send_rate: float = 0.0
    record_send_total: int = 0
    record_retry_rate: float = 0.0
    record_retry_total: int = 0
    record_error_rate: float = 0.0
    record_error_total: int = 0
    batch_size_avg: float = 0.0
    batch_size_max: float = 0.0
    batch_split_rate: float = 0.0
    batch_split_total: int = 0
    compression_rate_avg: float = 0.0
    record_queue_time_avg: float = 0.0
    record_queue_time_max: float = 0.0
    records_per_request_avg: float = 0.0
    record_size_avg: float = 0.0
    record_size_max: float = 0.0
    buffer_total_bytes: int = 0
    buffer_available_bytes: int = 0
    buffer_exhausted_rate: float = 0.0
    buffer_exhausted_total: int = 0
    bufferpool_wait_ratio: float = 0.0
    bufferpool_wait_time_ns_total: int = 0
    waiting_threads: int = 0
    metadata_wait_time_ns_total: int = 0
    flush_time_ns_total: int = 0
    request_latency_avg: float = 0.0
    request_latency_max: float = 0.0
    produce_throttle_time_avg: float = 0.0
    produce_throttle_time_max: float = 0.0
    requests_in_flight: int = 0
    metadata_age: float = 0.0
    txn_init_time_ns_total: int = 0
    txn_begin_time_ns_total: int = 0
    txn_send_offsets_time_ns_total: int = 0
    txn_commit_time_ns_total: int = 0
    txn_abort_time_ns_total: int = 0
    connection_count: int = 0
    connection_creation_rate: float = 0.0
    connection_creation_total: int = 0
    connection_close_rate: float = 0.0
    connection_close_total: int = 0
    successful_authentication_rate: float = 0.0
    successful_authentication_total: int = 0
    failed_authentication_rate: float = 0.0
    failed_authentication_total: int = 0
    successful_reauthentication_rate: float = 0.0
    successful_reauthentication_total: int = 0
    failed_reauthentication_rate: float = 0.0
    failed_reauthentication_total: int = 0
    reauthentication_latency_avg: float = 0.0
    reauthentication_latency_max: float = 0.0
    network_io_rate: float = 0.0
    network_io_total: int = 0
    outgoing_byte_rate: float = 0.0
    outgoing_byte_total: int = 0
    incoming_byte_rate: float = 0.0
    incoming_byte_total: int = 0
    request_rate: float = 0.0
    request_total: int = 0
    response_rate: float = 0.0
    response_total: int = 0
    request_size_avg: float = 0.0
    request_size_max: float = 0.0
    record_ack_rate: float = 0.0
    record_ack_total: int = 0
    batch_total: int = 0
    ack_time_avg: float = 0.0
    ack_time_max: float = 0.0
    ack_time_p50: float = 0.0
    ack_time_p95: float = 0.0
    ack_time_p99: float = 0.0
    ack_time_p999: float = 0.0
    deliveries_outstanding: int = 0
    waiting_records: int = 0
    waiting_bytes: int = 0
    waiting_oldest_ms: float = 0.0
    waiting_begun_rate: float = 0.0
    waiting_begun_total: int = 0
    waiting_ended_rate: float = 0.0
    waiting_ended_total: int = 0
    waiting_time_avg: float = 0.0
    waiting_time_max: float = 0.0
    batch_fill_avg: float = 0.0
    batch_sealed_size_total: int = 0
    batch_sealed_linger_total: int = 0
    batch_sealed_flush_total: int = 0
    batch_sealed_expedite_total: int = 0
    batch_sealed_memory_total: int = 0
    batch_sealed_idle_total: int = 0
    request_timeout_rate: float = 0.0
    request_timeout_total: int = 0
    request_lost_rate: float = 0.0
    request_lost_total: int = 0
    throttle_ratio: float = 0.0
    throttle_time_total_ms: int = 0
    loop_stalls: int = 0
    loop_stall_rate: float = 0.0
    loop_stall_longest_s: float = 0.0
    loop_stall_total_s: float = 0.0
    uptime_s: float = 0.0
    metadata_topics: int = 0
    interceptor_error_rate: float = 0.0
    interceptor_error_total: int = 0
    interceptor_dropped_total: int = 0
    count: int = 0
    start_time_ms: int = 0
    ack_times: TimeHistogram = field(default_factory=TimeHistogram)
    topics: Mapping[str, TopicMetrics] = field(default_factory=dict)
    nodes: Mapping[int, NodeMetrics] = field(default_factory=dict)
    ciphers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    registered: Mapping[Registered, float] = field(default_factory=dict)
