"""Dead letters out of a dead-letter topic, read with confluent-kafka's consumer.

What was acknowledged is kept as the position of a consumer group. Letters in doubt, which are left
at first and may be asked for later, have a position of their own, in a second group.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from aioproducer import AsyncProducer
from aioproducer.cli.settings import SettingsError
from aioproducer.errors import ProducerError, ProducerTimeoutError
from aioproducer.patterns.letters import DeadLetter, from_record
from aioproducer.patterns.spool import ReplayReport
from aioproducer.testing.judge import may_pass

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

_AT_ONCE = 500
_POLL_SECONDS = 0.5
_REQUEST_SECONDS = 30.0
_SILENT_SECONDS = 60.0
# For how long a broker may not have heard of a topic that is there.
_NEWS_SECONDS = 3.0
_PAUSE_SECONDS = 0.1

# What librdkafka calls by the same name, or another.
_SAME = {
    "bootstrap.servers": "bootstrap.servers",
    "security.protocol": "security.protocol",
    "sasl.mechanism": "sasl.mechanism",
    "sasl.username": "sasl.username",
    "sasl.password": "sasl.password",
    "sasl.kerberos.service.name": "sasl.kerberos.service.name",
    "client.dns.lookup": "client.dns.lookup",
    "ssl.endpoint.identification.algorithm": "ssl.endpoint.identification.algorithm",
}


_Sent: TypeAlias = dict[tuple[int, int], tuple[DeadLetter, asyncio.Future[Any]]]
"""By partition and offset of the letter."""


class TopicReplay:
    """One replay of a dead-letter topic, from where the last one ended to its present end."""

    def __init__(
        self,
        producer: AsyncProducer[bytes, bytes],
        topic: str,
        settings: Mapping[str, object],
        consumer: Mapping[str, object],
        report: ReplayReport,
        *,
        group: str | None = None,
        include_maybe: bool = False,
        to_topic: Callable[[DeadLetter], str] | None = None,
        skip_failed: bool = False,
        dry_run: bool = False,
        is_stopped: Callable[[], bool] = bool,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._config = consumer_config(settings, consumer)
        self._group = group or f"aioproducer-dlq-replay-{topic}"
        self._report = report
        self._include_maybe = include_maybe
        self._to_topic = to_topic
        self._skip_failed = skip_failed
        self._dry_run = dry_run
        self._is_stopped = is_stopped
        # By partition: the next letter to send, the next one in doubt, and where to end.
        self._sure: dict[int, int] = {}
        self._maybe: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        # Raised once the positions of what was sent before it are kept.
        self._broken: ProducerError | None = None

    async def run(self) -> ReplayReport:
        """Replay and return the report. Raises :exc:`SettingsError` for a topic that is not there.

        Cancelling ends it; what was acknowledged and not committed yet is sent again next time.
        """
        kafka = _confluent_kafka()
        try:
            with _Closing(kafka.Consumer({**self._config, "group.id": self._group})) as consumer:
                other = kafka.Consumer({**self._config, "group.id": f"{self._group}.maybe"})
                with _Closing(other):
                    await self._replay(consumer, other)
        except kafka.KafkaException as error:
            raise ProducerError(f"the dead-letter topic cannot be read: {error}") from error
        return self._report

    async def _replay(self, consumer: Consumer, other: Consumer) -> None:
        await asyncio.to_thread(self._look_up, consumer, other)
        heard = time.monotonic()
        while not self._is_at_end(consumer):
            messages = await asyncio.to_thread(consumer.consume, _AT_ONCE, _POLL_SECONDS)
            if any(message.error() is None for message in messages):
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENT_SECONDS:
                raise ProducerTimeoutError(f"{self._topic} gave nothing for {_SILENT_SECONDS:g} s")
            if not await self._handle(messages):
                self._report.is_whole = False
            if not self._dry_run:
                await asyncio.to_thread(self._commit, consumer, other)
            if self._broken is not None:
                raise self._broken
            if not self._report.is_whole or self._is_stopped():
                break

    def _look_up(self, consumer: Consumer, other: Consumer) -> None:
        """Find the topic's partitions and where to begin and end in each."""
        kafka = _confluent_kafka()
        places = [
            kafka.TopicPartition(self._topic, number) for number in self._partitions(consumer)
        ]
        committed = consumer.committed(places, timeout=_REQUEST_SECONDS)
        in_doubt = other.committed(places, timeout=_REQUEST_SECONDS)
        for place in (*committed, *in_doubt):
            if place.error is not None:
                # Its offset says nothing: letters that were sent would be sent again.
                raise kafka.KafkaException(place.error)
        starts = []
        for sure, maybe in zip(committed, in_doubt, strict=True):
            low, high = _limits(consumer, sure)
            number = sure.partition
            self._sure[number] = max(low, sure.offset)
            self._maybe[number] = max(low, maybe.offset)
            self._ends[number] = high
            start = self._sure[number]
            if self._include_maybe:
                start = min(start, self._maybe[number])
            if start < high:
                starts.append(kafka.TopicPartition(self._topic, number, start))
            else:
                # There is nothing to read; a position is asked for all the same.
                self._ends.pop(number)
        consumer.assign(starts)

    def _partitions(self, consumer: Consumer) -> list[int]:
        """Return the topic's partitions; the broker that is asked may not have heard of it yet."""
        give_up = time.monotonic() + _NEWS_SECONDS
        while True:
            found = consumer.list_topics(self._topic, timeout=_REQUEST_SECONDS).topics[self._topic]
            if found.error is None and found.partitions:
                return list(found.partitions)
            if time.monotonic() >= give_up or not may_pass(found.error):
                words = f"there is neither a file nor a topic {self._topic}: {found.error}"
                raise SettingsError(words)
            time.sleep(_PAUSE_SECONDS)

    def _is_at_end(self, consumer: Consumer) -> bool:
        kafka = _confluent_kafka()
        places = [kafka.TopicPartition(self._topic, number) for number in self._ends]
        return all(
            place.offset >= self._ends[place.partition] for place in consumer.position(places)
        )

    async def _handle(self, messages: list[Message]) -> bool:
        """Send what is to be sent and wait for it; return whether to go on."""
        sent: _Sent = {}
        wholes: list[Message] = []
        try:
            for message in messages:
                if not self._is_record(message):
                    continue
                letter = self._chosen(message)
                if letter is not None:
                    sent[_place(message)] = (letter, self._send(letter))
                wholes.append(message)
                if letter is not None:
                    with suppress(ProducerTimeoutError):
                        await self._producer.drain()
        except ProducerError as error:
            self._broken = error
        if sent:
            self._producer.expedite()
            await asyncio.wait([delivery for _, delivery in sent.values()])
        return self._settle(wholes, sent)

    def _is_record(self, message: Message) -> bool:
        """Return whether it is one, or only the end of a partition; raises what was not read."""
        if (error := message.error()) is None:
            return True
        if error.code() == _confluent_kafka().KafkaError._PARTITION_EOF:
            number = message.partition() or 0
            # Markers of transactions lie behind the last record, and are never read. A leader that
            # was elected just now may tell an earlier end.
            if (message.offset() or 0) >= self._ends.get(number, 0):
                self._ends.pop(number, None)
        elif not may_pass(error):
            raise ProducerError(f"the dead-letter topic cannot be read: {error}")
        return False

    def _chosen(self, message: Message) -> DeadLetter | None:
        """Return the letter to send, or count why there is none."""
        number, offset = _place(message)
        headers: Any = message.headers()
        letter = from_record(message.value(), message.key(), headers or ())
        is_old = offset < self._sure[number]
        if letter is None:
            self._report.foreign += not is_old
            return None
        if letter.is_sendable and letter.persisted != "no":
            is_old = self._include_maybe and offset < self._maybe[number]
        if is_old:
            return None
        if not self._dry_run:
            return letter if self._report.would_send(letter, self._include_maybe) else None
        self._report.see(letter, include_maybe=self._include_maybe)
        return None

    def _send(self, letter: DeadLetter) -> asyncio.Future[Any]:
        record = letter.record
        topic = record.topic if self._to_topic is None else self._to_topic(letter)
        return self._producer.send(
            topic, record.value, key=record.key,
            partition=record.partition if topic == record.topic else None,
            timestamp_ms=record.timestamp_ms, headers=record.headers,
        )  # fmt: skip

    def _settle(self, messages: list[Message], sent: _Sent) -> bool:
        """Count, and move the positions up to the first that failed in each partition."""
        halted: set[int] = set()
        for message in messages:
            number, offset = place = _place(message)
            letter, delivery = sent.get(place, (None, None))
            error = None if delivery is None else delivery.exception()
            if letter is not None and error is None:
                self._report.replayed += 1
                self._report.topics[letter.record.topic] += 1
            if error is not None:
                self._report.failed += 1
                self._report.errors[f"{type(error).__name__}: {error}"] += 1
                if not self._skip_failed:
                    halted.add(number)
            if number not in halted:
                self._sure[number] = max(self._sure[number], offset + 1)
                self._maybe[number] = max(self._maybe[number], offset + 1)
        return not halted

    def _commit(self, consumer: Consumer, other: Consumer) -> None:
        kafka = _confluent_kafka()

        def places(positions: Mapping[int, int]) -> list[Any]:
            return [
                kafka.TopicPartition(self._topic, number, offset)
                for number, offset in positions.items()
            ]

        consumer.commit(offsets=places(self._sure), asynchronous=False)
        if self._include_maybe:
            other.commit(offsets=places(self._maybe), asynchronous=False)


def _limits(consumer: Consumer, place: Any) -> tuple[int, int]:
    """Return where a partition begins and ends, asking again while a leader is elected."""
    give_up = time.monotonic() + _REQUEST_SECONDS
    while True:
        try:
            found = consumer.get_watermark_offsets(place, timeout=_REQUEST_SECONDS)
        except _confluent_kafka().KafkaException as error:
            if time.monotonic() >= give_up or not may_pass(error.args[0]):
                raise
        else:
            if found is None:
                raise ProducerTimeoutError(f"{place.topic}-{place.partition} does not tell its end")
            return found
        time.sleep(_PAUSE_SECONDS)


class _Closing:
    """Closes a consumer when its block is left."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __enter__(self) -> Consumer:
        return self._consumer

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


def consumer_config(settings: Mapping[str, object], own: Mapping[str, object]) -> dict[str, Any]:
    """Return librdkafka's settings for what the producer was given, with ``own`` above them.

    Raises :exc:`SettingsError` for how to be let in by other means than librdkafka's.
    """
    config: dict[str, Any] = {
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "check.crcs": True,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        # librdkafka would log every connection that a broker ends.
        "log_level": 0,
    }
    unknown = []
    for key, value in settings.items():
        if key in _SAME:
            servers = value if isinstance(value, str) else ",".join(map(str, value))  # type: ignore[call-overload]
            config[_SAME[key]] = servers
        elif key == "ssl.truststore.location" and settings.get("ssl.truststore.type") == "PEM":
            config["ssl.ca.location"] = value
        elif key.startswith(("ssl.", "sasl.")) and key != "ssl.truststore.type":
            unknown.append(key)
    config |= own
    if unknown and not any(key.startswith(("ssl.", "sasl.")) for key in own):
        raise SettingsError(
            f"a topic is read with librdkafka, which has other names for {', '.join(unknown)}:"
            " say how the consumer is let in with -C ssl.ca.location=... and so on"
        )
    return config


def _place(message: Message) -> tuple[int, int]:
    number, offset = message.partition(), message.offset()
    assert number is not None
    assert offset is not None
    return number, offset


def _confluent_kafka() -> Any:
    try:
        import confluent_kafka
    except ImportError as error:
        raise SettingsError(
            "a dead-letter topic is read with confluent-kafka, which is not installed:"
            ' pip install "aioproducer[testing]". A spool file needs nothing.'
        ) from error
    return confluent_kafka
