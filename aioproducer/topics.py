"""Topics of a cluster: listed, described, created and deleted, by a producer's own settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aioproducer.checks import check_topic, check_topics
from aioproducer.config import ProducerConfig
from aioproducer.doctor.inquiry import Inquiry
from aioproducer.errors import BrokerError, ProducerError, ProducerTimeoutError, broker_error
from aioproducer.records import NO_PARTITION_LEADER, PartitionInfo
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.create_topics import BROKERS_DEFAULT, CreateTopicsRequest, NewTopic
from aioproducer.wire.messages.delete_topics import DeleteTopicsRequest
from aioproducer.wire.messages.describe_configs import (
    TOPIC,
    ConfigResource,
    DescribeConfigsRequest,
)
from aioproducer.wire.messages.metadata import MetadataRequest, TopicMetadata

__all__ = ["BROKERS_DEFAULT", "PRODUCER_SETTINGS", "NewTopic", "TopicClient", "TopicDescription"]

PRODUCER_SETTINGS = (
    "min.insync.replicas", "max.message.bytes", "compression.type", "cleanup.policy",
    "retention.ms", "message.timestamp.type", "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
)  # fmt: skip
"""What of a topic's settings decides how a producer's records fare."""

# A new controller is elected in seconds.
_ATTEMPTS = 50
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the cluster tells it; ``error`` says why it cannot, and then there is no more."""

    name: str
    is_internal: bool = False
    partitions: tuple[PartitionInfo, ...] = ()
    settings: Mapping[str, str | None] = field(default_factory=dict)
    error: BrokerError | None = None

    @property
    def replicas(self) -> int:
        """The most replicas that a partition has."""
        return max((len(each.replicas) for each in self.partitions), default=0)


class TopicClient:
    """Asks one cluster; :meth:`connect` makes it and closes its connections.

    Each call raises :exc:`ProducerError` where the cluster cannot be reached, lets nobody in or
    refuses, and may be cancelled: the connections close, what was asked for may still happen.
    """

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, config: ProducerConfig | Mapping[str, object], *, timeout: float = 30.0
    ) -> AsyncIterator[TopicClient]:
        """Give a client for as long as the block lasts, ``timeout`` seconds at most.

        Raises:
            ConfigurationError: the configuration is refused.
            ProducerTimeoutError: the time was over.
        """
        if not isinstance(config, ProducerConfig):
            config = ProducerConfig.create(config=config)
        inquiry = Inquiry(config)
        try:
            async with asyncio.timeout(timeout):
                yield cls(inquiry)
        except TimeoutError as error:
            if isinstance(error, ProducerError):
                raise
            raise ProducerTimeoutError(f"the cluster did not answer in {timeout:g} s") from error
        finally:
            inquiry.close()
            # The transports of TLS close in the turns that follow.
            await asyncio.sleep(0)

    async def describe(self, names: Iterable[str] | None = None) -> list[TopicDescription]:
        """Return topics with their partitions and settings, all of them by default, by name."""
        found = await self.list(names)
        known = [each.name for each in found if each.error is None]
        settings = await self._settings(known)
        return [
            TopicDescription(
                each.name, each.is_internal, each.partitions, settings.get(each.name, {}),
                each.error,
            )
            for each in found
        ]  # fmt: skip

    async def list(self, names: Iterable[str] | None = None) -> list[TopicDescription]:
        """Return topics with their partitions, without settings, by name. Creates none."""
        asked = None if names is None else tuple(check_topics(names))
        request = MetadataRequest(asked, allow_auto_topic_creation=False)
        answer = await self._inquiry.ask(request)
        return sorted(map(_described, answer.topics), key=lambda each: each.name)

    async def create(self, topics: Sequence[NewTopic], *, timeout: float = 30.0) -> None:
        """Create topics, and wait until every broker knows a leader for each partition.

        Raises the first refusal; what was not refused is created all the same.
        """
        for topic in topics:
            check_topic(topic.name)
        timeout_ms = int(timeout * 1000)
        for _ in range(_ATTEMPTS):
            controller = await self._controller()
            answer = await self._inquiry.ask(CreateTopicsRequest(topics, timeout_ms), controller)
            refused = [each for each in answer.topics if each.error_code]
            if not _moved(each.error_code for each in refused):
                break
            await asyncio.sleep(_PAUSE_S)
        for each in refused:
            raise broker_error(each.error_code, each.error_message, topic=each.name)
        await self._everywhere([topic.name for topic in topics], _is_led)

    async def delete(self, names: Sequence[str], *, timeout: float = 30.0) -> None:
        """Delete topics with all that is in them, and wait until no broker knows them.

        Raises the first refusal; what was not refused is deleted all the same.
        """
        names = check_topics(names)
        timeout_ms = int(timeout * 1000)
        for _ in range(_ATTEMPTS):
            controller = await self._controller()
            answer = await self._inquiry.ask(DeleteTopicsRequest(names, timeout_ms), controller)
            refused = [each for each in answer.topics if each.error_code]
            if not _moved(each.error_code for each in refused):
                break
            await asyncio.sleep(_PAUSE_S)
        for each in refused:
            raise broker_error(each.error_code, each.error_message, topic=each.name)
        await self._everywhere(names, _is_gone)

    async def _everywhere(
        self, names: Sequence[str], is_so: Callable[[TopicMetadata], bool]
    ) -> None:
        """Wait until each broker that answers says so of the topics: they learn one by one."""
        request = MetadataRequest(tuple(names), allow_auto_topic_creation=False)
        answer = await self._inquiry.ask(MetadataRequest(()))
        self._inquiry.learn(answer.brokers)
        for broker in answer.brokers:
            with suppress(ProducerError):
                while True:
                    told = await self._inquiry.ask(request, broker.node_id)
                    if all(map(is_so, told.topics)):
                        break
                    await asyncio.sleep(_PAUSE_S)

    async def _controller(self) -> int | None:
        """Return who creates topics; brokers of KRaft name any of them, which passes it on."""
        answer = await self._inquiry.ask(MetadataRequest(()))
        self._inquiry.learn(answer.brokers)
        known = {broker.node_id for broker in answer.brokers}
        return answer.controller_id if answer.controller_id in known else None

    async def _settings(self, names: Sequence[str]) -> dict[str, Mapping[str, str | None]]:
        if not names:
            return {}
        resources = [ConfigResource(TOPIC, name, PRODUCER_SETTINGS) for name in names]
        answer = await self._inquiry.ask(DescribeConfigsRequest(resources))
        # Who may not see a topic's settings may see its partitions all the same.
        return {each.name: each.values for each in answer.results if not each.error_code}


def _is_led(topic: TopicMetadata) -> bool:
    return not topic.error_code and all(
        each.leader_id != NO_PARTITION_LEADER for each in topic.partitions
    )


def _is_gone(topic: TopicMetadata) -> bool:
    return topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def _moved(codes: Iterable[int]) -> bool:
    return any(code == ErrorCode.NOT_CONTROLLER for code in codes)


def _described(topic: TopicMetadata) -> TopicDescription:
    error = broker_error(topic.error_code, topic=topic.name) if topic.error_code else None
    partitions = tuple(
        PartitionInfo(
            topic.name,
            each.partition_index,
            None if each.leader_id == NO_PARTITION_LEADER else each.leader_id,
            tuple(each.replica_nodes),
            tuple(each.isr_nodes),
            tuple(each.offline_replicas),
        )
        for each in topic.partitions
    )
    return TopicDescription(topic.name, topic.is_internal, partitions, {}, error)
