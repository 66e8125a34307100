"""The keywords of AsyncProducer, for type checkers and editors.

Written by `python -m tools.generate_reference` from aioproducer/config_table.py; not by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from ssl import SSLContext
from typing import Literal, TypedDict

from aioproducer.credentials import CredentialsProvider, TokenProvider


class ProducerOptions(TypedDict, total=False):
    """The working configuration keys under Python's names."""

    client_id: str
    client_dns_lookup: Literal["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]
    acks: Literal["all", "-1", "0", "1", -1, 0, 1]
    enable_idempotence: bool
    max_in_flight_requests_per_connection: int
    partition_ordering: bool
    linger_ms: int
    linger_adaptive: bool
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
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    ssl_context: SSLContext
    sasl_username: str
    sasl_password: str
    credentials_provider: CredentialsProvider
    token_provider: TokenProvider
    ssl_protocol: Literal["TLSv1.2", "TLSv1.3"]
    ssl_enabled_protocols: str | Sequence[str]
    ssl_cipher_suites: str | Sequence[str]
    ssl_endpoint_identification_algorithm: str
    ssl_truststore_location: str
    ssl_truststore_password: str
    ssl_truststore_type: Literal["JKS", "PKCS12", "PEM"]
    ssl_truststore_certificates: str
    ssl_keystore_location: str
    ssl_keystore_password: str
    ssl_keystore_type: Literal["JKS", "PKCS12", "PEM"]
    ssl_keystore_key: str
    ssl_keystore_certificate_chain: str
    ssl_key_password: str
    sasl_mechanism: Literal["GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    sasl_jaas_config: str
    sasl_kerberos_service_name: str
    sasl_login_refresh_window_factor: float
    sasl_login_refresh_window_jitter: float
    sasl_login_refresh_min_period_seconds: int
    sasl_login_refresh_buffer_seconds: int
    sasl_login_connect_timeout_ms: int
    sasl_login_read_timeout_ms: int
    sasl_login_retry_backoff_ms: int
    sasl_login_retry_backoff_max_ms: int
    sasl_oauthbearer_token_endpoint_url: str
    sasl_oauthbearer_scope: str
    sasl_oauthbearer_client_credentials_client_id: str
    sasl_oauthbearer_client_credentials_client_secret: str
    sasl_oauthbearer_header_urlencode: bool
    enable_metrics_push: bool
    metrics_num_samples: int
    metrics_sample_window_ms: int
    metrics_recording_level: Literal["INFO", "DEBUG", "TRACE"]
