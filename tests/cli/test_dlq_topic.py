"""Dead letters out of a topic: which are sent, and how far a group's position moves."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from aioproducer import (
    AsyncProducer,
    DeliveryTimeoutError,
    ProducerClosedError,
    ProducerError,
    Record,
    RecordMetadata,
)
from aioproducer.cli import dlq_topic
from aioproducer.cli.dlq_topic import TopicReplay, consumer_config
from aioproducer.cli.settings import SettingsError
from aioproducer.patterns import DeadLetter
from aioproducer.patterns.letters import to_record
from aioproducer.patterns.spool import ReplayReport


class Message:
    """Stands for a record as confluent-kafka gives it."""

    def __init__(self, offset: int, letter: DeadLetter | None, partition: int = 0) -> None:
        self._at = (partition, offset)
        self._record = Record("dead", b"x") if letter is None else to_record(letter, "dead")

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return self._at[0]

    def offset(self) -> int:
        return self._at[1]

    def key(self) -> bytes | None:
        return self._record.key

    def value(self) -> bytes | None:
        return self._record.value

    def headers(self) -> Any:
        return list(self._record.headers) or None


class Broken:
    """Stands for what confluent-kafka gives where a fetch has failed, or a partition ends."""

    def __init__(self, code: int = KafkaError._MSG_TIMED_OUT, offset: int = 0) -> None:
        self._code = code
        self._offset = offset

    def error(self) -> KafkaError:
        return KafkaError(self._code)

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


class Reader:
    """Stands for a consumer of two partitions with four records each."""

    def __init__(self, *messages: Any) -> None:
        self._messages = list(messages)
        self.committed_to: list[int] = []

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(
            topics={topic: SimpleNamespace(error=None, partitions={0: None, 1: None})}
        )

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(place.topic, place.partition, -1001) for place in places]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, 4

    def assign(self, places: list[TopicPartition]) -> None:
        pass

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(place.topic, place.partition, -1001) for place in places]

    def consume(self, count: int, timeout: float) -> list[Any]:
        messages, self._messages = self._messages, []
        return messages

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.committed_to += [place.offset for place in offsets]


class Target:
    """Stands for a producer."""

    def __init__(self, *failing: bytes) -> None:
        self.failing = failing
        self.sent: list[bytes] = []

    def send(self, topic: str, value: bytes, **_: object) -> asyncio.Future[RecordMetadata]:
        self.sent.append(value)
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if value in self.failing:
            future.set_exception(DeliveryTimeoutError("away"))
        else:
            future.set_result(RecordMetadata(topic, 0, 0, 0, 0, 0))
        return future

    async def drain(self) -> None:
        pass

    def expedite(self) -> None:
        pass


def letter(value: bytes, persisted: Any = "no", **more: Any) -> DeadLetter:
    return DeadLetter(Record("orders", value), None, 1, "r", "X", persisted, **more)


def replay(target: Target, **options: Any) -> TopicReplay:
    producer: Any = target
    made = TopicReplay(producer, "dead", {}, {}, ReplayReport(), **options)
    made._sure, made._maybe = {0: 0, 1: 0}, {0: 0, 1: 0}
    return made


def handed(made: TopicReplay, *messages: Message) -> Any:
    given: list[Any] = list(messages)
    return made._handle(given)


async def test_positions_move_past_what_was_acknowledged_or_is_left() -> None:
    target = Target()
    made = replay(target)
    messages = [
        Message(3, letter(b"1")),
        Message(4, None),
        Message(5, letter(b"2", "maybe")),
        Message(6, letter(b"{}", value_form="json")),
        Message(0, letter(b"3"), partition=1),
    ]
    assert await handed(made, *messages)
    assert target.sent == [b"1", b"3"]
    report = made._report
    assert (report.replayed, report.foreign, report.in_doubt, report.unsendable) == (2, 1, 1, 1)
    assert made._sure == {0: 7, 1: 1}


async def test_what_fails_halts_its_partition_alone() -> None:
    made = replay(Target(b"bad"))
    messages = [Message(n, letter(value)) for n, value in enumerate((b"1", b"bad", b"2"))]
    assert not await handed(made, *messages, Message(8, letter(b"3"), partition=1))
    assert made._sure == {0: 1, 1: 9}
    assert (made._report.replayed, made._report.failed) == (3, 1)


async def test_what_fails_may_be_gone_past() -> None:
    made = replay(Target(b"bad"), skip_failed=True)
    assert await handed(made, Message(0, letter(b"bad")), Message(1, letter(b"1")))
    assert made._sure[0] == 2


async def test_an_error_amid_a_group_leaves_nothing_sent_to_be_sent_again() -> None:
    """The positions of what was sent before it are kept, and nothing behind it is touched."""
    target = Target()
    made = replay(target)
    reader = Reader(Message(0, letter(b"1")), Message(1, None), Broken(), Message(2, letter(b"2")))
    consumer: Any = reader
    with pytest.raises(ProducerError, match=r"cannot be read: .*_MSG_TIMED_OUT"):
        await made._replay(consumer, consumer)
    assert target.sent == [b"1"]
    assert reader.committed_to == [2, 0]
    assert (made._report.replayed, made._report.foreign) == (1, 1)


async def test_an_election_amid_a_group_is_waited_for() -> None:
    """Also that of a leader that does not know yet how far the partition goes."""
    target = Target()
    made = replay(target)
    moved = Broken(KafkaError.NOT_LEADER_FOR_PARTITION)
    early, end = (Broken(KafkaError._PARTITION_EOF, offset) for offset in (1, 4))
    made._sure, made._maybe, made._ends = {0: 0}, {0: 0}, {0: 4}
    messages: list[Any] = [Message(0, letter(b"1")), moved, early, Message(1, letter(b"2"))]
    assert await made._handle(messages)
    assert (target.sent, made._ends) == ([b"1", b"2"], {0: 4})
    made._is_record(end)  # type: ignore[arg-type]
    assert made._ends == {}


async def test_a_topic_and_its_ends_are_asked_for_again_while_brokers_learn_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dlq_topic, "_PAUSE_SECONDS", 0.0)

    class Learning(Reader):
        heard = 0

        def list_topics(self, topic: str, timeout: float) -> Any:
            self.heard += 1
            if self.heard < 3:
                error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
                return SimpleNamespace(topics={topic: SimpleNamespace(error=error, partitions={})})
            return super().list_topics(topic, timeout)

        def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
            self.heard += 1
            if self.heard < 6:
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
            return super().get_watermark_offsets(place, timeout)

    made = replay(Target())
    reader: Any = Learning()
    made._look_up(reader, reader)
    assert made._ends == {0: 4, 1: 4}


async def test_a_position_that_is_not_told_is_not_taken_for_none() -> None:
    class Silent(Reader):
        def committed(self, places: list[TopicPartition], timeout: float) -> Any:
            error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
            return [SimpleNamespace(error=error, partition=0, offset=-1001) for _ in places]

    made = replay(Target())
    reader: Any = Silent()
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        made._look_up(reader, reader)


async def test_a_producer_that_refuses_amid_a_group_leaves_nothing_to_be_sent_again() -> None:
    """Also what it has taken before it said so."""

    class Closing(Target):
        async def drain(self) -> None:
            raise ProducerClosedError("closed meanwhile")

    target = Closing()
    made = replay(target)
    reader = Reader(Message(0, letter(b"1")), Message(1, letter(b"2")))
    consumer: Any = reader
    with pytest.raises(ProducerClosedError):
        await made._replay(consumer, consumer)
    assert target.sent == [b"1"]
    assert reader.committed_to == [1, 0]


async def test_those_in_doubt_have_a_position_of_their_own() -> None:
    target = Target()
    made = replay(target, include_maybe=True)
    # What was left in an earlier run, behind whose position there are others.
    made._sure[0] = 3
    messages = [
        Message(0, letter(b"sent before")),
        Message(1, letter(b"in doubt", "maybe")),
        Message(2, None),
        Message(3, letter(b"new")),
    ]
    assert await handed(made, *messages)
    assert target.sent == [b"in doubt", b"new"]
    assert (made._sure[0], made._maybe[0]) == (4, 4)
    assert made._report.foreign == 0
    again = replay(target, include_maybe=True)
    again._sure[0] = again._maybe[0] = 4
    assert await handed(again, *messages)
    assert len(target.sent) == 2


async def test_a_dry_run_sends_nothing() -> None:
    target = Target()
    made = replay(target, dry_run=True)
    assert await handed(made, Message(0, letter(b"1")), Message(1, letter(b"2", "maybe")))
    assert target.sent == []
    assert made._report.topics == {"orders": 1}
    assert made._report.in_doubt == 1


def test_the_consumer_is_let_in_as_the_producer() -> None:
    settings = {
        "bootstrap.servers": ["a:1", "b:2"], "linger.ms": "5", "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p",
        "ssl.truststore.type": "PEM", "ssl.truststore.location": "/ca.pem",
    }  # fmt: skip
    config = consumer_config(settings, {"fetch.min.bytes": "2"})
    assert config["bootstrap.servers"] == "a:1,b:2"
    assert config["ssl.ca.location"] == "/ca.pem"
    assert (config["sasl.username"], config["fetch.min.bytes"]) == ("u", "2")
    assert "linger.ms" not in config
    assert config["enable.auto.commit"] is False


def test_what_librdkafka_calls_otherwise_has_to_be_said() -> None:
    settings = {"ssl.keystore.location": "/k.p12"}
    with pytest.raises(SettingsError, match=r"ssl\.keystore\.location"):
        consumer_config(settings, {})
    assert consumer_config(settings, {"ssl.keystore.location": "/k.p12"})


async def test_without_the_consumer_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    producer: AsyncProducer[bytes, bytes] = AsyncProducer("a:1")
    made = TopicReplay(producer, "dead", {}, {}, ReplayReport())
    with pytest.raises(SettingsError, match=r"aioproducer\[testing\]"):
        await made.run()
