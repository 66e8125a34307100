"""From questions to facts; what is not answered is noted, with what it would have shown."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from aioproducer.doctor.checks import drawn_from
from aioproducer.doctor.facts import Need, Setup, TopicFacts, TransactionFacts
from aioproducer.doctor.inquiry import Inquiry
from aioproducer.doctor.report import Unchecked
from aioproducer.errors import (
    ProducerError,
    TransactionalIdAuthorizationFailedError,
    broker_error,
)
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.describe_configs import (
    BROKER,
    TOPIC,
    ConfigResource,
    ConfigResult,
    DescribeConfigsRequest,
)
from aioproducer.wire.messages.describe_producers import DescribeProducersRequest, ProducerState
from aioproducer.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    TransactionDescription,
)
from aioproducer.wire.messages.find_coordinator import TRANSACTION, FindCoordinatorRequest
from aioproducer.wire.messages.metadata import MetadataRequest, TopicMetadata

_TOPIC_KEYS = ("min.insync.replicas", "max.message.bytes", "compression.type")
_BROKER_KEYS = (
    "auto.create.topics.enable",
    "num.partitions",
    "replica.lag.time.max.ms",
    "socket.request.max.bytes",
    "transaction.max.timeout.ms",
)
_OPEN_STATES = ("Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence")
_NOT_THERE_YET = (
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.NOT_COORDINATOR,
)
_COORDINATOR_PATIENCE_S = 5.0
_COORDINATOR_PAUSE_S = 0.1
_BEHIND = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.LEADER_NOT_AVAILABLE)
_SECOND_OPINIONS = 3
_RIGHTS_SINCE = 8
"""The version of Metadata from which on brokers tell what a client may do with a topic."""


class Examination:
    """Fills a setup with facts."""

    def __init__(self, inquiry: Inquiry, setup: Setup) -> None:
        self.setup = setup
        self.unchecked: list[Unchecked] = []
        self.cluster: str | None = None
        self._inquiry = inquiry
        self._names = setup.topics_named
        self._node = -1
        # Who knows the topics; None is the first broker that let us in.
        self._informed: int | None = None

    async def run(self) -> None:
        """Ask everything; a question that fails is noted and the next one asked."""
        config = self.setup.config
        try:
            await self._ask_metadata()
        except ProducerError as error:
            self._note_cluster_missing(str(error))
            return
        await self._ask_topic_settings()
        await self._ask_broker_settings()
        if config.transactional_id is not None:
            await self._ask_transaction(config.transactional_id)

    def interrupted(self, seconds: float) -> None:
        """Note that the time was over before everything was asked."""
        why = f"not answered within {seconds:g} s"
        setup = self.setup
        if self.cluster is None:
            self._note_cluster_missing(why)
            return
        asked = {each.what for each in self.unchecked}
        if any(topic.settings is None for topic in setup.topics):
            self._miss("the settings of the topics", why, Need.TOPIC_SETTINGS)
        if setup.broker_settings is None and Need.BROKER_SETTINGS.value not in asked:
            self._miss(Need.BROKER_SETTINGS.value, why, Need.BROKER_SETTINGS)
        if setup.config.transactional_id is not None and setup.transaction is None:
            self._miss(Need.TRANSACTION.value, why, Need.TRANSACTION)

    def _note_cluster_missing(self, why: str) -> None:
        needs = [Need.BROKER_SETTINGS]
        if self._names:
            needs += [Need.TOPICS, Need.TOPIC_SETTINGS]
        if self.setup.config.transactional_id is not None:
            needs.append(Need.TRANSACTION)
        self._miss("the cluster", why, *needs)

    def _miss(self, what: str, why: str, *needs: Need) -> None:
        self.unchecked.append(Unchecked(what, why, drawn_from(*needs)))

    # Topics

    async def _ask_metadata(self) -> None:
        brokers_only = await self._inquiry.ask(MetadataRequest(()))
        self._inquiry.learn(brokers_only.brokers)
        self._node = min((broker.node_id for broker in brokers_only.brokers), default=-1)
        topics: tuple[TopicMetadata, ...] = ()
        if self._names:
            others = [broker.node_id for broker in brokers_only.brokers][:_SECOND_OPINIONS]
            topics = await self._ask_topics(others)
        self.cluster = f"{brokers_only.cluster_id}, {len(brokers_only.brokers)} broker(s)"
        self.setup = replace(
            self.setup,
            brokers=len(brokers_only.brokers),
            topics=tuple(TopicFacts(topic) for topic in topics),
        )

    async def _ask_topics(self, others: Iterable[int]) -> tuple[TopicMetadata, ...]:
        """Return what is known of the topics; a broker that is behind does not have the last word.

        One that was created a moment ago is not known everywhere yet.
        """
        rights = self._inquiry.speaks(MetadataRequest, _RIGHTS_SINCE)
        if not rights:
            self._miss(
                "who may write to the topics",
                "brokers before Kafka 2.3 do not tell",
                Need.TOPICS,
            )
        # Looking must not create anything.
        request = MetadataRequest(
            self._names,
            allow_auto_topic_creation=False,
            include_topic_authorized_operations=rights,
        )
        topics = (await self._inquiry.ask(request)).topics
        for node in others:
            if not _unknown(topics):
                break
            with suppress(ProducerError):
                second = (await self._inquiry.ask(request, node)).topics
                if _unknown(second) < _unknown(topics):
                    topics, self._informed = second, node
        return topics

    async def _ask_topic_settings(self) -> None:
        readable = [topic.name for topic in self.setup.topics if not topic.metadata.error_code]
        if not readable:
            return
        resources = [ConfigResource(TOPIC, name, _TOPIC_KEYS) for name in readable]
        found: dict[str, Mapping[str, str | None]] = {}
        try:
            request = DescribeConfigsRequest(resources)
            answer = await self._inquiry.ask(request, self._informed)
        except ProducerError as error:
            self._miss(Need.TOPIC_SETTINGS.value, str(error), Need.TOPIC_SETTINGS)
            return
        for result in answer.results:
            if result.error_code:
                what = f"the settings of topic {result.name}"
                self._miss(what, _words(result), Need.TOPIC_SETTINGS)
            else:
                found[result.name] = result.values
        topics = (replace(each, settings=found.get(each.name)) for each in self.setup.topics)
        self.setup = replace(self.setup, topics=tuple(topics))

    # Brokers

    async def _ask_broker_settings(self) -> None:
        """Ask one broker: in a cluster whose brokers differ, nothing else would be simple."""
        node = self._node
        request = DescribeConfigsRequest([ConfigResource(BROKER, str(node), _BROKER_KEYS)])
        why = "the broker left it out"
        try:
            answer = await self._inquiry.ask(request, node)
        except ProducerError as error:
            why = str(error)
        else:
            for result in answer.results:
                if not result.error_code:
                    self.setup = replace(self.setup, broker_settings=result.values)
                    return
                why = _words(result)
        self._miss(Need.BROKER_SETTINGS.value, why, Need.BROKER_SETTINGS)

    # The transactional id

    async def _ask_transaction(self, name: str) -> None:
        try:
            described = await self._describe(name)
            if described is None:
                facts = TransactionFacts("unknown to the coordinator")
            elif described.state in _OPEN_STATES:
                seconds = max(0.0, time.time() - described.start_time_ms / 1000)
                facts = TransactionFacts(described.state, open_for_s=seconds)
            else:
                facts = await self._last_write(described)
        except TransactionalIdAuthorizationFailedError:
            facts = TransactionFacts("hidden from this client", refused=True)
        except ProducerError as error:
            self._miss(Need.TRANSACTION.value, str(error), Need.TRANSACTION)
            return
        self.setup = replace(self.setup, transaction=facts)

    async def _describe(self, name: str) -> TransactionDescription | None:
        """Return what the coordinator has of the id, ``None`` if it has never heard of it."""
        deadline = asyncio.get_running_loop().time() + _COORDINATOR_PATIENCE_S
        while True:
            coordinator = await self._inquiry.ask(FindCoordinatorRequest(name, TRANSACTION))
            code = coordinator.error_code
            if not code:
                node = coordinator.node_id
                answer = await self._inquiry.ask(DescribeTransactionsRequest([name]), node)
                described = answer.transactions[0]
                code = described.error_code
                if not code:
                    return described
            if code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND:
                return None
            if code not in _NOT_THERE_YET or asyncio.get_running_loop().time() >= deadline:
                raise broker_error(code, coordinator.error_message)
            await asyncio.sleep(_COORDINATOR_PAUSE_S)

    async def _last_write(self, described: TransactionDescription) -> TransactionFacts:
        """Look for the id's producer among those that the topics remember (KIP-664)."""
        facts = TransactionFacts(described.state)
        newest = -1
        for node, wanted in self._led_partitions().items():
            answer = await self._inquiry.ask(DescribeProducersRequest(wanted.items()), node)
            for row in answer.partitions:
                place = f"{row.topic}-{row.partition}"
                if row.error_code:
                    why = str(broker_error(row.error_code, row.error_message))
                    self._miss(f"who wrote to {place}", why, Need.TRANSACTION)
                last = _last_timestamp(row.producers, described.producer_id)
                if last > newest:
                    newest = last
                    ago = max(0.0, time.time() - last / 1000)
                    facts = replace(facts, wrote_s_ago=ago, where=place)
        return facts

    def _led_partitions(self) -> dict[int, dict[str, list[int]]]:
        led: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for topic in self.setup.topics:
            for partition in topic.metadata.partitions:
                if partition.leader_id >= 0:
                    led[partition.leader_id][topic.name].append(partition.partition_index)
        return led


def _unknown(topics: Iterable[TopicMetadata]) -> int:
    return sum(1 for topic in topics if topic.error_code in _BEHIND)


def _last_timestamp(producers: Iterable[ProducerState], producer_id: int) -> int:
    times = (each.last_timestamp_ms for each in producers if each.producer_id == producer_id)
    return max(times, default=-1)


def _words(result: ConfigResult) -> str:
    return str(broker_error(result.error_code, result.error_message))
