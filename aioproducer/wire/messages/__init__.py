"""The requests this client sends and the responses it understands, one module per API.

A request encodes its body as a list of buffers, so that record batches travel from the batch to the
transport without being copied. A response decodes itself from a ``Reader`` that stands behind the
response header. Error codes stay numbers: what they mean is decided elsewhere.
"""

from __future__ import annotations

import struct
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar

from aioproducer.wire.primitives import Buffer, Reader
from aioproducer.wire.versions import ApiKey, encode_request_header

if TYPE_CHECKING:
    from aioproducer.wire.messages.add_offsets_to_txn import (
        AddOffsetsToTxnRequest,
        AddOffsetsToTxnResponse,
    )
    from aioproducer.wire.messages.add_partitions_to_txn import (
        AddPartitionsToTxnRequest,
        AddPartitionsToTxnResponse,
        PartitionResult,
    )
    from aioproducer.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
    from aioproducer.wire.messages.create_topics import (
        CreatedTopic,
        CreateTopicsRequest,
        CreateTopicsResponse,
        NewTopic,
    )
    from aioproducer.wire.messages.delete_topics import (
        DeletedTopic,
        DeleteTopicsRequest,
        DeleteTopicsResponse,
    )
    from aioproducer.wire.messages.describe_configs import (
        ConfigResource,
        ConfigResult,
        DescribeConfigsRequest,
        DescribeConfigsResponse,
    )
    from aioproducer.wire.messages.describe_producers import (
        DescribeProducersRequest,
        DescribeProducersResponse,
        PartitionProducers,
        ProducerState,
    )
    from aioproducer.wire.messages.describe_transactions import (
        DescribeTransactionsRequest,
        DescribeTransactionsResponse,
        TransactionDescription,
    )
    from aioproducer.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
    from aioproducer.wire.messages.find_coordinator import (
        FindCoordinatorRequest,
        FindCoordinatorResponse,
    )
    from aioproducer.wire.messages.get_telemetry_subscriptions import (
        GetTelemetrySubscriptionsRequest,
        GetTelemetrySubscriptionsResponse,
    )
    from aioproducer.wire.messages.init_producer_id import (
        InitProducerIdRequest,
        InitProducerIdResponse,
    )
    from aioproducer.wire.messages.metadata import (
        Broker,
        MetadataRequest,
        MetadataResponse,
        PartitionMetadata,
        TopicMetadata,
    )
    from aioproducer.wire.messages.produce import (
        ProducePartition,
        ProducePartitionResponse,
        ProduceRequest,
        ProduceResponse,
        ProduceTopic,
        ProduceTopicResponse,
        RecordError,
    )
    from aioproducer.wire.messages.push_telemetry import (
        PushTelemetryRequest,
        PushTelemetryResponse,
    )
    from aioproducer.wire.messages.sasl_authenticate import (
        SaslAuthenticateRequest,
        SaslAuthenticateResponse,
    )
    from aioproducer.wire.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse
    from aioproducer.wire.messages.txn_offset_commit import (
        OffsetPartition,
        OffsetTopic,
        TxnOffsetCommitRequest,
        TxnOffsetCommitResponse,
    )

__all__ = [
    "AddOffsetsToTxnRequest",
    "AddOffsetsToTxnResponse",
    "AddPartitionsToTxnRequest",
    "AddPartitionsToTxnResponse",
    "ApiVersionsRequest",
    "ApiVersionsResponse",
    "Broker",
    "ConfigResource",
    "ConfigResult",
    "CreateTopicsRequest",
    "CreateTopicsResponse",
    "CreatedTopic",
    "DeleteTopicsRequest",
    "DeleteTopicsResponse",
    "DeletedTopic",
    "DescribeConfigsRequest",
    "DescribeConfigsResponse",
    "DescribeProducersRequest",
    "DescribeProducersResponse",
    "DescribeTransactionsRequest",
    "DescribeTransactionsResponse",
    "EndTxnRequest",
    "EndTxnResponse",
    "FindCoordinatorRequest",
    "FindCoordinatorResponse",
    "GetTelemetrySubscriptionsRequest",
    "GetTelemetrySubscriptionsResponse",
    "InitProducerIdRequest",
    "InitProducerIdResponse",
    "MetadataRequest",
    "MetadataResponse",
    "NewTopic",
    "OffsetPartition",
    "OffsetTopic",
    "PartitionMetadata",
    "PartitionProducers",
    "PartitionResult",
    "ProducePartition",
    "ProducePartitionResponse",
    "ProduceRequest",
    "ProduceResponse",
    "ProduceTopic",
    "ProduceTopicResponse",
    "ProducerState",
    "PushTelemetryRequest",
    "PushTelemetryResponse",
    "RecordError",
    "Request",
    "Response",
    "SaslAuthenticateRequest",
    "SaslAuthenticateResponse",
    "SaslHandshakeRequest",
    "SaslHandshakeResponse",
    "TopicMetadata",
    "TransactionDescription",
    "TxnOffsetCommitRequest",
    "TxnOffsetCommitResponse",
    "frame_request",
]

# Each is imported when somebody asks for it: a producer that needs no transactions shall not wait
# for their messages.
_WHERE = {
    "AddOffsetsToTxnRequest": "add_offsets_to_txn",
    "AddOffsetsToTxnResponse": "add_offsets_to_txn",
    "AddPartitionsToTxnRequest": "add_partitions_to_txn",
    "AddPartitionsToTxnResponse": "add_partitions_to_txn",
    "ApiVersionsRequest": "api_versions",
    "ApiVersionsResponse": "api_versions",
    "Broker": "metadata",
    "ConfigResource": "describe_configs",
    "ConfigResult": "describe_configs",
    "CreateTopicsRequest": "create_topics",
    "CreateTopicsResponse": "create_topics",
    "CreatedTopic": "create_topics",
    "DeleteTopicsRequest": "delete_topics",
    "DeleteTopicsResponse": "delete_topics",
    "DeletedTopic": "delete_topics",
    "DescribeConfigsRequest": "describe_configs",
    "DescribeConfigsResponse": "describe_configs",
    "DescribeProducersRequest": "describe_producers",
    "DescribeProducersResponse": "describe_producers",
    "DescribeTransactionsRequest": "describe_transactions",
    "DescribeTransactionsResponse": "describe_transactions",
    "EndTxnRequest": "end_txn",
    "EndTxnResponse": "end_txn",
    "FindCoordinatorRequest": "find_coordinator",
    "FindCoordinatorResponse": "find_coordinator",
    "GetTelemetrySubscriptionsRequest": "get_telemetry_subscriptions",
    "GetTelemetrySubscriptionsResponse": "get_telemetry_subscriptions",
    "InitProducerIdRequest": "init_producer_id",
    "InitProducerIdResponse": "init_producer_id",
    "MetadataRequest": "metadata",
    "MetadataResponse": "metadata",
    "NewTopic": "create_topics",
    "OffsetPartition": "txn_offset_commit",
    "OffsetTopic": "txn_offset_commit",
    "PartitionMetadata": "metadata",
    "PartitionProducers": "describe_producers",
    "PartitionResult": "add_partitions_to_txn",
    "ProducePartition": "produce",
    "ProducePartitionResponse": "produce",
    "ProduceRequest": "produce",
    "ProduceResponse": "produce",
    "ProduceTopic": "produce",
    "ProduceTopicResponse": "produce",
    "ProducerState": "describe_producers",
    "PushTelemetryRequest": "push_telemetry",
    "PushTelemetryResponse": "push_telemetry",
    "RecordError": "produce",
    "SaslAuthenticateRequest": "sasl_authenticate",
    "SaslAuthenticateResponse": "sasl_authenticate",
    "SaslHandshakeRequest": "sasl_handshake",
    "SaslHandshakeResponse": "sasl_handshake",
    "TopicMetadata": "metadata",
    "TransactionDescription": "describe_transactions",
    "TxnOffsetCommitRequest": "txn_offset_commit",
    "TxnOffsetCommitResponse": "txn_offset_commit",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


_SIZE = struct.Struct(">i")


class Response(Protocol):
    @property
    def throttle_time_ms(self) -> int: ...

    @classmethod
    def decode(cls, reader: Reader, version: int) -> Self: ...


ResponseT = TypeVar("ResponseT", bound=Response, covariant=True)


class Request(Protocol[ResponseT]):
    API_KEY: ClassVar[ApiKey]

    @property
    def Response(self) -> type[ResponseT]:
        """The class of the answer: ``call(Request[R]) -> R`` is all a caller needs to declare."""

    def encode(self, version: int) -> list[Buffer]: ...


def frame_request(
    request: Request[Response], version: int, correlation_id: int, client_id: str | None
) -> list[Buffer]:
    """Return the buffers of a whole request: size, header and body.

    The first buffer holds everything in front of the first record batch.
    """
    body = request.encode(version)
    header = encode_request_header(request.API_KEY, version, correlation_id, client_id)
    size = len(header)
    for buffer in body:
        size += len(buffer)
    body[0] = b"".join((_SIZE.pack(size), header, body[0]))
    return body
