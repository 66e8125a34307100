"""One rich response of every API in every version, and strategies for arbitrary ones."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from aioproducer.wire.messages import (
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnResponse,
    ApiVersionsResponse,
    EndTxnResponse,
    FindCoordinatorResponse,
    InitProducerIdResponse,
    MetadataResponse,
    ProduceResponse,
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
