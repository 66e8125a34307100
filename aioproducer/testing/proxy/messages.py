"""The messages that the proxy reads or writes itself; all others it passes on as bytes."""

from __future__ import annotations

from typing import NamedTuple

from aioproducer.testing.proxy.schema import NEWEST, Message, message

API_NAMES = (
    "Produce", "Fetch", "ListOffsets", "Metadata", "LeaderAndIsr", "StopReplica", "UpdateMetadata",
    "ControlledShutdown", "OffsetCommit", "OffsetFetch", "FindCoordinator", "JoinGroup",
    "Heartbeat", "LeaveGroup", "SyncGroup", "DescribeGroups", "ListGroups", "SaslHandshake",
    "ApiVersions", "CreateTopics", "DeleteTopics", "DeleteRecords", "InitProducerId",
    "OffsetForLeaderEpoch", "AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn", "WriteTxnMarkers",
    "TxnOffsetCommit", "DescribeAcls", "CreateAcls", "DeleteAcls", "DescribeConfigs",
    "AlterConfigs", "AlterReplicaLogDirs", "DescribeLogDirs", "SaslAuthenticate",
    "CreatePartitions", "CreateDelegationToken", "RenewDelegationToken", "ExpireDelegationToken",
    "DescribeDelegationToken", "DeleteGroups", "ElectLeaders", "IncrementalAlterConfigs",
    "AlterPartitionReassignments", "ListPartitionReassignments", "OffsetDelete",
    "DescribeClientQuotas", "AlterClientQuotas", "DescribeUserScramCredentials",
    "AlterUserScramCredentials", "Vote", "BeginQuorumEpoch", "EndQuorumEpoch", "DescribeQuorum",
    "AlterPartition", "UpdateFeatures", "Envelope", "FetchSnapshot", "DescribeCluster",
    "DescribeProducers", "BrokerRegistration", "BrokerHeartbeat", "UnregisterBroker",
    "DescribeTransactions", "ListTransactions", "AllocateProducerIds", "ConsumerGroupHeartbeat",
    "ConsumerGroupDescribe", "ControllerRegistration", "GetTelemetrySubscriptions",
    "PushTelemetry", "AssignReplicasToDirs", "ListConfigResources", "DescribeTopicPartitions",
    "ShareGroupHeartbeat", "ShareGroupDescribe", "ShareFetch", "ShareAcknowledge",
)  # fmt: skip
"""The names of Kafka's APIs by their keys."""


class Pair(NamedTuple):
    """A request and its answer, in the versions up to ``newest``."""

    request: Message
    answer: Message
    newest: int


def _pair(name: str, newest: int, flexible: int, request: str, answer: str) -> tuple[int, Pair]:
    key = API_NAMES.index(name)
    return key, Pair(
        message(f"{name}Request", request, flexible=flexible),
        message(f"{name}Response", answer, flexible=flexible),
        newest,
    )


_PAIRS = (
    _pair(
        "Produce", 13, 9,
        """
        TransactionalId ?string 3+
        Acks int16
        TimeoutMs int32
        TopicData []
          Name string 0-12
          TopicId uuid 13+
          PartitionData []
            Index int32
            Records ?bytes
        """,
        """
        Responses []
          Name string 0-12
          TopicId uuid 13+
          PartitionResponses []
            Index int32
            ErrorCode int16
            BaseOffset int64 =-1
            LogAppendTimeMs int64 2+ =-1
            LogStartOffset int64 5+ =-1
            RecordErrors [] 8+
              BatchIndex int32
              BatchIndexErrorMessage ?string
            ErrorMessage ?string 8+
            CurrentLeader {} 10+ tag0
              LeaderId int32 =-1
              LeaderEpoch int32 =-1
        ThrottleTimeMs int32 1+
        NodeEndpoints [] 10+ tag0
          NodeId int32
          Host string
          Port int32
          Rack ?string
        """,
    ),
    _pair(
        "Fetch", 18, 12,
        # Never read: only what the answers tell of brokers concerns the proxy.
        "Unread int32",
        """
        ThrottleTimeMs int32 1+
        ErrorCode int16 7+
        SessionId int32 7+
        Responses []
          Topic string 0-12
          TopicId uuid 13+
          Partitions []
            PartitionIndex int32
            ErrorCode int16
            HighWatermark int64
            LastStableOffset int64 4+ =-1
            LogStartOffset int64 5+ =-1
            AbortedTransactions ?[] 4+
              ProducerId int64
              FirstOffset int64
            PreferredReadReplica int32 11+ =-1
            Records ?bytes
        NodeEndpoints [] 16+ tag0
          NodeId int32
          Host string
          Port int32
          Rack ?string
        """,
    ),
    _pair(
        "Metadata", 13, 9,
        """
        Topics ?[]
          TopicId uuid 10+
          Name ?string
        AllowAutoTopicCreation bool 4+ =1
        IncludeClusterAuthorizedOperations bool 8-10
        IncludeTopicAuthorizedOperations bool 8+
        """,
        """
        ThrottleTimeMs int32 3+
        Brokers []
          NodeId int32
          Host string
          Port int32
          Rack ?string 1+
        ClusterId ?string 2+
        ControllerId int32 1+ =-1
        Topics []
          ErrorCode int16
          Name ?string
          TopicId uuid 10+
          IsInternal bool 1+
          Partitions []
            ErrorCode int16
            PartitionIndex int32
            LeaderId int32
            LeaderEpoch int32 7+ =-1
            ReplicaNodes []int32
            IsrNodes []int32
            OfflineReplicas []int32 5+
          TopicAuthorizedOperations int32 8+ =-2147483648
        ClusterAuthorizedOperations int32 8-10 =-2147483648
        ErrorCode int16 13+
        """,
    ),
    _pair(
        "FindCoordinator", 6, 3,
        """
        Key string 0-3
        KeyType int8 1+
        CoordinatorKeys []string 4+
        """,
        """
        ThrottleTimeMs int32 1+
        ErrorCode int16 0-3
        ErrorMessage ?string 1-3
        NodeId int32 0-3
        Host string 0-3
        Port int32 0-3
        Coordinators [] 4+
          Key string
          NodeId int32
          Host string
          Port int32
          ErrorCode int16
          ErrorMessage ?string
        """,
    ),
    _pair(
        "SaslHandshake", 1, NEWEST,
        "Mechanism string",
        """
        ErrorCode int16
        Mechanisms []string
        """,
    ),
    _pair(
        "ApiVersions", 4, 3,
        """
        ClientSoftwareName string 3+
        ClientSoftwareVersion string 3+
        """,
        """
        ErrorCode int16
        ApiKeys []
          ApiKey int16
          MinVersion int16
          MaxVersion int16
        ThrottleTimeMs int32 1+
        """,
    ),
    _pair(
        "InitProducerId", 6, 2,
        """
        TransactionalId ?string
        TransactionTimeoutMs int32
        ProducerId int64 3+ =-1
        ProducerEpoch int16 3+ =-1
        Enable2Pc bool 6+
        KeepPreparedTxn bool 6+
        """,
        """
        ThrottleTimeMs int32
        ErrorCode int16
        ProducerId int64 =-1
        ProducerEpoch int16
        OngoingTxnProducerId int64 6+ =-1
        OngoingTxnProducerEpoch int16 6+ =-1
        """,
    ),
    _pair(
        "AddPartitionsToTxn", 5, 3,
        """
        Transactions [] 4+
          TransactionalId string
          ProducerId int64
          ProducerEpoch int16
          VerifyOnly bool
          Topics []
            Name string
            Partitions []int32
        V3AndBelowTransactionalId string 0-3
        V3AndBelowProducerId int64 0-3
        V3AndBelowProducerEpoch int16 0-3
        V3AndBelowTopics [] 0-3
          Name string
          Partitions []int32
        """,
        """
        ThrottleTimeMs int32
        ErrorCode int16 4+
        ResultsByTransaction [] 4+
          TransactionalId string
          TopicResults []
            Name string
            ResultsByPartition []
              PartitionIndex int32
              PartitionErrorCode int16
        ResultsByTopicV3AndBelow [] 0-3
          Name string
          ResultsByPartition []
            PartitionIndex int32
            PartitionErrorCode int16
        """,
    ),
    _pair(
        "AddOffsetsToTxn", 4, 3,
        """
        TransactionalId string
        ProducerId int64
        ProducerEpoch int16
        GroupId string
        """,
        """
        ThrottleTimeMs int32
        ErrorCode int16
        """,
    ),
    _pair(
        "EndTxn", 5, 3,
        """
        TransactionalId string
        ProducerId int64
        ProducerEpoch int16
        Committed bool
        """,
        """
        ThrottleTimeMs int32
        ErrorCode int16
        ProducerId int64 5+ =-1
        ProducerEpoch int16 5+ =-1
        """,
    ),
    _pair(
        "TxnOffsetCommit", 5, 3,
        """
        TransactionalId string
        GroupId string
        ProducerId int64
        ProducerEpoch int16
        GenerationId int32 3+ =-1
        MemberId string 3+
        GroupInstanceId ?string 3+
        Topics []
          Name string
          Partitions []
            PartitionIndex int32
            CommittedOffset int64
            CommittedLeaderEpoch int32 2+ =-1
            CommittedMetadata ?string
        """,
        """
        ThrottleTimeMs int32
        Topics []
          Name string
          Partitions []
            PartitionIndex int32
            ErrorCode int16
        """,
    ),
    _pair(
        "SaslAuthenticate", 2, 2,
        "AuthBytes bytes",
        """
        ErrorCode int16
        ErrorMessage ?string
        AuthBytes bytes
        SessionLifetimeMs int64 1+
        """,
    ),
    _pair(
        "DescribeCluster", 2, 0,
        """
        IncludeClusterAuthorizedOperations bool
        EndpointType int8 1+ =1
        IncludeFencedBrokers bool 2+
        """,
        """
        ThrottleTimeMs int32
        ErrorCode int16
        ErrorMessage ?string
        EndpointType int8 1+ =1
        ClusterId string
        ControllerId int32 =-1
        Brokers []
          BrokerId int32
          Host string
          Port int32
          Rack ?string
          IsFenced bool 2+
        ClusterAuthorizedOperations int32 =-2147483648
        """,
    ),
)  # fmt: skip

MESSAGES: dict[int, Pair] = dict(_PAIRS)
"""By API key."""

PRODUCE = API_NAMES.index("Produce")
FETCH = API_NAMES.index("Fetch")
METADATA = API_NAMES.index("Metadata")
FIND_COORDINATOR = API_NAMES.index("FindCoordinator")
SASL_HANDSHAKE = API_NAMES.index("SaslHandshake")
API_VERSIONS = API_NAMES.index("ApiVersions")
DESCRIBE_CLUSTER = API_NAMES.index("DescribeCluster")
ADD_PARTITIONS_TO_TXN = API_NAMES.index("AddPartitionsToTxn")
TXN_OFFSET_COMMIT = API_NAMES.index("TxnOffsetCommit")


def api_key(api: str | int) -> int:
    """Return the key of an API; raises :exc:`ValueError` for a name that Kafka does not have."""
    if isinstance(api, int):
        return int(api)
    try:
        return API_NAMES.index(api)
    except ValueError:
        raise ValueError(f"Kafka has no API {api!r}; there is, for example, 'Produce'") from None


def is_flexible(api: int, version: int) -> bool:
    """Return whether a message that the proxy knows is a flexible one."""
    return version >= MESSAGES[api].request.flexible_since


def answer_offset(api: int, version: int) -> int:
    """Return where the body of an answer begins that has no tags in its header."""
    # The answer to ApiVersions is read before it is known what the other side speaks (KIP-511).
    return 4 + (api != API_VERSIONS and is_flexible(api, version))
