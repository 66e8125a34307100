"""Dead letters in virtual time: what fails is kept somewhere, or somebody is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    CircuitOpenError,
    ConfigurationError,
    DeadLetterError,
    DeliveryTimeoutError,
    FlushTimeoutError,
    LifeState,
    MetadataTimeoutError,
    ProducerClosedError,
    ProducerError,
    Record,
    RecordMetadata,
    SerializationError,
)
from aioproducer.errors import TopicAuthorizationFailedError
from aioproducer.patterns import (
    CircuitBreaker,
    CircuitRules,
    CircuitState,
    DeadLetters,
)
from aioproducer.wire.versions import ApiKey
from tests.broker_wire import Request
from tests.fake_broker import Conduct
from tests.fake_log import Verb
from tests.patterns.dead_letter_world import (
    INVALID_RECORD,
    Letters,
    World,
    left_in,
    reports,
)
from tests.runtime.world import now, values_of

# What goes well


async def test_what_is_acknowledged_is_as_without_it() -> None:
    world = World()
    async with world.letters() as letters:
        delivery = letters.send("good", b"1", key=b"k", headers=[("h", b"v")])
        assert asyncio.isfuture(delivery)
        assert delivery.topic == "good"
        metadata = await delivery
        assert (metadata.topic, metadata.offset) == ("good", 0)
        assert delivery.partition == 0
        assert delivery.failure is None
        assert "acknowledged" in str(delivery.explain())
        assert (await letters.send_and_wait("good", b"2")).offset == 1
        assert (await letters.try_send("good", b"3")).offset == 2
        result = await letters.send_many([Record("good", b"4"), Record("good", b"5")])
        assert result.failures == ()
        assert (letters.sent, letters.spooled, letters.lost) == (0, 0, 0)
        assert letters._keeper._own_sender is None
    assert values_of(world.cluster, "good") == [b"1", b"2", b"3", b"4", b"5"]


# To the dead-letter topic


async def test_a_record_that_fails_goes_to_its_dead_letter_topic() -> None:
    world = World()
    async with world.letters() as letters:
        delivery = letters.send("bad", b"v", key=b"k", timestamp_ms=77, headers=[("h", b"1")])
        with pytest.raises(TopicAuthorizationFailedError) as caught:
            await delivery
        assert isinstance(delivery.kept, RecordMetadata)
        assert delivery.kept.topic == "bad.dead-letters"
        assert caught.value.__notes__ == ["kept as a dead letter: bad.dead-letters-0 at offset 0"]
        assert isinstance(delivery.failure, TopicAuthorizationFailedError)
        assert letters.sent == 1
    (record,) = world.records()
    assert (record.key, record.value) == (b"k", b"v")
    headers = dict(record.headers)
    assert record.headers[0] == ("h", b"1")
    assert headers["original.topic"] == b"bad"
    assert headers["original.partition"] == b"0"
    assert headers["original.timestamp"] == b"77"
    assert headers["failure.class"] == b"TopicAuthorizationFailedError"
    assert b"TOPIC_AUTHORIZATION_FAILED" in (headers["failure.reason"] or b"")
    assert headers["failure.persisted"] == b"no"
    assert int(headers["failure.timestamp"] or 0) > 1_700_000_000_000


async def test_every_way_of_sending_leads_there() -> None:
    world = World()
    async with world.letters() as letters:
        await letters.warm_up(["bad"])
        with pytest.raises(TopicAuthorizationFailedError):
            await letters.send_and_wait("bad", b"1")
        with pytest.raises(TopicAuthorizationFailedError):
            await letters.try_send("bad", b"2")
        result = await letters.send_many([Record("bad", b"3"), Record("good", b"4")])
        assert [position for position, _ in result.failures] == [0]
        letters.send("bad", b"5")
        await letters.flush()
        assert letters.sent == 4
    assert values_of(world.cluster, "bad.dead-letters") == [b"1", b"2", b"3", b"5"]
    # It was kept: nobody need be told that nobody looked.
    assert reports() == []


async def test_letters_keep_the_order_of_their_records_and_turns_are_given() -> None:
    world = World()
    async with world.letters() as letters:
        sent = [letters.send("bad", b"%d" % n) for n in range(1_000)]
        await asyncio.wait(sent)
    assert values_of(world.cluster, "bad.dead-letters") == [b"%d" % n for n in range(1_000)]


async def test_of_a_batch_only_what_fails_becomes_a_letter() -> None:
    """A broker names one record (KIP-467); the others are sent again without it."""
    world = World("good.dead-letters")
    verbs = [Verb(code=INVALID_RECORD, record_errors=[(1, "unfit")])]
    world.cluster.choose = lambda broker, partition: verbs.pop() if verbs else None
    async with world.letters({"linger_ms": 100}) as letters:
        await letters.warm_up(["good"])
        sent = [letters.send("good", b"%d" % n) for n in range(3)]
        await asyncio.wait(sent)
        assert [delivery.failure is None for delivery in sent] == [True, False, True]
        assert sent[0].result().offset == 0
        assert sent[2].result().offset == 1
        assert letters._batches == {}
    assert values_of(world.cluster, "good") == [b"0", b"2"]
    assert values_of(world.cluster, "good.dead-letters") == [b"1"]


async def test_a_record_with_a_timeout_of_its_own_does_not_wait_for_its_batch() -> None:
    world = World("good.dead-letters")
    async with world.letters({"delivery_timeout_ms": 60_000}) as letters:
        await letters.send("good", b"0")
        world.cluster.brokers[1].stop()
        patient, hasty = letters.send("good", b"1"), letters.send("good", b"2", timeout=1)
        await asyncio.sleep(1.5)
        assert letters.pending == 1
        world.cluster.brokers[1].start()
        await patient
        with pytest.raises(DeliveryTimeoutError):
            await hasty
        assert letters.sent == 1
    (record,) = world.records("good.dead-letters")
    # It was given up, not taken back: both are there, and the letter says that it may be so.
    assert dict(record.headers)["failure.persisted"] == b"maybe"
    assert values_of(world.cluster, "good") == [b"0", b"1", b"2"]


async def test_one_that_was_on_its_way_is_marked() -> None:
    world = World()
    world.refused = set()
    async with world.letters() as letters:
        await letters.send("bad", b"0")
        until = now() + 1.9

        def choose(_: object, request: Request) -> Conduct | None:
            is_lost = request.api is ApiKey.PRODUCE and now() < until
            return Conduct(swallow=True) if is_lost else None

        world.cluster.chooser = choose
        with pytest.raises(DeliveryTimeoutError) as caught:
            await letters.send("bad", b"lost")
        assert caught.value.persisted == "maybe"
    (record,) = world.records()
    assert dict(record.headers)["failure.persisted"] == b"maybe"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("graveyard", "graveyard"),
        ("dead.{topic}.v1", "dead.bad.v1"),
        (lambda topic: topic.upper(), "BAD"),
    ],
)
async def test_the_dead_letter_topic_is_a_name_a_pattern_or_a_function(
    topic: Any, expected: str
) -> None:
    world = World(expected)
    async with world.letters(topic=topic) as letters:
        with pytest.raises(TopicAuthorizationFailedError):
            await letters.send("bad", b"v")
    assert values_of(world.cluster, expected) == [b"v"]


async def test_a_sender_of_one_s_own_is_used_and_left_running() -> None:
    world = World()
    async with world.producer() as sender:
        async with DeadLetters(world.producer(), sender=sender) as letters:
            with pytest.raises(TopicAuthorizationFailedError):
                await letters.send("bad", b"v")
        assert sender.state is LifeState.RUNNING
    assert values_of(world.cluster, "bad.dead-letters") == [b"v"]


async def test_the_same_producer_may_send_the_letters() -> None:
    world = World()
    producer = world.producer()
    async with DeadLetters(producer, sender=producer) as letters:
        letters.send("bad", b"v")
        await letters.flush()
    assert values_of(world.cluster, "bad.dead-letters") == [b"v"]


async def test_errors_that_are_not_to_be_kept_are_the_caller_s() -> None:
    world = World()
    async with world.letters(keep=lambda error: error.retriable) as letters:
        delivery = letters.send("bad", b"v")
        with pytest.raises(TopicAuthorizationFailedError):
            await delivery
        assert delivery.kept is None
        letters.send("bad", b"v")
        await letters.flush()
    assert world.records() == []
    assert reports() == ["LetterDelivery exception was never retrieved"]


async def test_a_judgement_that_raises_keeps_the_letter(caplog: pytest.LogCaptureFixture) -> None:
    def fall_over(error: ProducerError) -> bool:
        raise ZeroDivisionError

    world = World()
    async with world.letters(keep=fall_over) as letters:
        with pytest.raises(TopicAuthorizationFailedError):
            await letters.send("bad", b"v")
        assert letters.sent == 1
    assert "keep() of dead letters raised" in caplog.text


# Values that never had bytes


def upper(value: str) -> bytes:
    return value.upper().encode()


async def test_letters_have_the_bytes_that_were_to_be_sent() -> None:
    world = World()
    options = {"key_serializer": upper, "value_serializer": "json"}
    async with world.letters(options) as letters:
        with pytest.raises(TopicAuthorizationFailedError):
            await letters.send("bad", {"a": 1}, key="k")
    (record,) = world.records()
    assert (record.key, record.value) == (b"K", b'{"a":1}')
    assert "original.value.form" not in dict(record.headers)


async def test_of_what_no_serializer_takes_is_kept_what_can_be() -> None:
    world = World("good.dead-letters")
    options = {"key_serializer": upper, "value_serializer": upper}
    async with world.letters(options) as letters:
        for value, key in (({"a": 1}, "k"), (b"raw", "k"), ("v", 5)):
            with pytest.raises(SerializationError):
                await letters.send("good", value, key=key)
    found = [
        (
            record.key,
            record.value,
            {name: form for name, form in record.headers if name.endswith(".form")},
        )
        for record in world.records("good.dead-letters")
    ]
    assert found == [
        (b"K", b'{"a": 1}', {"original.value.form": b"json"}),
        # bytes have upper(), and what comes of that has no encode().
        (b"K", b"raw", {"original.value.form": b"bytes"}),
        (b"5", b"V", {"original.key.form": b"json"}),
    ]


async def test_a_serializer_that_does_not_answer_is_not_asked_again() -> None:
    asked: list[object] = []

    async def never(value: object) -> bytes:
        asked.append(value)
        await asyncio.sleep(10_000)
        return b""

    world = World("good.dead-letters")
    async with world.letters({"value_serializer": never}) as letters:
        with pytest.raises(SerializationError):
            await letters.send("good", "v")
    (record,) = world.records("good.dead-letters")
    assert record.value == b"v"
    assert dict(record.headers)["original.value.form"] == b"utf-8"
    assert asked == ["v"]


async def test_headers_are_kept_as_they_were_sent() -> None:
    world = World()
    async with world.letters() as letters:
        again = [("a", b"1")]
        letters.send("bad", b"list", headers=again)
        again.clear()
        once: Any = (pair for pair in [("a", b"1")])
        letters.send("bad", b"iterator", headers=once)
        none: Any = None
        letters.send("bad", b"none", headers=none)
        await letters.flush()
        assert (letters.sent, letters.lost) == (3, 0)
        wrong: Any = 5
        with pytest.raises(TypeError, match="headers must be"):
            letters.send("bad", b"misuse", headers=wrong)
    kept = {record.value: record.headers for record in world.records()}
    assert kept[b"list"][0] == kept[b"iterator"][0] == ("a", b"1")
    assert kept[b"none"][0][0] == "original.topic"


async def test_a_buffer_that_is_used_again_is_kept_as_it_was() -> None:
    world = World()
    async with world.letters() as letters:
        buffer, key = bytearray(b"v"), bytearray(b"k")
        delivery = letters.send("bad", buffer, key=key)
        buffer[:], key[:] = b"x", b"x"
        await asyncio.wait([delivery])
    assert [(record.key, record.value) for record in world.records()] == [(b"k", b"v")]


# No circles


@pytest.mark.parametrize(
    ("topic", "sent_to"),
    [
        ("bad", "bad"),
        ("{topic}.dead-letters", "bad.dead-letters"),
        ("{topic}.dead-letters", "bad.dead-letters.dead-letters"),
        ("dead.{topic}", "dead.bad"),
        (lambda topic: "bad", "bad"),
    ],
)
async def test_a_dead_letter_topic_is_not_sent_to_through_dead_letters(
    topic: Any, sent_to: str
) -> None:
    world = World()
    async with world.letters(topic=topic) as letters:
        with pytest.raises(ValueError, match="dead-letter topic itself"):
            letters.send(sent_to, b"v")
        with pytest.raises(ValueError, match="dead-letter topic itself"):
            letters.try_send(sent_to, b"v")
        result = await letters.send_many([Record(sent_to, b"v")])
        assert isinstance(result[0], SerializationError)


# Cancelling


async def test_cancelling_what_waits_withdraws_it_and_makes_no_letter() -> None:
    world = World()
    async with world.letters() as letters:
        delivery = letters.send("later", b"v")
        await asyncio.sleep(0.5)
        assert delivery.cancel()
        await asyncio.sleep(5)
        assert delivery.cancelled()
        world.cluster.add_topic("later", 1)
    assert values_of(world.cluster, "later") == []
    assert letters.sent + letters.lost == 0


async def test_cancelling_what_is_on_its_way_abandons_the_wait_only() -> None:
    world = World()
    async with world.letters() as letters:
        await letters.warm_up(["bad", "good"])
        sent = [letters.send("bad", b"1"), letters.send("good", b"2")]
        for delivery in sent:
            assert not delivery.withdraw()
            delivery.cancel()
        await letters.flush()
        assert letters.sent == 1
    assert values_of(world.cluster, "bad.dead-letters") == [b"1"]
    assert values_of(world.cluster, "good") == [b"2"]


async def test_a_caller_that_is_cancelled_in_send_and_wait_loses_no_letter() -> None:
    world = World()
    async with world.letters() as letters:
        await letters.warm_up(["bad"])
        sending = asyncio.create_task(letters.send_and_wait("bad", b"1"))
        await asyncio.sleep(0.001)
        sending.cancel()
        await asyncio.wait([sending])
        await letters.flush()
        assert letters.sent == 1


# The end


async def test_leaving_keeps_what_fails_last(path: Path) -> None:
    world = World()
    async with world.letters(spool=path) as letters:
        for n in range(300):
            letters.send("bad", b"%d" % n)
    assert letters.sent == 300
    assert values_of(world.cluster, "bad.dead-letters") == [b"%d" % n for n in range(300)]


async def test_closing_with_no_time_left_keeps_all_in_the_spool(path: Path) -> None:
    world = World()
    async with world.letters(spool=path) as letters:
        await letters.warm_up(["good"])
        sent = [letters.send("good", b"%d" % n) for n in range(500)]
        await letters.close(0)
        assert {type(each.exception()) for each in sent} == {ProducerClosedError}
        assert letters.spooled == 500
    assert len(left_in(path)) == 500


async def test_a_cluster_that_is_away_does_not_hold_the_end_for_ever(path: Path) -> None:
    world = World()
    async with world.letters(spool=path, timeout=3) as letters:
        await letters.send("good", b"0")
        world.cluster.brokers[1].stop()
        for n in range(20):
            letters.send("good", b"%d" % n)
        started = now()
    assert now() - started < 12
    assert letters.spooled == 20
    assert {letter.failure_class for letter in left_in(path)} == {"DeliveryTimeoutError"}


async def test_letters_that_are_in_the_spool_already_do_not_hold_the_end(path: Path) -> None:
    world = World()
    async with world.letters({"delivery_timeout_ms": 120_000}, spool=path, timeout=30) as letters:
        with pytest.raises(ProducerError):
            await letters.send("bad", b"1")
        world.cluster.brokers[1].stop()
        letters.send("bad", b"2")
        await asyncio.sleep(155)
        assert (letters.spooled, letters.pending) == (1, 0)
        started = now()
        await letters.close()
        assert now() - started < 10


async def test_a_flush_has_a_limit(path: Path) -> None:
    world = World()
    async with world.letters(spool=path, timeout=60) as letters:
        await letters.send("good", b"0")
        world.cluster.brokers[1].stop()
        letters.send("good", b"1")
        await asyncio.sleep(2.5)
        assert letters.pending == 1
        with pytest.raises(FlushTimeoutError, match="1 dead letters"):
            await letters.flush(1)
        await letters.close(1)
    assert letters.spooled == 1


async def test_an_exit_that_is_cancelled_ends_in_good_order_and_twice_forces(path: Path) -> None:
    world = World()
    letters: Letters = DeadLetters(world.producer(delivery_timeout_ms=500_000), spool=path)

    async def main() -> None:
        async with letters:
            await letters.send("good", b"0")
            world.cluster.brokers[1].stop()
            letters.send("good", b"1")

    leaving = asyncio.create_task(main())
    await asyncio.sleep(1)
    leaving.cancel()
    await asyncio.sleep(10)
    assert not leaving.done()
    leaving.cancel()
    await asyncio.sleep(30)
    assert leaving.cancelled()
    assert letters.spooled == 1
    assert letters.state is LifeState.CLOSED


async def test_a_close_that_is_cancelled_goes_on(path: Path) -> None:
    world = World()
    async with world.letters(spool=path) as letters:
        letters.send("bad", b"1")
        closing = asyncio.create_task(letters.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        report = await letters.close()
        assert report.failed == 1
        assert letters.sent == 1


async def test_around_a_running_producer_the_block_ends_the_letters_alone(path: Path) -> None:
    world = World()
    async with world.producer() as producer:
        async with DeadLetters(producer, spool=path) as letters:
            letters.send("bad", b"1")
        assert letters.sent == 1
        assert producer.state is LifeState.RUNNING
        await producer.send("good", b"2")


async def test_around_a_running_producer_the_end_can_be_forced_too() -> None:
    world = World()
    async with world.producer(delivery_timeout_ms=600_000) as producer:
        letters: Letters = DeadLetters(producer)

        async def main() -> None:
            async with letters:
                await letters.send("good", b"0")
                world.cluster.brokers[1].stop()
                letters.send("good", b"1")

        leaving = asyncio.create_task(main())
        await asyncio.sleep(1)
        leaving.cancel()
        await asyncio.sleep(10)
        assert not leaving.done()
        leaving.cancel()
        await asyncio.sleep(10)
        assert leaving.cancelled()
        assert producer.state is LifeState.RUNNING
        world.cluster.brokers[1].start()


async def test_what_fails_after_the_end_is_told(path: Path) -> None:
    world = World()
    async with world.producer() as producer:
        async with DeadLetters(producer, spool=path) as letters:
            pass
        with pytest.raises(DeadLetterError, match="closed"):
            await letters.send("bad", b"1")


# With a circuit


async def test_what_an_open_circuit_refuses_goes_to_the_spool_at_once(path: Path) -> None:
    world = World()
    rules = CircuitRules(failures_in_row=1, recovery=1_000)
    breaker: CircuitBreaker[Any, Any] = CircuitBreaker(world.producer(), rules)
    async with DeadLetters(breaker, spool=path, timeout=3) as letters:
        await letters.send("good", b"0")
        world.cluster.brokers[1].stop()
        with pytest.raises(DeliveryTimeoutError):
            await letters.send("good", b"1")
        started = now()
        delivery = letters.send("good", b"2")
        with pytest.raises(CircuitOpenError):
            await delivery
        assert now() - started < 0.1
        assert delivery.kept == str(path)
    assert [letter.failure_class for letter in left_in(path)] == [
        "DeliveryTimeoutError",
        "CircuitOpenError",
    ]


async def test_a_circuit_around_dead_letters_counts_the_records_own_errors(path: Path) -> None:
    world = World()
    letters: Letters = DeadLetters(world.producer(), topic=None, spool=path)
    rules = CircuitRules(failures_in_row=1)
    async with CircuitBreaker(letters, rules) as breaker:
        with pytest.raises(TopicAuthorizationFailedError):
            await breaker.send("bad", b"1")
        assert breaker.circuits[""] is CircuitState.CLOSED
        await breaker.send("good", b"0")
        world.cluster.brokers[1].stop()
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("good", b"2")
        await asyncio.sleep(0)
        assert breaker.circuits[""] is CircuitState.OPEN
        with pytest.raises(CircuitOpenError):
            await breaker.send("good", b"3")
    # What the circuit refused never came to the letters.
    assert [letter.record.value for letter in left_in(path)] == [b"1", b"2"]


# What it shows, what it refuses


def producer(**options: Any) -> AsyncProducer[Any, Any]:
    return AsyncProducer("h:1", **options)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DeadLetters(producer(transactional_id="t")), "transaction"),
        (lambda: DeadLetters(producer(), topic=""), "no dead-letter topic"),
        (lambda: DeadLetters(producer(), topic="{topic}"), "no dead-letter topic"),
        (lambda: DeadLetters(producer(), topic="{topic}{topic}"), "no dead-letter topic"),
        (lambda: DeadLetters(producer(), topic=None), "nowhere"),
        (lambda: DeadLetters(producer(), topic=None, spool="s", sender=producer()), "no topic"),
        (lambda: DeadLetters(producer(), sender=producer(value_serializer="json")), "serializers"),
        (lambda: DeadLetters(producer(), sender=producer(transactional_id="t")), "transactional"),
        (lambda: DeadLetters(producer(), sender=DeadLetters(producer())), "circle"),
        (
            lambda: DeadLetters(producer(), sender=CircuitBreaker(DeadLetters(producer()))),
            "circle",
        ),
        (lambda: DeadLetters(producer(), timeout=0), "timeout"),
        (lambda: DeadLetters(producer(), on_lost=asyncio.sleep), "coroutine"),
        (lambda: DeadLetters(producer(), spool="/nowhere/x"), "no folder"),
    ],
)
def test_what_makes_no_sense_together_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_the_own_sender_has_the_settings_of_the_first_and_no_serializers() -> None:
    from aioproducer.patterns.dead_letter_cases import sender_like

    first = producer(
        config={"linger.ms": "7"}, profile="reliability", client_id="me",
        key_serializer="string", value_serializer="json", partitioner="round_robin",
        interceptors=[_Silent()],
    )  # fmt: skip
    own = sender_like(first)
    assert own.client_id == "me-dead-letters"
    assert (own.config.linger_ms, own.config.compression_type) == (7, first.config.compression_type)
    assert own.config.key_serializer is own.config.value_serializer is None
    assert own.config.partitioner is None
    assert own.config.interceptors == ()


class _Silent:
    def on_send(self, record: Any) -> None:
        pass


async def test_errors_are_producer_errors_and_say_where() -> None:
    world = World()
    async with world.letters(topic=None, on_lost=lambda *_: None) as letters:
        with pytest.raises(ProducerError) as caught:
            await letters.send("nowhere", b"v")
        assert isinstance(caught.value, DeadLetterError)
        assert isinstance(caught.value.__cause__, MetadataTimeoutError)
        assert caught.value.what_next
