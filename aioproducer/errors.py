"""Every exception that aioproducer raises or puts into a Delivery.

    ProducerError
     +-- ConfigurationError (ValueError)
     +-- ProducerStateError (RuntimeError)
     |    +-- NotStartedError
     |    +-- ProducerClosedError
     |    +-- WrongLoopError
     |    +-- TransactionStateError
     +-- SerializationError
     |    +-- SerializerNotReadyError
     |    +-- SerializerTimeoutError (ProducerTimeoutError as well)
     |    +-- SchemaRegistryError
     |    +-- DeserializationError
     +-- PartitionerError
     +-- RecordTooLargeError
     |    +-- MessageTooLargeError, RecordListTooLargeError (both BrokerError as well)
     +-- BufferExhaustedError
     +-- MetadataNotReadyError
     +-- MalformedResponseError
     +-- ClusterConnectionError
     |    +-- AuthenticationError
     +-- CircuitOpenError
     +-- DeadLetterError
     +-- TransactionAbortedError
     +-- FatalTransactionError
     |    +-- ProducerFencedError, InvalidProducerIdMappingError (both BrokerError as well)
     +-- ProducerTimeoutError (TimeoutError)
     |    +-- MetadataTimeoutError
     |    +-- DeliveryTimeoutError
     |    +-- FlushTimeoutError
     |    +-- TransactionTimeoutError
     +-- BrokerError
          +-- one class for each error code of Kafka: NotLeaderOrFollowerError, ...

Whatever went wrong, three attributes say what it means to the caller: `retriable` (the same call
may succeed later with nothing changed in the program), `persisted` (whether the record is in the
log nevertheless) and `what_next` (a sentence for a human).

A class for a broker's code is named after the code: NOT_LEADER_OR_FOLLOWER is
NotLeaderOrFollowerError; a trailing EXCEPTION or ERROR is not repeated. A code that is newer than
this list arrives as a plain BrokerError with its number.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

Persisted = Literal["no", "maybe", "yes"]


def because(cause: BaseException | None) -> str:
    """Return the last cause as the end of a message about something that took too long."""
    return f"; last error: {cause}" if cause is not None else ""


AFTER_A_CRASH = "Close this producer and make another; the log and the cause say what died."


class ProducerError(Exception):
    """Base of all errors of this package."""

    retriable: bool = False
    what_next: str = ""

    def __init__(
        self,
        message: str = "",
        *,
        retriable: bool | None = None,
        persisted: Persisted = "no",
        what_next: str = "",
        topic: str | None = None,
        partition: int | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        if retriable is not None:
            self.retriable = retriable
        if what_next:
            self.what_next = what_next
        self.persisted: Persisted = persisted
        self.topic = topic
        self.partition = partition
        self.attempts = attempts

    @property
    def message(self) -> str:
        """What happened, without the topic, partition and attempts that str() adds."""
        return str(self.args[0]) if self.args else ""

    def replica(self) -> Self:
        """Return an equal error without a traceback, which shares this one's cause.

        One object raised from many futures would collect the tracebacks of all of them.
        """
        cls = type(self)
        # __init__ is passed over on purpose: a subclass may ask for other arguments than ours.
        twin = cls.__new__(cls)
        twin.__dict__.update(self.__dict__)
        notes = getattr(self, "__notes__", None)
        if notes is not None:
            twin.__notes__ = list(notes)
        twin.args = self.args
        twin.__cause__ = self.__cause__
        return twin

    def __str__(self) -> str:
        place = []
        if self.topic is not None:
            place.append(f"topic {self.topic!r}")
        if self.partition is not None:
            place.append(f"partition {self.partition}")
        if self.attempts:
            place.append(f"after {self.attempts} attempt{'s' if self.attempts > 1 else ''}")
        message = self.message or type(self).__name__
        told = f" ({', '.join(place)})" if place else ""
        # A message that ends with the words of its cause may have said it.
        return message if message.endswith(told) else message + told


class ConfigurationError(ProducerError, ValueError):
    """The configuration contradicts itself, or names something that is not there."""

    what_next = "Correct the configuration; every violation is named in the message."


class ProducerStateError(ProducerError, RuntimeError):
    """The call does not fit the state that the producer is in."""

    what_next = "Correct the order of the calls in the program."


class NotStartedError(ProducerStateError):
    """The producer was used before start()."""

    what_next = "Use `async with AsyncProducer(...)`, or await start() before the first call."


class ProducerClosedError(ProducerStateError):
    """The producer is closed or closing."""

    what_next = "Make a new producer; a closed one does not open again."


class WrongLoopError(ProducerStateError):
    """The producer was used from another event loop, thread or process than it was started in."""

    what_next = "Call it from the loop that it was started in, or make one producer for each loop."


class TransactionStateError(ProducerStateError):
    """The call does not fit the state of the transaction."""


class SerializationError(ProducerError):
    """A serializer raised, or gave something else than bytes or None."""

    what_next = "Correct the value or its serializer; only this record is affected."


class SerializerNotReadyError(SerializationError):
    """The serializer has to wait for something and the call does not wait for it."""

    retriable = True
    what_next = "Use send(), which waits, or send one record to the topic first."


class SchemaRegistryError(SerializationError):
    """A schema registry refused, or could not be asked.

    ``status`` is that of HTTP, ``code`` the registry's own; -1 where it did not answer.
    """

    what_next = "Correct the schema, its subject, or the serializer's settings."

    def __init__(
        self,
        message: str = "",
        *,
        status: int = -1,
        code: int = -1,
        retriable: bool | None = None,
        persisted: Persisted = "no",
        what_next: str = "",
        topic: str | None = None,
        partition: int | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(
            message,
            retriable=retriable,
            persisted=persisted,
            what_next=what_next,
            topic=topic,
            partition=partition,
            attempts=attempts,
        )
        self.status = status
        self.code = code


class DeserializationError(SerializationError):
    """Bytes are not what a deserializer reads."""

    what_next = "Read them with the deserializer of the serializer that wrote them."


class PartitionerError(ProducerError):
    """A partitioner raised, or chose a partition that does not exist."""

    what_next = "Correct the partitioner; only this record is affected."


class RecordTooLargeError(ProducerError):
    """The record is larger than max.request.size, buffer.memory or the broker's limit allow."""

    what_next = "Send a smaller value, or raise max.request.size and the topic's max.message.bytes."


class BufferExhaustedError(ProducerError):
    """No room for the record: the cluster takes records slower than they are sent."""

    retriable = True
    what_next = "Await drain() between sends, raise buffer.memory, or send less."


class MetadataNotReadyError(ProducerError):
    """The partitions of the topic are not known yet and the call does not wait for them."""

    retriable = True
    what_next = "Call warm_up() for the topic first, or use send(), which waits."


class MalformedResponseError(ProducerError):
    """Bytes from the network are not what Kafka's protocol says they should be."""

    what_next = "Check that the address and port are those of a Kafka listener without TLS."


class ClusterConnectionError(ProducerError):
    """No broker could be reached, or the connection to one was lost."""

    retriable = True
    what_next = "Check that the brokers run, and that their addresses can be reached from here."

    def __init__(
        self,
        message: str = "",
        *,
        addresses: tuple[str, ...] = (),
        retriable: bool | None = None,
        persisted: Persisted = "no",
        what_next: str = "",
        topic: str | None = None,
        partition: int | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(
            message,
            retriable=retriable,
            persisted=persisted,
            what_next=what_next,
            topic=topic,
            partition=partition,
            attempts=attempts,
        )
        self.addresses = addresses


class AuthenticationError(ClusterConnectionError):
    """A broker and this producer do not accept each other: TLS or SASL refused.

    Where a broker answered with an error code, that error is the `__cause__`.
    """

    retriable = False
    what_next = "Correct what the message names; later sends try again, with new credentials."


class CircuitOpenError(ProducerError):
    """A circuit breaker let no record through: the cluster has failed too often lately.

    ``retry_after`` is in how many seconds the circuit may let one through; ``circuit`` names the
    topic or broker where there is a circuit for each.
    """

    retriable = True
    what_next = "Send again after .retry_after seconds, or keep the record elsewhere meanwhile."

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float = 0.0,
        circuit: str = "",
        retriable: bool | None = None,
        persisted: Persisted = "no",
        what_next: str = "",
        topic: str | None = None,
        partition: int | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(
            message,
            retriable=retriable,
            persisted=persisted,
            what_next=what_next,
            topic=topic,
            partition=partition,
            attempts=attempts,
        )
        self.retry_after = retry_after
        self.circuit = circuit


class DeadLetterError(ProducerError):
    """A record failed, and could not be kept as a dead letter either.

    ``errors`` are all errors in the order they came: the record's own, which is the ``__cause__``
    too, then the dead-letter topic's, then the spool file's or the callback's.
    """

    what_next = "Look at .errors; the record is nowhere but with whoever sent it."

    def __init__(
        self,
        message: str = "",
        *,
        errors: tuple[BaseException, ...] = (),
        retriable: bool | None = None,
        persisted: Persisted = "no",
        what_next: str = "",
        topic: str | None = None,
        partition: int | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(
            message,
            retriable=retriable,
            persisted=persisted,
            what_next=what_next,
            topic=topic,
            partition=partition,
            attempts=attempts,
        )
        self.errors = errors


class ProducerTimeoutError(ProducerError, TimeoutError):
    """Something did not happen within its time."""

    retriable = True


class SerializerTimeoutError(SerializationError, ProducerTimeoutError):
    """A serializer did not answer within max.block.ms: its schema could not be had, for one."""

    retriable = True
    what_next = "Look at the cause: most likely the schema registry cannot be reached."


class MetadataTimeoutError(ProducerTimeoutError):
    """The topic or partition did not become known within the time allowed."""

    what_next = "Check that the topic exists and that the brokers can be reached."


class DeliveryTimeoutError(ProducerTimeoutError):
    """The record was not acknowledged within delivery.timeout.ms."""

    what_next = "When .persisted is 'maybe', sending it again may put it into the log twice."


class FlushTimeoutError(ProducerTimeoutError):
    """Not all records were done when the time for flush() was over."""

    what_next = "The records stay on their way: flush again, or look at the Deliveries."


class TransactionAbortedError(ProducerError):
    """The record was not delivered because its transaction was, or has to be, aborted.

    The cause is what made the transaction fail, where it was not the program's own wish.
    """

    what_next = "Abort the transaction and run all of it again."


class FatalTransactionError(ProducerError):
    """Nothing that this transactional producer does can succeed any more."""

    what_next = "Close this producer and make a new one; the open transaction is aborted by it."


class TransactionTimeoutError(ProducerTimeoutError):
    """A step of the transaction did not end in time."""

    what_next = "Repeat the same call: whether the step took effect is not known until it returns."


_NOT_FOR_PRODUCERS = "A producer does not expect this code; look for it in the log of the broker."
_PASSES = "It passes by itself as a rule; send again, and look at the brokers if it stays."
_AUTHORIZATION = "Ask for the permission; nothing is sent until it is granted."
_AUTHENTICATION = "Check the mechanism and the credentials against what the broker asks for."
_BROKER_VERSION = "The broker is too old or too new for this; Kafka 2.1 or newer is needed."
_SEQUENCE = "The log has a gap in this producer's records; find out what is in it, then go on."
_FENCED = "Another producer took over; close this one and restore the state before a new one."
_REPLICAS = "Bring back replicas of the partition, or lower min.insync.replicas of the topic."
_DISAGREEMENT = (
    "Client and broker disagree about the protocol; please report it with both versions."
)
_CONFIGURATION = "Correct the configuration; trying again does not help."


class BrokerError(ProducerError):
    """A broker answered with an error code."""

    _by_code: ClassVar[dict[int, type[BrokerError]]] = {}
    _name: ClassVar[str] = ""
    code: int = -1
    what_next = _NOT_FOR_PRODUCERS

    def __init_subclass__(
        cls, *, code: int | None = None, name: str = "", retriable: bool | None = None
    ) -> None:
        super().__init_subclass__()
        if retriable is not None:
            cls.retriable = retriable
        if code is not None:
            cls.code = code
            cls._name = name
            cls._by_code[code] = cls

    def __init__(
        self,
        message: str = "",
        *,
        code: int | None = None,
        broker_message: str | None = None,
        retriable: bool | None = None,
        persisted: Persisted = "no",
        what_next: str = "",
        topic: str | None = None,
        partition: int | None = None,
        attempts: int = 0,
    ) -> None:
        if code is not None:
            self.code = code
        self.broker_message = broker_message
        super().__init__(
            message or self._own_words(),
            retriable=retriable,
            persisted=persisted,
            what_next=what_next,
            topic=topic,
            partition=partition,
            attempts=attempts,
        )

    @property
    def name(self) -> str:
        """The code's name in Kafka's protocol; UNKNOWN(number) for a code newer than this list."""
        return self._name or f"UNKNOWN({self.code})"

    def _own_words(self) -> str:
        name = f"{self._name} ({self.code})" if self._name else f"unknown error code {self.code}"
        words = self.broker_message or (type(self).__doc__ or "" if self._name else "")
        return f"{name}: {words}" if words else name


def broker_error(
    code: int,
    broker_message: str | None = None,
    *,
    persisted: Persisted = "no",
    topic: str | None = None,
    partition: int | None = None,
    attempts: int = 0,
) -> BrokerError:
    """Make the error for a code that a broker answered, of the code's own class if it has one."""
    return BrokerError._by_code.get(code, BrokerError)(
        code=code,
        broker_message=broker_message,
        persisted=persisted,
        topic=topic,
        partition=partition,
        attempts=attempts,
    )


def broker_error_classes() -> dict[int, type[BrokerError]]:
    """Return the class of each known code."""
    return dict(BrokerError._by_code)


class UnknownServerError(BrokerError, code=-1, name="UNKNOWN_SERVER_ERROR"):
    """The broker failed in a way that it did not expect itself."""

    what_next = "Look into the log of the broker; the record may or may not be there."


class OffsetOutOfRangeError(BrokerError, code=1, name="OFFSET_OUT_OF_RANGE"):
    """The offset is outside of what the log holds."""


class CorruptMessageError(BrokerError, code=2, name="CORRUPT_MESSAGE", retriable=True):
    """The broker found the batch damaged: its checksum does not match, or its key is missing."""

    what_next = "If it stays: a compacted topic needs keys, or something on the way changes bytes."


class UnknownTopicOrPartitionError(
    BrokerError, code=3, name="UNKNOWN_TOPIC_OR_PARTITION", retriable=True
):
    """The broker does not have this topic or partition."""

    what_next = (
        "Check that the topic exists; if it was just made, the brokers may still be learning of it."
    )


class InvalidFetchSizeError(BrokerError, code=4, name="INVALID_FETCH_SIZE"):
    """The size asked for in a fetch is not valid."""


class LeaderNotAvailableError(BrokerError, code=5, name="LEADER_NOT_AVAILABLE", retriable=True):
    """The partition has no leader at the moment."""

    what_next = _PASSES


class NotLeaderOrFollowerError(BrokerError, code=6, name="NOT_LEADER_OR_FOLLOWER", retriable=True):
    """The broker is not the leader of the partition any more."""

    what_next = _PASSES


class RequestTimedOutError(BrokerError, code=7, name="REQUEST_TIMED_OUT", retriable=True):
    """The broker did not get the acknowledgements of its replicas in time."""

    what_next = _PASSES


class BrokerNotAvailableError(BrokerError, code=8, name="BROKER_NOT_AVAILABLE"):
    """The broker is not available."""

    what_next = _PASSES


class ReplicaNotAvailableError(BrokerError, code=9, name="REPLICA_NOT_AVAILABLE", retriable=True):
    """The replica asked for is not available."""

    what_next = _PASSES


class MessageTooLargeError(BrokerError, RecordTooLargeError, code=10, name="MESSAGE_TOO_LARGE"):
    """The batch is larger than the topic or the broker accepts."""

    what_next = "Send a smaller value, or raise max.message.bytes of the topic."


class StaleControllerEpochError(BrokerError, code=11, name="STALE_CONTROLLER_EPOCH"):
    """The controller has moved to another broker."""


class OffsetMetadataTooLargeError(BrokerError, code=12, name="OFFSET_METADATA_TOO_LARGE"):
    """The metadata of a committed offset is too large."""


class NetworkError(BrokerError, code=13, name="NETWORK_EXCEPTION", retriable=True):
    """The connection was lost before the answer came."""

    what_next = _PASSES


class CoordinatorLoadInProgressError(
    BrokerError, code=14, name="COORDINATOR_LOAD_IN_PROGRESS", retriable=True
):
    """The coordinator is still loading its state."""

    what_next = _PASSES


class CoordinatorNotAvailableError(
    BrokerError, code=15, name="COORDINATOR_NOT_AVAILABLE", retriable=True
):
    """The coordinator is not available."""

    what_next = _PASSES


class NotCoordinatorError(BrokerError, code=16, name="NOT_COORDINATOR", retriable=True):
    """The broker is not the coordinator any more."""

    what_next = _PASSES


class InvalidTopicError(BrokerError, code=17, name="INVALID_TOPIC_EXCEPTION"):
    """The broker does not accept this topic: its name is not legal, or it is an internal one."""

    what_next = "Use another topic."


class RecordListTooLargeError(
    BrokerError, RecordTooLargeError, code=18, name="RECORD_LIST_TOO_LARGE"
):
    """The batch is larger than a segment of the log."""

    what_next = "Lower batch.size, or raise segment.bytes of the topic."


class NotEnoughReplicasError(BrokerError, code=19, name="NOT_ENOUGH_REPLICAS", retriable=True):
    """Fewer replicas are in sync than min.insync.replicas asks for; nothing was written."""

    what_next = _REPLICAS


class NotEnoughReplicasAfterAppendError(
    BrokerError, code=20, name="NOT_ENOUGH_REPLICAS_AFTER_APPEND", retriable=True
):
    """The batch was written, but to fewer replicas than min.insync.replicas asks for."""

    what_next = _REPLICAS


class InvalidRequiredAcksError(BrokerError, code=21, name="INVALID_REQUIRED_ACKS"):
    """The broker does not know this value of acks."""

    what_next = _CONFIGURATION


class IllegalGenerationError(BrokerError, code=22, name="ILLEGAL_GENERATION"):
    """The generation of the consumer group is over."""

    what_next = (
        "The group has rebalanced: abort, and go on with the partitions that are assigned now."
    )


class InconsistentGroupProtocolError(BrokerError, code=23, name="INCONSISTENT_GROUP_PROTOCOL"):
    """The member's protocols do not fit those of the group."""


class InvalidGroupIdError(BrokerError, code=24, name="INVALID_GROUP_ID"):
    """The id of the group is not valid."""

    what_next = _CONFIGURATION


class UnknownMemberIdError(BrokerError, code=25, name="UNKNOWN_MEMBER_ID"):
    """The coordinator does not know this member of the group."""

    what_next = (
        "The group has rebalanced: abort, and go on with the partitions that are assigned now."
    )


class InvalidSessionTimeoutError(BrokerError, code=26, name="INVALID_SESSION_TIMEOUT"):
    """The session timeout is outside of the broker's range."""


class RebalanceInProgressError(BrokerError, code=27, name="REBALANCE_IN_PROGRESS"):
    """The group is rebalancing."""

    what_next = "Abort, and go on when the group has settled."


class InvalidCommitOffsetSizeError(BrokerError, code=28, name="INVALID_COMMIT_OFFSET_SIZE"):
    """The commit is too large for the offsets topic."""

    what_next = "Commit fewer offsets at once, or with shorter metadata."


class TopicAuthorizationFailedError(BrokerError, code=29, name="TOPIC_AUTHORIZATION_FAILED"):
    """The principal may not write to this topic."""

    what_next = _AUTHORIZATION


class GroupAuthorizationFailedError(BrokerError, code=30, name="GROUP_AUTHORIZATION_FAILED"):
    """The principal may not use this group."""

    what_next = _AUTHORIZATION


class ClusterAuthorizationFailedError(BrokerError, code=31, name="CLUSTER_AUTHORIZATION_FAILED"):
    """The principal may not do this on the cluster."""

    what_next = _AUTHORIZATION


class InvalidTimestampError(BrokerError, code=32, name="INVALID_TIMESTAMP"):
    """The timestamp is outside of the range that the topic accepts."""

    what_next = "Correct timestamp_ms of the record, or the topic's message.timestamp limits."


class UnsupportedSaslMechanismError(BrokerError, code=33, name="UNSUPPORTED_SASL_MECHANISM"):
    """The broker does not offer this SASL mechanism."""

    what_next = _AUTHENTICATION


class IllegalSaslStateError(BrokerError, code=34, name="ILLEGAL_SASL_STATE"):
    """The request does not fit the state of the SASL exchange."""

    what_next = _AUTHENTICATION


class UnsupportedVersionError(BrokerError, code=35, name="UNSUPPORTED_VERSION"):
    """No version of the request is spoken by both sides."""

    what_next = _BROKER_VERSION


class TopicAlreadyExistsError(BrokerError, code=36, name="TOPIC_ALREADY_EXISTS"):
    """A topic of this name is there already."""


class InvalidPartitionsError(BrokerError, code=37, name="INVALID_PARTITIONS"):
    """The number of partitions is not valid."""


class InvalidReplicationFactorError(BrokerError, code=38, name="INVALID_REPLICATION_FACTOR"):
    """The replication factor is not possible with the brokers that are there."""


class InvalidReplicaAssignmentError(BrokerError, code=39, name="INVALID_REPLICA_ASSIGNMENT"):
    """The assignment of replicas is not valid."""


class InvalidConfigError(BrokerError, code=40, name="INVALID_CONFIG"):
    """A configuration value of the broker or topic is not valid."""

    what_next = _CONFIGURATION


class NotControllerError(BrokerError, code=41, name="NOT_CONTROLLER", retriable=True):
    """The broker is not the controller."""

    what_next = _PASSES


class InvalidRequestError(BrokerError, code=42, name="INVALID_REQUEST"):
    """The broker could not make sense of the request."""

    what_next = _DISAGREEMENT


class UnsupportedForMessageFormatError(BrokerError, code=43, name="UNSUPPORTED_FOR_MESSAGE_FORMAT"):
    """The topic's message format is too old for this."""

    what_next = "Raise the message format of the topic."


class PolicyViolationError(BrokerError, code=44, name="POLICY_VIOLATION"):
    """A policy of the cluster forbids this."""

    what_next = "Ask whoever runs the cluster which policy forbids it; sending again does not help."


class OutOfOrderSequenceNumberError(BrokerError, code=45, name="OUT_OF_ORDER_SEQUENCE_NUMBER"):
    """The batch does not follow the last one of this producer in the log."""

    what_next = _SEQUENCE


class DuplicateSequenceNumberError(BrokerError, code=46, name="DUPLICATE_SEQUENCE_NUMBER"):
    """The batch is in the log already."""

    what_next = "Nothing: the first copy counts; its offset is not known."


class InvalidProducerEpochError(BrokerError, code=47, name="INVALID_PRODUCER_EPOCH"):
    """The producer's epoch is older than the one the broker has seen."""

    what_next = _FENCED


class InvalidTxnStateError(BrokerError, code=48, name="INVALID_TXN_STATE"):
    """The coordinator's transaction is not in a state that allows this."""

    what_next = "Close the producer and make a new one."


class InvalidProducerIdMappingError(
    BrokerError, FatalTransactionError, code=49, name="INVALID_PRODUCER_ID_MAPPING"
):
    """The coordinator does not know this producer id for the transactional id."""

    what_next = _FENCED


class InvalidTransactionTimeoutError(BrokerError, code=50, name="INVALID_TRANSACTION_TIMEOUT"):
    """The transaction timeout is larger than the broker allows."""

    what_next = "Lower transaction.timeout.ms below the broker's transaction.max.timeout.ms."


class ConcurrentTransactionsError(
    BrokerError, code=51, name="CONCURRENT_TRANSACTIONS", retriable=True
):
    """The transaction before is still being completed."""

    what_next = _PASSES


class TransactionCoordinatorFencedError(
    BrokerError, code=52, name="TRANSACTION_COORDINATOR_FENCED"
):
    """The coordinator that wrote the marker is not the current one."""


class TransactionalIdAuthorizationFailedError(
    BrokerError, code=53, name="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
):
    """The principal may not use this transactional id."""

    what_next = _AUTHORIZATION


class SecurityDisabledError(BrokerError, code=54, name="SECURITY_DISABLED"):
    """Security is not enabled on the broker."""


class OperationNotAttemptedError(BrokerError, code=55, name="OPERATION_NOT_ATTEMPTED"):
    """The operation was not tried because another part of the request failed."""

    what_next = "Look at the error of the other partitions of the request."


class KafkaStorageError(BrokerError, code=56, name="KAFKA_STORAGE_ERROR", retriable=True):
    """The broker cannot read or write its disk."""

    what_next = "Look after the broker's disk; another replica takes over as a rule."


class LogDirNotFoundError(BrokerError, code=57, name="LOG_DIR_NOT_FOUND"):
    """The log directory is not on this broker."""


class SaslAuthenticationFailedError(BrokerError, code=58, name="SASL_AUTHENTICATION_FAILED"):
    """The broker refused the credentials."""

    what_next = _AUTHENTICATION


class UnknownProducerIdError(BrokerError, code=59, name="UNKNOWN_PRODUCER_ID"):
    """The broker has no state for this producer id, as after all of its records expired."""

    what_next = _SEQUENCE


class ReassignmentInProgressError(BrokerError, code=60, name="REASSIGNMENT_IN_PROGRESS"):
    """The partition is being reassigned."""


class DelegationTokenAuthDisabledError(BrokerError, code=61, name="DELEGATION_TOKEN_AUTH_DISABLED"):
    """Delegation tokens are switched off."""


class DelegationTokenNotFoundError(BrokerError, code=62, name="DELEGATION_TOKEN_NOT_FOUND"):
    """The delegation token is not known."""


class DelegationTokenOwnerMismatchError(
    BrokerError, code=63, name="DELEGATION_TOKEN_OWNER_MISMATCH"
):
    """The delegation token belongs to somebody else."""


class DelegationTokenRequestNotAllowedError(
    BrokerError, code=64, name="DELEGATION_TOKEN_REQUEST_NOT_ALLOWED"
):
    """Delegation tokens cannot be asked for over this connection."""


class DelegationTokenAuthorizationFailedError(
    BrokerError, code=65, name="DELEGATION_TOKEN_AUTHORIZATION_FAILED"
):
    """The principal may not ask for delegation tokens."""


class DelegationTokenExpiredError(BrokerError, code=66, name="DELEGATION_TOKEN_EXPIRED"):
    """The delegation token has expired."""


class InvalidPrincipalTypeError(BrokerError, code=67, name="INVALID_PRINCIPAL_TYPE"):
    """The type of the principal is not valid."""


class NonEmptyGroupError(BrokerError, code=68, name="NON_EMPTY_GROUP"):
    """The group is not empty."""


class GroupIdNotFoundError(BrokerError, code=69, name="GROUP_ID_NOT_FOUND"):
    """The group is not known."""

    what_next = "Check the group id of the consumer whose offsets are sent."


class FetchSessionIdNotFoundError(
    BrokerError, code=70, name="FETCH_SESSION_ID_NOT_FOUND", retriable=True
):
    """The fetch session is not known."""

    what_next = _PASSES


class InvalidFetchSessionEpochError(
    BrokerError, code=71, name="INVALID_FETCH_SESSION_EPOCH", retriable=True
):
    """The epoch of the fetch session is not valid."""

    what_next = _PASSES


class ListenerNotFoundError(BrokerError, code=72, name="LISTENER_NOT_FOUND", retriable=True):
    """The leader has no listener of the name that this connection came in by."""

    what_next = "Check listeners and advertised.listeners of all brokers."


class TopicDeletionDisabledError(BrokerError, code=73, name="TOPIC_DELETION_DISABLED"):
    """Topics cannot be deleted on this cluster."""


class FencedLeaderEpochError(BrokerError, code=74, name="FENCED_LEADER_EPOCH", retriable=True):
    """The leader epoch of the request is older than the broker's."""

    what_next = _PASSES


class UnknownLeaderEpochError(BrokerError, code=75, name="UNKNOWN_LEADER_EPOCH", retriable=True):
    """The leader epoch of the request is newer than the broker's."""

    what_next = _PASSES


class UnsupportedCompressionTypeError(BrokerError, code=76, name="UNSUPPORTED_COMPRESSION_TYPE"):
    """The broker or topic does not accept this codec."""

    what_next = "Choose another compression.type."


class StaleBrokerEpochError(BrokerError, code=77, name="STALE_BROKER_EPOCH"):
    """The epoch of the broker has changed."""


class OffsetNotAvailableError(BrokerError, code=78, name="OFFSET_NOT_AVAILABLE", retriable=True):
    """The leader does not know its high watermark yet."""

    what_next = _PASSES


class MemberIdRequiredError(BrokerError, code=79, name="MEMBER_ID_REQUIRED"):
    """The group wants the member to join with an id."""


class PreferredLeaderNotAvailableError(
    BrokerError, code=80, name="PREFERRED_LEADER_NOT_AVAILABLE", retriable=True
):
    """The preferred leader is not available."""

    what_next = _PASSES


class GroupMaxSizeReachedError(BrokerError, code=81, name="GROUP_MAX_SIZE_REACHED"):
    """The group is full."""


class FencedInstanceIdError(BrokerError, code=82, name="FENCED_INSTANCE_ID"):
    """Another consumer with the same group.instance.id took over."""

    what_next = _FENCED


class EligibleLeadersNotAvailableError(
    BrokerError, code=83, name="ELIGIBLE_LEADERS_NOT_AVAILABLE", retriable=True
):
    """No replica is eligible to lead."""

    what_next = _PASSES


class ElectionNotNeededError(BrokerError, code=84, name="ELECTION_NOT_NEEDED", retriable=True):
    """The partition needs no election."""

    what_next = _PASSES


class NoReassignmentInProgressError(BrokerError, code=85, name="NO_REASSIGNMENT_IN_PROGRESS"):
    """No reassignment is going on."""


class GroupSubscribedToTopicError(BrokerError, code=86, name="GROUP_SUBSCRIBED_TO_TOPIC"):
    """The group is subscribed to the topic."""


class InvalidRecordError(BrokerError, code=87, name="INVALID_RECORD"):
    """The broker does not accept a record of the batch."""

    what_next = "Correct the record: a compacted topic, for one, needs a key."


class UnstableOffsetCommitError(
    BrokerError, code=88, name="UNSTABLE_OFFSET_COMMIT", retriable=True
):
    """The offsets of an open transaction are not stable yet."""

    what_next = _PASSES


class ThrottlingQuotaExceededError(
    BrokerError, code=89, name="THROTTLING_QUOTA_EXCEEDED", retriable=True
):
    """The quota is used up."""

    what_next = "Send less, or ask for a larger quota."


class ProducerFencedError(BrokerError, FatalTransactionError, code=90, name="PRODUCER_FENCED"):
    """A newer producer with the same transactional id took over."""

    what_next = _FENCED


class ResourceNotFoundError(BrokerError, code=91, name="RESOURCE_NOT_FOUND"):
    """What the request names was not found."""


class DuplicateResourceError(BrokerError, code=92, name="DUPLICATE_RESOURCE"):
    """What the request makes is there already."""


class UnacceptableCredentialError(BrokerError, code=93, name="UNACCEPTABLE_CREDENTIAL"):
    """The credential does not meet the broker's demands."""


class InconsistentVoterSetError(BrokerError, code=94, name="INCONSISTENT_VOTER_SET"):
    """The set of voters differs between the two sides."""


class InvalidUpdateVersionError(BrokerError, code=95, name="INVALID_UPDATE_VERSION"):
    """The version of the update is not valid."""


class FeatureUpdateFailedError(BrokerError, code=96, name="FEATURE_UPDATE_FAILED"):
    """The features could not be updated."""


class PrincipalDeserializationFailureError(
    BrokerError, code=97, name="PRINCIPAL_DESERIALIZATION_FAILURE"
):
    """The principal in the forwarded request could not be read."""


class SnapshotNotFoundError(BrokerError, code=98, name="SNAPSHOT_NOT_FOUND"):
    """The snapshot was not found."""


class PositionOutOfRangeError(BrokerError, code=99, name="POSITION_OUT_OF_RANGE"):
    """The position is outside of the file."""


class UnknownTopicIdError(BrokerError, code=100, name="UNKNOWN_TOPIC_ID", retriable=True):
    """The broker does not know a topic of this id."""

    what_next = _PASSES


class DuplicateBrokerRegistrationError(BrokerError, code=101, name="DUPLICATE_BROKER_REGISTRATION"):
    """A broker of this id is registered already."""


class BrokerIdNotRegisteredError(BrokerError, code=102, name="BROKER_ID_NOT_REGISTERED"):
    """The id of the broker is not registered."""


class InconsistentTopicIdError(BrokerError, code=103, name="INCONSISTENT_TOPIC_ID", retriable=True):
    """The log has another topic id than the request."""

    what_next = _PASSES


class InconsistentClusterIdError(BrokerError, code=104, name="INCONSISTENT_CLUSTER_ID"):
    """The cluster id differs between the two sides."""


class TransactionalIdNotFoundError(BrokerError, code=105, name="TRANSACTIONAL_ID_NOT_FOUND"):
    """The transactional id was not found."""


class FetchSessionTopicIdError(
    BrokerError, code=106, name="FETCH_SESSION_TOPIC_ID_ERROR", retriable=True
):
    """The fetch session met a topic id that it does not know."""

    what_next = _PASSES


class IneligibleReplicaError(BrokerError, code=107, name="INELIGIBLE_REPLICA"):
    """The replica cannot be in the in-sync set."""


class NewLeaderElectedError(BrokerError, code=108, name="NEW_LEADER_ELECTED"):
    """A new leader was elected during the request."""


class OffsetMovedToTieredStorageError(BrokerError, code=109, name="OFFSET_MOVED_TO_TIERED_STORAGE"):
    """The offset has moved to tiered storage."""


class FencedMemberEpochError(BrokerError, code=110, name="FENCED_MEMBER_EPOCH"):
    """The epoch of the member is over."""


class UnreleasedInstanceIdError(BrokerError, code=111, name="UNRELEASED_INSTANCE_ID"):
    """Another member still holds the instance id."""


class UnsupportedAssignorError(BrokerError, code=112, name="UNSUPPORTED_ASSIGNOR"):
    """The assignor is not supported."""


class StaleMemberEpochError(BrokerError, code=113, name="STALE_MEMBER_EPOCH"):
    """The epoch of the member is not the current one."""

    what_next = (
        "The group has rebalanced: abort, and go on with the partitions that are assigned now."
    )


class MismatchedEndpointTypeError(BrokerError, code=114, name="MISMATCHED_ENDPOINT_TYPE"):
    """The request went to the wrong kind of endpoint."""


class UnsupportedEndpointTypeError(BrokerError, code=115, name="UNSUPPORTED_ENDPOINT_TYPE"):
    """The kind of endpoint is not supported."""


class UnknownControllerIdError(BrokerError, code=116, name="UNKNOWN_CONTROLLER_ID"):
    """The id of the controller is not known."""


class UnknownSubscriptionIdError(BrokerError, code=117, name="UNKNOWN_SUBSCRIPTION_ID"):
    """The telemetry subscription is not known any more."""


class TelemetryTooLargeError(BrokerError, code=118, name="TELEMETRY_TOO_LARGE"):
    """The telemetry is larger than the broker accepts."""


class InvalidRegistrationError(BrokerError, code=119, name="INVALID_REGISTRATION"):
    """The registration of the controller is not valid."""


class TransactionAbortableError(BrokerError, code=120, name="TRANSACTION_ABORTABLE"):
    """The transaction cannot be committed any more."""

    what_next = "Abort the transaction and do its work again."


class InvalidRecordStateError(BrokerError, code=121, name="INVALID_RECORD_STATE"):
    """The state of the shared record does not allow this."""


class ShareSessionNotFoundError(
    BrokerError, code=122, name="SHARE_SESSION_NOT_FOUND", retriable=True
):
    """The share session is not known."""

    what_next = _PASSES


class InvalidShareSessionEpochError(
    BrokerError, code=123, name="INVALID_SHARE_SESSION_EPOCH", retriable=True
):
    """The epoch of the share session is not valid."""

    what_next = _PASSES


class FencedStateEpochError(BrokerError, code=124, name="FENCED_STATE_EPOCH"):
    """The epoch of the share coordinator's state is over."""


class InvalidVoterKeyError(BrokerError, code=125, name="INVALID_VOTER_KEY"):
    """The key of the voter does not fit."""


class DuplicateVoterError(BrokerError, code=126, name="DUPLICATE_VOTER"):
    """The voter is there already."""


class VoterNotFoundError(BrokerError, code=127, name="VOTER_NOT_FOUND"):
    """The voter was not found."""


class InvalidRegularExpressionError(BrokerError, code=128, name="INVALID_REGULAR_EXPRESSION"):
    """The regular expression is not valid."""


class RebootstrapRequiredError(BrokerError, code=129, name="REBOOTSTRAP_REQUIRED"):
    """The broker asks the client to start over from its bootstrap servers."""

    what_next = "Nothing: the producer does it by itself unless metadata.recovery.strategy is none."


class StreamsInvalidTopologyError(BrokerError, code=130, name="STREAMS_INVALID_TOPOLOGY"):
    """The topology is not valid."""


class StreamsInvalidTopologyEpochError(
    BrokerError, code=131, name="STREAMS_INVALID_TOPOLOGY_EPOCH"
):
    """The epoch of the topology is not valid."""


class StreamsTopologyFencedError(BrokerError, code=132, name="STREAMS_TOPOLOGY_FENCED"):
    """The epoch of the topology is over."""


class ShareSessionLimitReachedError(
    BrokerError, code=133, name="SHARE_SESSION_LIMIT_REACHED", retriable=True
):
    """The broker has as many share sessions as it allows."""

    what_next = _PASSES
