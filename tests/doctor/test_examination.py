"""What is asked, what is made of the answers, and what is said of those that do not come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer.doctor import examination as examination_module
from aioproducer.doctor.check import report_on
from aioproducer.doctor.examination import Examination
from aioproducer.errors import ClusterConnectionError, broker_error
from aioproducer.wire.error_codes import ErrorCode
from aioproducer.wire.messages.describe_configs import (
    BROKER,
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
from aioproducer.wire.messages.find_coordinator import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from aioproducer.wire.messages.metadata import Broker, MetadataRequest, MetadataResponse
from tests.doctor.setups import GOOD_BROKER, GOOD_TOPIC, setup, topic

BROKERS = tuple(Broker(n, "kafka", 9091 + n) for n in (1, 2, 3))


class Answers:
    """Stands for the brokers: an answer or an error for each kind of request."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, int | None]] = []
        self.max_metadata = 13
        self.behind: tuple[int | None, ...] = ()
        self.topic_error = 0
        self.broker_error: int | Exception = 0
        self.coordinator_codes = [0]
        self.transaction: TransactionDescription | int = 0
        self.producers: tuple[PartitionProducers, ...] = ()
        self.unreachable: Exception | None = None

    def learn(self, brokers: object) -> None:
        pass

    def speaks(self, request: object, version: int) -> bool:
        return self.max_metadata >= version

    async def ask(self, request: Any, node: int | None = None) -> Any:
        self.asked.append((request, node))
        await asyncio.sleep(0)
        if self.unreachable is not None:
            raise self.unreachable
        reply: Callable[[Any], Any] = {
            MetadataRequest: self._metadata,
            DescribeConfigsRequest: self._configs,
            FindCoordinatorRequest: self._coordinator,
            DescribeTransactionsRequest: self._transaction,
            DescribeProducersRequest: lambda _: DescribeProducersResponse(0, self.producers),
        }[type(request)]
        return reply(request)

    def _metadata(self, request: MetadataRequest) -> MetadataResponse:
        _, node = self.asked[-1]
        code = 3 if node in self.behind else 0
        topics = tuple(topic(name, error_code=code).metadata for name in request.topics or ())
        return MetadataResponse(0, BROKERS, "abc", 1, topics)

    def _configs(self, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
        rows = []
        for kind, name, _ in request.resources:
            if kind == BROKER:
                if isinstance(self.broker_error, Exception):
                    raise self.broker_error
                rows.append(ConfigResult(self.broker_error, None, kind, name, GOOD_BROKER))
            else:
                rows.append(ConfigResult(self.topic_error, "no", kind, name, GOOD_TOPIC))
        return DescribeConfigsResponse(0, tuple(rows))

    def _coordinator(self, request: object) -> FindCoordinatorResponse:
        code = self.coordinator_codes.pop(0)
        return FindCoordinatorResponse(0, code, None, 2, "kafka", 9093)

    def _transaction(self, request: object) -> DescribeTransactionsResponse:
        row = self.transaction
        if isinstance(row, int):
            row = TransactionDescription(row, "payments", "Empty", 60_000, -1, 7, 0, ())
        return DescribeTransactionsResponse(0, (row,))


async def examined(answers: Answers, **given: Any) -> Examination:
    transactional = given.pop("transactional", False)
    config = {"transactional_id": "payments"} if transactional else {}
    given.setdefault("topics_named", ("orders",))
    empty = setup(config=config, topics=(), broker_settings=None, brokers=0, **given)
    examination = Examination(answers, empty)  # type: ignore[arg-type]  # stands for an Inquiry
    await examination.run()
    return examination


async def test_everything_is_asked_and_nothing_is_created() -> None:
    answers = Answers()
    examination = await examined(answers, transactional=True)
    assert not examination.unchecked
    assert examination.cluster == "abc, 3 broker(s)"
    assert examination.setup.topics[0].settings == GOOD_TOPIC
    assert examination.setup.broker_settings == GOOD_BROKER
    assert examination.setup.transaction is not None
    named = [r for r, _ in answers.asked if isinstance(r, MetadataRequest) and r.topics]
    assert [request.allow_auto_topic_creation for request in named] == [False]
    assert [request.include_topic_authorized_operations for request in named] == [True]
    assert (MetadataRequest(()), None) in answers.asked


async def test_brokers_are_asked_for_their_own_settings() -> None:
    """Others would not know them."""
    answers = Answers()
    await examined(answers)
    for request, node in answers.asked:
        if isinstance(request, DescribeConfigsRequest) and request.resources[0].kind == BROKER:
            assert request.resources[0].name == str(node) == "1"
            break
    else:
        raise AssertionError("not asked")


async def test_a_broker_that_is_behind_does_not_have_the_last_word() -> None:
    """A topic that was created a moment ago is not known everywhere yet."""
    answers = Answers()
    answers.behind = (None, 1)
    examination = await examined(answers)
    assert examination.setup.topics[0].metadata.error_code == 0
    assert examination.setup.topics[0].settings is not None
    for request, node in answers.asked:
        if isinstance(request, DescribeConfigsRequest) and request.resources[0].kind != BROKER:
            assert node == 2, "it would not know the settings either"


async def test_a_topic_that_nobody_knows_is_missing() -> None:
    answers = Answers()
    answers.behind = (None, 1, 2, 3)
    examination = await examined(answers)
    assert examination.setup.topics[0].metadata.error_code == 3


async def test_an_unreachable_cluster_leaves_only_the_configuration() -> None:
    answers = Answers()
    answers.unreachable = ClusterConnectionError("nobody there")
    examination = await examined(answers, transactional=True)
    [missing] = examination.unchecked
    assert missing.what == "the cluster"
    assert missing.why == "nobody there"
    assert {"min-insync-1", "transaction-timeout", "transactional-id-in-use"} <= set(
        missing.findings
    )
    report = report_on(examination)
    assert "acks-0" in report.checked
    assert not set(missing.findings) & set(report.checked)


async def test_what_is_not_named_cannot_be_missed() -> None:
    """Without topics and a transactional id there is nothing to say about them."""
    answers = Answers()
    answers.unreachable = ClusterConnectionError("nobody there")
    examination = await examined(answers, topics_named=())
    assert set(examination.unchecked[0].findings) == {
        "timeouts", "request-above-limit", "transaction-timeout",
    }  # fmt: skip


async def test_settings_that_may_not_be_read_are_named() -> None:
    answers = Answers()
    answers.topic_error = ErrorCode.TOPIC_AUTHORIZATION_FAILED
    answers.broker_error = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    examination = await examined(answers)
    topics, brokers = examination.unchecked
    assert topics.what == "the settings of topic orders"
    assert "TOPIC_AUTHORIZATION_FAILED" in topics.why
    assert "min-insync-1" in topics.findings
    assert brokers.what == "the settings of the brokers"
    assert "transaction-timeout" in brokers.findings
    assert "topic-missing" in report_on(examination).checked


async def test_a_broker_that_does_not_answer_is_a_gap_and_no_more() -> None:
    answers = Answers()
    answers.broker_error = ClusterConnectionError("asleep")
    examination = await examined(answers)
    assert [each.why for each in examination.unchecked] == ["asleep"]
    assert examination.setup.topics[0].settings is not None


async def test_old_brokers_cannot_tell_who_may_write() -> None:
    answers = Answers()
    answers.max_metadata = 7
    examination = await examined(answers)
    assert [each.what for each in examination.unchecked] == ["who may write to the topics"]
    named = [r for r, _ in answers.asked if isinstance(r, MetadataRequest) and r.topics]
    assert not named[0].include_topic_authorized_operations


async def test_an_open_transaction_is_somebody_else() -> None:
    answers = Answers()
    started = int((time.time() - 30) * 1000)
    answers.transaction = TransactionDescription(
        0, "payments", "Ongoing", 60_000, started, 7, 0, (("orders", (0,)),)
    )
    facts = (await examined(answers, transactional=True)).setup.transaction
    assert facts is not None
    assert facts.open_for_s is not None
    assert 29 < facts.open_for_s < 60


async def test_the_last_write_of_the_id_s_producer_is_looked_for() -> None:
    answers = Answers()
    now = int(time.time() * 1000)
    states = (ProducerState(7, 0, 1, now - 20_000, 0, -1), ProducerState(8, 0, 1, now, 0, -1))
    older = (ProducerState(7, 0, 1, now - 90_000, 0, -1),)
    answers.producers = (
        PartitionProducers("orders", 1, 0, None, states),
        PartitionProducers("orders", 0, 0, None, older),
        PartitionProducers("orders", 2, ErrorCode.TOPIC_AUTHORIZATION_FAILED, None, ()),
    )
    examination = await examined(answers, transactional=True)
    facts = examination.setup.transaction
    assert facts is not None
    assert facts.where == "orders-1"
    assert facts.wrote_s_ago is not None
    assert 19 < facts.wrote_s_ago < 60
    assert [each.what for each in examination.unchecked] == ["who wrote to orders-2"]


async def test_an_id_that_nobody_has_used_is_free() -> None:
    answers = Answers()
    answers.transaction = ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    examination = await examined(answers, transactional=True)
    assert not examination.unchecked
    assert examination.setup.transaction is not None
    assert examination.setup.transaction.open_for_s is None


async def test_an_id_that_may_not_be_used_is_a_finding_and_no_gap() -> None:
    answers = Answers()
    answers.coordinator_codes = [ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED]
    examination = await examined(answers, transactional=True)
    assert not examination.unchecked
    report = report_on(examination)
    assert [each.name for each in report.findings] == ["transactional-id-unauthorized"]


async def test_a_coordinator_that_is_just_being_made_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examination_module, "_COORDINATOR_PAUSE_S", 0)
    answers = Answers()
    answers.coordinator_codes = [ErrorCode.COORDINATOR_NOT_AVAILABLE, 0]
    examination = await examined(answers, transactional=True)
    assert not examination.unchecked
    assert answers.coordinator_codes == []


async def test_any_other_refusal_of_the_coordinator_is_a_gap() -> None:
    answers = Answers()
    answers.coordinator_codes = [ErrorCode.UNKNOWN_SERVER_ERROR]
    examination = await examined(answers, transactional=True)
    [missing] = examination.unchecked
    assert missing.findings == ("transactional-id-in-use", "transactional-id-unauthorized")


class TestTimeOver:
    """The report says what was not answered in time."""

    async def test_before_anything_was_answered(self) -> None:
        empty = setup(topics=(), broker_settings=None, brokers=0)
        examination = Examination(Answers(), empty)  # type: ignore[arg-type]
        examination.interrupted(3)
        [missing] = examination.unchecked
        assert (missing.what, missing.why) == ("the cluster", "not answered within 3 s")

    async def test_between_two_answers(self) -> None:
        answers = Answers()
        examination = await examined(answers)
        examination.setup = setup(
            broker_settings=None,
            config={"transactional_id": "payments"},
        )
        examination.interrupted(3)
        assert [each.what for each in examination.unchecked] == [
            "the settings of the brokers",
            "the state of the transactional id",
        ]


def test_the_words_of_brokers_are_passed_on() -> None:
    assert "why not" in str(broker_error(29, "why not"))


@pytest.mark.parametrize("rate", [None, 1e6])
async def test_notes_say_how_long_the_buffer_lasts(rate: float | None) -> None:
    report = report_on(await examined(Answers(), bytes_per_second=rate))
    holds = [note for note in report.notes if "holds 33.6 s" in note]
    assert bool(holds) is (rate is not None)
    assert ("buffer-for-rate" in report.checked) is (rate is not None)
