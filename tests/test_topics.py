"""What is asked of the brokers about topics, and what is made of their answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer import topics as topics_module
from aioproducer.errors import (
    BrokerError,
    ProducerTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from aioproducer.records import PartitionInfo
from aioproducer.topics import PRODUCER_SETTINGS, NewTopic, TopicClient
from aioproducer.wire.messages import (
    Broker,
    ConfigResult,
    CreatedTopic,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeletedTopic,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    MetadataRequest,
    MetadataResponse,
    PartitionMetadata,
    TopicMetadata,
)

BROKERS = (Broker(1, "a", 9092), Broker(2, "b", 9092))
PARTITIONS = (
    PartitionMetadata(0, 0, 1, 5, (1, 2), (1, 2), ()),
    PartitionMetadata(5, 1, -1, 5, (1, 2), (1,), (2,)),
)
KNOWN = (
    TopicMetadata(0, "payments", bytes(16), False, ()),
    TopicMetadata(0, "orders", bytes(16), False, PARTITIONS),
    TopicMetadata(3, "nowhere", bytes(16), False, ()),
    TopicMetadata(0, "new", bytes(16), False, PARTITIONS[:1]),
    TopicMetadata(0, "__offsets", bytes(16), True, PARTITIONS[:1]),
)


class Answers:
    """Stands for the brokers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, int | None]] = []
        self.codes = [0]
        self.controller = 2
        self.config_error = 0
        self.closed = False
        # What a broker says of topics before it has learned of a change.
        self.behind: dict[int | None, int] = {}

    def learn(self, brokers: object) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    async def ask(self, request: Any, node: int | None = None) -> Any:
        self.asked.append((request, node))
        await asyncio.sleep(0)
        if isinstance(request, MetadataRequest):
            names = request.topics
            found = tuple(each for each in KNOWN if names is None or each.name in names)
            if names and self.behind.get(node):
                self.behind[node] -= 1
                wrong = 0 if found[0].error_code else 3
                found = tuple(each._replace(error_code=wrong) for each in found)
            return MetadataResponse(0, BROKERS, "abc", self.controller, found)
        if isinstance(request, DescribeConfigsRequest):
            rows = [
                ConfigResult(self.config_error, None, kind, name, {"retention.ms": "5"})
                for kind, name, _ in request.resources
            ]
            return DescribeConfigsResponse(0, tuple(rows))
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        if isinstance(request, CreateTopicsRequest):
            created = [CreatedTopic(topic.name, code, "said so") for topic in request.topics]
            return CreateTopicsResponse(0, tuple(created))
        assert isinstance(request, DeleteTopicsRequest)
        return DeleteTopicsResponse(0, tuple(DeletedTopic(name, code) for name in request.names))


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def client(answers: Answers) -> TopicClient:
    inquiry: Any = answers
    return TopicClient(inquiry)


async def test_topics_are_listed_by_name_and_none_is_created(
    client: TopicClient, answers: Answers
) -> None:
    found = await client.list()
    assert [each.name for each in found] == ["__offsets", "new", "nowhere", "orders", "payments"]
    assert [each.is_internal for each in found] == [True, False, False, False, False]
    [(request, _)] = answers.asked
    assert request == MetadataRequest(None, allow_auto_topic_creation=False)


async def test_a_topic_is_described_with_its_partitions_and_settings(
    client: TopicClient, answers: Answers
) -> None:
    [orders] = await client.describe(["orders"])
    assert orders.partitions == (
        PartitionInfo("orders", 0, 1, (1, 2), (1, 2), ()),
        PartitionInfo("orders", 1, None, (1, 2), (1,), (2,)),
    )
    assert (orders.replicas, orders.settings) == (2, {"retention.ms": "5"})
    request, _ = answers.asked[-1]
    assert request.resources[0].keys == PRODUCER_SETTINGS


async def test_who_may_not_see_settings_sees_the_rest(
    client: TopicClient, answers: Answers
) -> None:
    answers.config_error = 29
    [orders] = await client.describe(["orders"])
    assert (len(orders.partitions), orders.settings) == (2, {})


async def test_a_topic_that_is_not_there_has_an_error_and_no_question_more(
    client: TopicClient, answers: Answers
) -> None:
    [nowhere] = await client.describe(["nowhere"])
    assert isinstance(nowhere.error, UnknownTopicOrPartitionError)
    assert len(answers.asked) == 1


async def test_topics_are_created_and_deleted_by_the_controller(
    client: TopicClient, answers: Answers
) -> None:
    await client.create([NewTopic("new", 3, 2, {"retention.ms": "5"})], timeout=7.0)
    await client.delete(["nowhere"], timeout=8.0)
    changes = [each for each in answers.asked if not isinstance(each[0], MetadataRequest)]
    assert changes == [
        (CreateTopicsRequest([NewTopic("new", 3, 2, {"retention.ms": "5"})], 7000), 2),
        (DeleteTopicsRequest(["nowhere"], 8000), 2),
    ]


async def test_without_a_controller_that_is_known_any_broker_is_asked(
    client: TopicClient, answers: Answers
) -> None:
    answers.controller = -1
    await client.create([NewTopic("new")])
    [(_, node)] = [each for each in answers.asked if isinstance(each[0], CreateTopicsRequest)]
    assert node is None


@pytest.mark.parametrize("change", ["create", "delete"])
async def test_a_controller_that_moved_is_looked_for_again(
    change: str, client: TopicClient, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module, "_PAUSE_S", 0.0)
    # An election takes longer than a few questions.
    answers.codes = [*[41] * 6, 0]
    if change == "create":
        await client.create([NewTopic("new")])
    else:
        await client.delete(["nowhere"])
    kinds = (CreateTopicsRequest, DeleteTopicsRequest)
    assert sum(isinstance(request, kinds) for request, _ in answers.asked) == 7
    answers.codes = [41]
    with pytest.raises(BrokerError, match="NOT_CONTROLLER"):
        await client.delete(["nowhere"])


@pytest.mark.parametrize("change", ["create", "delete"])
async def test_a_change_is_over_when_every_broker_knows_it(
    change: str, client: TopicClient, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module, "_PAUSE_S", 0.0)
    answers.behind = {1: 2, 2: 1}
    if change == "create":
        await client.create([NewTopic("new")])
    else:
        await client.delete(["nowhere"])
    assert answers.behind == {1: 0, 2: 0}


async def test_a_refusal_is_raised_with_the_brokers_words(
    client: TopicClient, answers: Answers
) -> None:
    answers.codes = [36]
    with pytest.raises(TopicAlreadyExistsError, match="said so"):
        await client.create([NewTopic("orders")])
    answers.codes = [3]
    with pytest.raises(UnknownTopicOrPartitionError):
        await client.delete(["nowhere"])


async def test_one_name_alone_is_one_topic(client: TopicClient, answers: Answers) -> None:
    assert [each.name for each in await client.list("orders")] == ["orders"]
    assert [each.name for each in await client.describe("orders")] == ["orders"]
    await client.delete("nowhere")  # which is what brokers say of it afterwards
    (deletion,) = [it for it, _ in answers.asked if isinstance(it, DeleteTopicsRequest)]
    assert list(deletion.names) == ["nowhere"]


@pytest.mark.parametrize("name", ["", "bad/topic", ".."])
async def test_what_is_no_name_of_a_topic_is_asked_of_nobody(
    name: str, client: TopicClient, answers: Answers
) -> None:
    with pytest.raises(ValueError, match="no topic name"):
        await client.create([NewTopic(name)])
    with pytest.raises(ValueError, match="no topic name"):
        await client.delete([name])
    with pytest.raises(ValueError, match="no topic name"):
        await client.describe([name])
    assert answers.asked == []


async def test_the_connections_end_with_the_block_and_the_time_is_bounded(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module, "Inquiry", lambda config: answers)
    async with TopicClient.connect({"bootstrap.servers": "a:1"}) as client:
        assert await client.list()
    assert answers.closed
    with pytest.raises(ProducerTimeoutError, match="did not answer in 0 s"):
        async with TopicClient.connect({"bootstrap.servers": "a:1"}, timeout=0):
            await asyncio.Event().wait()
