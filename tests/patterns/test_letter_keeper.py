"""A failed record goes to its topic, else to the disk, else somebody is told."""

from __future__ import annotations

import asyncio
import errno
import logging
from pathlib import Path

import pytest

from aioproducer import BufferExhaustedError, DeadLetterError
from aioproducer.errors import TopicAuthorizationFailedError
from aioproducer.patterns import DeadLetter, spool
from aioproducer.patterns.spool_writer import SpoolWriter
from tests.patterns.dead_letter_world import World, left_in, reports
from tests.runtime.world import now, values_of

# Where the topic cannot be had


async def test_a_letter_that_fails_too_goes_to_the_spool_and_never_round(path: Path) -> None:
    world = World()
    world.refused = {"bad", "bad.dead-letters"}
    async with world.letters(spool=path) as letters:
        delivery = letters.send("bad", b"v", key=b"k", partition=0, headers=[("h", None)])
        with pytest.raises(TopicAuthorizationFailedError) as caught:
            await delivery
        assert delivery.kept == str(path)
        kept, failed = caught.value.__notes__
        assert kept == f"kept as a dead letter: {path}"
        assert failed.startswith("after this failed: ")
        assert "bad.dead-letters" in failed
        assert (letters.sent, letters.spooled) == (0, 1)
    (letter,) = left_in(path)
    assert letter.record.topic == "bad"
    assert (letter.record.value, letter.record.key) == (b"v", b"k")
    assert letter.record.headers == (("h", None),)
    assert (letter.record.partition, letter.partition) == (0, 0)
    assert letter.failure_class == "TopicAuthorizationFailedError"
    assert world.records() == []
    # And from there back, when the cause is gone.
    world.refused = set()
    async with world.producer() as producer:
        report = await spool.replay(producer, path)
    assert report.replayed == 1
    assert values_of(world.cluster, "bad") == [b"v"]


async def test_without_a_topic_letters_go_to_the_spool(path: Path) -> None:
    world = World()
    async with world.letters(topic=None, spool=path) as letters:
        with pytest.raises(TopicAuthorizationFailedError):
            await letters.send("bad", b"v")
    assert [letter.record.value for letter in left_in(path)] == [b"v"]


async def test_without_a_spool_the_future_carries_both_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.refused = {"bad", "bad.dead-letters"}
    async with world.letters() as letters:
        with pytest.raises(DeadLetterError) as caught:
            await letters.send("bad", b"v")
        first, second = caught.value.errors
        assert caught.value.__cause__ is first
        assert isinstance(first, TopicAuthorizationFailedError)
        assert isinstance(second, TopicAuthorizationFailedError)
        assert (first.topic, second.topic) == ("bad", "bad.dead-letters")
        assert (caught.value.topic, caught.value.persisted) == ("bad", "no")
        assert letters.lost == 1
        letters.send("bad", b"nobody looks")
        await letters.flush()
    assert reports() == ["LetterDelivery exception was never retrieved"]
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events.count("dead_letters.lost") == 1


async def test_a_callback_gets_what_is_kept_nowhere() -> None:
    world = World()
    world.refused = {"bad", "bad.dead-letters"}
    told: list[tuple[DeadLetter, DeadLetterError]] = []
    async with world.letters(on_lost=lambda *given: told.append(given)) as letters:
        letters.send("bad", b"v")
        await letters.flush()
    ((letter, error),) = told
    assert letter.record.value == b"v"
    assert len(error.errors) == 2
    assert reports() == []


async def test_a_callback_that_raises_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def fall_over(letter: object, error: object) -> None:
        raise ZeroDivisionError

    async with world.letters(topic=None, on_lost=fall_over) as letters:
        with pytest.raises(DeadLetterError) as caught:
            await letters.send("bad", b"v")
    assert [type(each) for each in caught.value.errors] == [
        TopicAuthorizationFailedError,
        ZeroDivisionError,
    ]
    assert "on_lost() of dead letters raised" in caplog.text


async def test_a_full_disk_is_reported_and_the_future_carries_all(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: object, payloads: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("aioproducer.patterns.spool_file.SpoolFile.append", full)
    world = World()
    world.refused = {"bad", "bad.dead-letters"}
    async with world.letters(spool=path) as letters:
        with pytest.raises(DeadLetterError, match="No space left") as caught:
            await letters.send("bad", b"v")
        assert [type(each) for each in caught.value.errors] == [
            TopicAuthorizationFailedError, TopicAuthorizationFailedError, OSError,
        ]  # fmt: skip
        assert letters.metrics().registered
        assert letters.lost == 1
    lost = [each for each in caplog.records if getattr(each, "event", "") == "dead_letters.lost"]
    assert [each.levelno for each in lost] == [logging.ERROR]
    assert "No space left" in lost[0].getMessage()


async def test_a_disk_that_falls_behind_refuses_the_rest(path: Path) -> None:
    world = World()
    async with world.letters(topic=None, spool=path) as letters:
        letters._keeper._writer = SpoolWriter(path, most_waiting_bytes=2_000)
        sent = [letters.send("bad", b"x" * 1_000) for _ in range(10)]
        await asyncio.wait(sent)
        lost = [each for each in sent if isinstance(each.exception(), DeadLetterError)]
        assert all(
            isinstance(each.exception().errors[1], BufferExhaustedError)  # type: ignore[union-attr]
            for each in lost
        )
        assert letters.lost == len(lost) > 0
        assert letters.spooled == 10 - len(lost) == len(left_in(path))


async def test_a_spool_that_cannot_even_be_tried_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: object, letter: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(SpoolWriter, "write", no_thread)
    world = World()
    async with world.letters(topic=None, spool=path) as letters:
        with pytest.raises(DeadLetterError, match="interpreter shutdown"):
            await letters.send("bad", b"v")


async def test_a_function_that_names_no_topic_leads_to_the_spool(path: Path) -> None:
    world = World()
    calls = iter(["elsewhere"])
    async with world.letters(topic=lambda topic: next(calls), spool=path) as letters:
        with pytest.raises(TopicAuthorizationFailedError):
            await letters.send("bad", b"v")
    assert len(left_in(path)) == 1


# The end


async def test_forcing_the_end_does_not_wait_for_letters_either(path: Path) -> None:
    world = World()
    patient = {"delivery_timeout_ms": 600_000, "max_block_ms": 600_000}
    async with world.producer(**patient) as sender:
        async with world.letters(sender=sender, spool=path, timeout=500) as letters:
            await letters.send("good", b"0")
            world.cluster.brokers[1].stop()
            letters.send("good", b"1")
            await asyncio.sleep(3)
            assert letters.pending == 1
            closing = asyncio.create_task(letters.close())
            await asyncio.sleep(30)
            assert not closing.done()
            started = now()
            await letters.close(0)
            assert now() - started < 10
            await closing
        assert letters.spooled == 1
        await sender.close(0)


@pytest.mark.parametrize("turns", range(6, 16))
async def test_the_end_can_be_forced_in_whichever_turn_that_comes(path: Path, turns: int) -> None:
    world = World()
    patient = {"delivery_timeout_ms": 600_000, "max_block_ms": 600_000}
    async with world.producer(**patient) as sender:
        async with world.letters(sender=sender, spool=path, timeout=500) as letters:
            await letters.send("good", b"0")
            world.cluster.brokers[1].stop()
            letters.send("good", b"1")
            await asyncio.sleep(3)
            closing = asyncio.create_task(letters.close())
            for _ in range(turns):
                await asyncio.sleep(0)
            started = now()
            await letters.close(0)
            assert now() - started < 10
            await closing
        assert letters.spooled == 1
        await sender.close(0)


async def test_a_disk_that_hangs_is_not_waited_for_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never: list[asyncio.Future[None]] = []

    def hang(self: object, letter: object) -> asyncio.Future[None]:
        never.append(asyncio.get_running_loop().create_future())
        return never[-1]

    monkeypatch.setattr(SpoolWriter, "write", hang)
    world = World()
    async with world.letters(topic=None, spool=path) as letters:
        delivery = letters.send("bad", b"1")
        await letters.close(1)
        assert isinstance(delivery.exception(), DeadLetterError)
        assert letters.lost == 1
