"""One rich response of every API in every version, and strategies for arbitrary ones."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnResponse,
    ApiVersionsResponse,
    CreateTopicsResponse,
    DeleteTopicsResponse,
    DescribeConfigsResponse,
    DescribeProducersResponse,
    DescribeTransactionsResponse,
    EndTxnResponse,
    FindCoordinatorResponse,
    GetTelemetrySubscriptionsResponse,
    InitProducerIdResponse,
    MetadataResponse,
    ProduceResponse,
    PushTelemetryResponse,
    Response,
    SaslAuthenticateResponse,
    SaslHandshakeResponse,
    TxnOffsetCommitResponse,
)
from aioproducer.wire.versions import SPOKEN, ApiKey
from tests.wire.oracles import schema_bytes

few_examples = settings(max_examples=25, deadline=None)

int8 = st.integers(-(2**7), 2**7 - 1)
int16 = st.integers(-(2**15), 2**15 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
milliseconds = st.integers(0, 2**31 - 1)
text = st.text(max_size=20)
maybe_text = st.none() | text
topic_id = st.binary(min_size=16, max_size=16)
# kio knows only the codes of its own release and holds times as datetimes of whole seconds.
error_code = st.integers(-1, 100)
timestamp = st.just(-1) | st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 1000)


def rows(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(fields), max_size=3)


def spoken(api: ApiKey) -> range:
    low, high = SPOKEN[api]
    return range(low, high + 1)


TOPIC_ID = bytes(range(16))

BROKERS = [
    {"node_id": 1, "host": "one.example", "port": 9092, "rack": "a"},
    {"node_id": 2, "host": "two.example", "port": 9093, "rack": None},
]

VALUES: dict[type[Response], dict[str, Any]] = {
    ApiVersionsResponse: {
        "error_code": 0,
        "api_keys": [
            {"api_key": 0, "min_version": 0, "max_version": 13},
            {"api_key": 18, "min_version": 0, "max_version": 4},
        ],
        "throttle_time_ms": 7,
        "supported_features": [{"name": "group.version", "min_version": 0, "max_version": 1}],
        "finalized_features_epoch": 42,
        "finalized_features": [
            {"name": "transaction.version", "max_version_level": 2, "min_version_level": 1}
        ],
    },
    MetadataResponse: {
        "throttle_time_ms": 7,
        "brokers": BROKERS,
        "cluster_id": "the-cluster",
        "controller_id": 2,
        "error_code": 0,
        "topics": [
            {
                "error_code": 0,
                "name": "orders",
                "topic_id": TOPIC_ID,
                "is_internal": False,
                "partitions": [
                    {
                        "error_code": 0,
                        "partition_index": index,
                        "leader_id": 1,
                        "leader_epoch": 5,
                        "replica_nodes": [1, 2, 3],
                        "isr_nodes": [1, 2],
                        "offline_replicas": [3],
                    }
                    for index in range(2)
                ],
            },
            {"error_code": 3, "name": "none", "topic_id": bytes(16), "partitions": []},
        ],
    },
    ProduceResponse: {
        "responses": [
            {
                "name": "orders",
                "topic_id": TOPIC_ID,
                "partition_responses": [
                    {
                        "index": 0,
                        "error_code": 0,
                        "base_offset": 1000,
                        "log_append_time_ms": -1,
                        "log_start_offset": 3,
                        "record_errors": [],
                        "error_message": None,
                    },
                    {
                        "index": 1,
                        "error_code": 87,
                        "base_offset": -1,
                        "log_append_time_ms": -1,
                        "log_start_offset": -1,
                        "record_errors": [
                            {"batch_index": 0, "batch_index_error_message": "no key"},
                            {"batch_index": 4, "batch_index_error_message": None},
                        ],
                        "error_message": "some records are bad",
                        "current_leader": {"leader_id": 2, "leader_epoch": 9},
                    },
                ],
            }
        ],
        "throttle_time_ms": 7,
        "node_endpoints": BROKERS,
    },
    InitProducerIdResponse: {
        "throttle_time_ms": 7,
        "error_code": 0,
        "producer_id": 4000,
        "producer_epoch": 3,
    },
    SaslHandshakeResponse: {"error_code": 33, "mechanisms": ["PLAIN", "SCRAM-SHA-256"]},
    SaslAuthenticateResponse: {
        "error_code": 58,
        "error_message": "wrong password",
        "auth_bytes": b"a challenge",
        "session_lifetime_ms": 3_600_000,
    },
    FindCoordinatorResponse: {
        "throttle_time_ms": 7,
        "error_code": 15,
        "error_message": "not yet",
        "node_id": 2,
        "host": "two.example",
        "port": 9093,
        "coordinators": [
            {
                "key": "payments",
                "node_id": 2,
                "host": "two.example",
                "port": 9093,
                "error_code": 15,
                "error_message": "not yet",
            }
        ],
    },
    AddPartitionsToTxnResponse: {
        "throttle_time_ms": 7,
        "results_by_topic_v3_and_below": [
            {
                "name": name,
                "results_by_partition": [
                    {"partition_index": 0, "partition_error_code": 0},
                    {"partition_index": 1, "partition_error_code": 51},
                ],
            }
            for name in ("orders", "payments")
        ],
    },
    AddOffsetsToTxnResponse: {"throttle_time_ms": 7, "error_code": 51},
    TxnOffsetCommitResponse: {
        "throttle_time_ms": 7,
        "topics": [
            {
                "name": name,
                "partitions": [
                    {"partition_index": 0, "error_code": 0},
                    {"partition_index": 1, "error_code": 22},
                ],
            }
            for name in ("orders", "payments")
        ],
    },
    EndTxnResponse: {
        "throttle_time_ms": 7,
        "error_code": 0,
        "producer_id": 4000,
        "producer_epoch": 4,
    },
    CreateTopicsResponse: {
        "throttle_time_ms": 7,
        "topics": [
            {
                "name": "orders",
                "topic_id": TOPIC_ID,
                "error_code": code,
                "error_message": message,
                "topic_config_error_code": 29,
                "num_partitions": 3,
                "replication_factor": 2,
                "configs": configs,
            }
            for code, message, configs in [
                (
                    0,
                    None,
                    [
                        {
                            "name": "cleanup.policy",
                            "value": "compact",
                            "read_only": False,
                            "config_source": 1,
                            "is_sensitive": False,
                        }
                    ],
                ),
                (36, "there already", None),
            ]
        ],
    },
    DeleteTopicsResponse: {
        "throttle_time_ms": 7,
        "responses": [
            {"name": "orders", "topic_id": TOPIC_ID, "error_code": 0, "error_message": None},
            {"name": "none", "topic_id": TOPIC_ID, "error_code": 3, "error_message": "no such"},
        ],
    },
    DescribeConfigsResponse: {
        "throttle_time_ms": 7,
        "results": [
            {
                "error_code": code,
                "error_message": message,
                "resource_type": 2,
                "resource_name": "orders",
                "configs": [
                    {
                        "name": "min.insync.replicas",
                        "value": "2",
                        "read_only": False,
                        "config_source": 5,
                        "is_sensitive": False,
                        "synonyms": [{"name": "default", "value": None, "source": 5}],
                        "config_type": 3,
                        "documentation": None,
                    },
                    {
                        "name": "secret",
                        "value": None,
                        "read_only": True,
                        "config_source": 1,
                        "is_sensitive": True,
                        "synonyms": [],
                        "config_type": 9,
                        "documentation": "nobody's business",
                    },
                ],
            }
            for code, message in ((0, None), (29, "not yours"))
        ],
    },
    DescribeProducersResponse: {
        "throttle_time_ms": 7,
        "topics": [
            {
                "name": "orders",
                "partitions": [
                    {
                        "partition_index": index,
                        "error_code": 0,
                        "error_message": "none",
                        "active_producers": [
                            {
                                "producer_id": 4000 + n,
                                "producer_epoch": 3,
                                "last_sequence": 17,
                                "last_timestamp": 1_700_000_000_000,
                                "coordinator_epoch": -1,
                                "current_txn_start_offset": -1,
                            }
                            for n in range(2)
                        ],
                    }
                    for index in range(2)
                ],
            }
        ],
    },
    DescribeTransactionsResponse: {
        "throttle_time_ms": 7,
        "transaction_states": [
            {
                "error_code": 0,
                "transactional_id": "payments",
                "transaction_state": "Ongoing",
                "transaction_timeout_ms": 60_000,
                "transaction_start_time_ms": 1_700_000_000_000,
                "producer_id": 4000,
                "producer_epoch": 3,
                "topics": [{"topic": name, "partitions": [0, 1]} for name in ("orders", "none")],
            }
        ],
    },
    GetTelemetrySubscriptionsResponse: {
        "throttle_time_ms": 7,
        "error_code": 0,
        "client_instance_id": TOPIC_ID,
        "subscription_id": -17,
        "accepted_compression_types": [4, 3, 1, 2],
        "push_interval_ms": 60_000,
        "telemetry_max_bytes": 1_048_576,
        "delta_temporality": True,
        "requested_metrics": ["org.apache.kafka.producer.", ""],
    },
    PushTelemetryResponse: {"throttle_time_ms": 7, "error_code": 117},
}

API_OF: dict[type[Response], ApiKey] = {
    ApiVersionsResponse: ApiKey.API_VERSIONS,
    MetadataResponse: ApiKey.METADATA,
    ProduceResponse: ApiKey.PRODUCE,
    InitProducerIdResponse: ApiKey.INIT_PRODUCER_ID,
    FindCoordinatorResponse: ApiKey.FIND_COORDINATOR,
    AddPartitionsToTxnResponse: ApiKey.ADD_PARTITIONS_TO_TXN,
    AddOffsetsToTxnResponse: ApiKey.ADD_OFFSETS_TO_TXN,
    TxnOffsetCommitResponse: ApiKey.TXN_OFFSET_COMMIT,
    EndTxnResponse: ApiKey.END_TXN,
    SaslHandshakeResponse: ApiKey.SASL_HANDSHAKE,
    SaslAuthenticateResponse: ApiKey.SASL_AUTHENTICATE,
    CreateTopicsResponse: ApiKey.CREATE_TOPICS,
    DeleteTopicsResponse: ApiKey.DELETE_TOPICS,
    DescribeConfigsResponse: ApiKey.DESCRIBE_CONFIGS,
    DescribeProducersResponse: ApiKey.DESCRIBE_PRODUCERS,
    DescribeTransactionsResponse: ApiKey.DESCRIBE_TRANSACTIONS,
    GetTelemetrySubscriptionsResponse: ApiKey.GET_TELEMETRY_SUBSCRIPTIONS,
    PushTelemetryResponse: ApiKey.PUSH_TELEMETRY,
}


class Sample(NamedTuple):
    response: type[Response]
    version: int
    data: bytes


SAMPLES = [
    Sample(response, version, schema_bytes(response.__name__, version, values))
    for response, values in VALUES.items()
    for version in spoken(API_OF[response])
]
SAMPLE_NAMES = [f"{sample.response.__name__}-v{sample.version}" for sample in SAMPLES]
