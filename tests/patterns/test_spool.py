"""Replaying a spool: what was confirmed leaves it, and nothing else does."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    ConfigurationError,
    DeliveryTimeoutError,
    ProducerTimeoutError,
    Record,
    RecordMetadata,
)
from aioproducer.patterns import spool
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.spool_file import SpoolFile
from aioproducer.patterns.spool_format import encode
from tests.fake_broker import FakeCluster
from tests.runtime.world import running, values_of, virtual_loop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "letters.spool"


def letter(value: bytes, **changed: Any) -> DeadLetter:
    record = changed.pop("record", None) or Record("orders", value, b"k", headers=(("a", b"1"),))
    given = {"partition": 0, "failed_at_ms": 1, "reason": "r", "failure_class": "X", **changed}
    return DeadLetter(record, **given)


def spooled(path: Path, *letters: DeadLetter) -> None:
    file = SpoolFile(path)
    file.append([encode(each) for each in letters])
    file.close()


def left_in(path: Path) -> list[bytes | None]:
    return [each.letter.record.value for each in spool.read(path) if each.letter is not None]


def cluster_of(*topics: str) -> FakeCluster:
    cluster = FakeCluster(latency=lambda: 0.01)
    for name in topics or ("orders",):
        cluster.add_topic(name, 1)
    return cluster


class Scripted:
    """Stands for a producer: each record is confirmed, fails, or is never answered."""

    def __init__(self, answer: Any) -> None:
        self.config = AsyncProducer("h:1").config
        self.sent: list[tuple[Any, ...]] = []
        self.answer = answer
        self.drains = itertools.count()

    def send(self, topic: str, value: Any = None, **more: Any) -> asyncio.Future[RecordMetadata]:
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        self.sent.append((topic, value, more))
        outcome = self.answer(value)
        if outcome is True:
            future.set_result(RecordMetadata(topic, 0, 1, 1, 1, 1))
        elif outcome is not None:
            future.set_exception(outcome)
        return future

    def expedite(self) -> None:
        pass

    async def drain(self, timeout: float | None = None) -> None:
        if next(self.drains) % 2:
            raise ProducerTimeoutError


async def test_letters_go_to_their_topics_and_leave_the_file(path: Path) -> None:
    fixed = Record("invoices", b"2", None, 1, 1_000, ())
    spooled(path, letter(b"1"), letter(b"2", record=fixed))
    cluster = cluster_of("orders")
    cluster.add_topic("invoices", 3)
    async with running(cluster) as producer:
        report = await spool.replay(producer, path)
    assert (report.replayed, report.left, report.is_whole) == (2, 0, True)
    assert report.topics == {"orders": 1, "invoices": 1}
    assert values_of(cluster, "orders") == [b"1"]
    assert values_of(cluster, "invoices", 1) == [b"2"]
    assert path.stat().st_size == 0
    assert await spool.replay(Scripted(None), path) == spool.ReplayReport()


async def test_key_headers_time_and_a_chosen_partition_are_the_original_s(path: Path) -> None:
    fixed = Record("orders", None, b"", 7, 1_000, ())
    spooled(path, letter(b"1"), letter(b"", record=fixed))
    producer = Scripted(lambda value: True)
    await spool.replay(producer, path)
    common = {"key": b"k", "partition": None, "timestamp_ms": None, "headers": (("a", b"1"),)}
    assert producer.sent == [
        ("orders", b"1", common),
        ("orders", None, {"key": b"", "partition": 7, "timestamp_ms": 1_000, "headers": ()}),
    ]


async def test_another_topic_may_be_named(path: Path) -> None:
    spooled(path, letter(b"1", record=Record("orders", b"1", None, 5)))
    producer = Scripted(lambda value: True)
    await spool.replay(producer, path, to_topic=lambda given: f"{given.record.topic}-again")
    assert [(topic, more["partition"]) for topic, _, more in producer.sent] == [
        ("orders-again", None)
    ]


async def test_what_may_be_in_the_log_is_left_unless_asked_for(path: Path) -> None:
    spooled(path, letter(b"1"), letter(b"2", persisted="maybe"), letter(b"3"))
    report = await spool.replay(Scripted(lambda value: True), path)
    assert (report.replayed, report.in_doubt, report.left) == (2, 1, 1)
    assert left_in(path) == [b"2"]
    report = await spool.replay(Scripted(lambda value: True), path, include_maybe=True)
    assert (report.replayed, report.in_doubt, report.left) == (1, 0, 0)


async def test_what_never_had_bytes_is_left(path: Path) -> None:
    spooled(path, letter(b"{}", value_form="json"), letter(b"2"))
    report = await spool.replay(Scripted(lambda value: True), path, include_maybe=True)
    assert (report.replayed, report.unsendable, report.left) == (1, 1, 1)
    assert left_in(path) == [b"{}"]


async def test_what_fails_again_stays_and_what_was_not_answered_is_in_doubt(path: Path) -> None:
    spooled(path, *(letter(b"%d" % n) for n in range(4)))
    errors = {
        b"1": DeliveryTimeoutError("away"),
        b"2": DeliveryTimeoutError("late", persisted="maybe"),
    }
    report = await spool.replay(Scripted(lambda value: errors.get(value, True)), path)
    assert (report.replayed, report.failed, report.left) == (2, 2, 2)
    assert report.errors == {"DeliveryTimeoutError: away": 1, "DeliveryTimeoutError: late": 1}
    found = [each.letter for each in spool.read(path)]
    assert [each and (each.record.value, each.persisted) for each in found] == [
        (b"1", "no"),
        (b"2", "maybe"),
    ]


async def test_when_nothing_goes_through_the_rest_is_not_tried(path: Path) -> None:
    spooled(path, *(letter(b"%d" % n) for n in range(1200)))
    producer = Scripted(lambda value: DeliveryTimeoutError("away"))
    report = await spool.replay(producer, path)
    assert len(producer.sent) == 500
    assert (report.replayed, report.failed, report.left) == (0, 500, 1200)
    assert not report.is_whole


async def test_progress_is_told(path: Path) -> None:
    spooled(path, *(letter(b"%d" % n) for n in range(1200)))
    told: list[int] = []
    await spool.replay(
        Scripted(lambda value: True), path, progress=lambda report: told.append(report.replayed)
    )
    assert told == [500, 1000, 1200]


async def test_large_letters_go_in_small_groups(path: Path) -> None:
    spooled(path, *(letter(b"x" * 3_000_000) for _ in range(4)))
    told: list[int] = []
    await spool.replay(
        Scripted(lambda value: True), path, progress=lambda report: told.append(report.replayed)
    )
    assert told == [2, 4]


async def test_a_replay_that_is_cancelled_never_repeats_what_was_confirmed(path: Path) -> None:
    spooled(path, *(letter(b"%d" % n) for n in range(10)))
    halted = Scripted(lambda value: True if int(value) < 5 else None)
    replaying = asyncio.create_task(spool.replay(halted, path))
    await asyncio.sleep(1)
    replaying.cancel()
    await asyncio.wait([replaying])
    assert replaying.cancelled()
    entries = list(spool.read(path))
    assert [each.is_done for each in entries] == [True] * 5 + [False] * 5
    # Those were on their way: nobody knows.
    assert [each.letter and each.letter.persisted for each in entries][5:] == ["maybe"] * 5
    again = Scripted(lambda value: True)
    report = await spool.replay(again, path)
    assert (report.replayed, report.in_doubt, report.left) == (0, 5, 5)
    report = await spool.replay(again, path, include_maybe=True)
    assert [int(value) for _, value, _ in again.sent] == [5, 6, 7, 8, 9]
    assert report.left == 0


async def test_what_was_not_even_sent_when_a_replay_is_cancelled_is_not_in_doubt(
    path: Path,
) -> None:
    spooled(path, *(letter(b"%d" % n) for n in range(10)))
    cluster = cluster_of()
    virtual_loop().network = cluster
    cluster.brokers[1].stop()
    async with AsyncProducer(cluster.bootstrap) as producer:
        replaying = asyncio.create_task(spool.replay(producer, path))
        await asyncio.sleep(5)
        replaying.cancel()
        await asyncio.wait([replaying])
        assert replaying.cancelled()
        assert [each.letter and each.letter.persisted for each in spool.read(path)] == ["no"] * 10
        cluster.brokers[1].start()
        report = await spool.replay(producer, path)
    assert (report.replayed, report.in_doubt, report.left) == (10, 0, 0)


async def test_letters_that_come_meanwhile_stay_for_the_next_time(path: Path) -> None:
    spooled(path, letter(b"1"))

    def answer(value: bytes) -> bool:
        if value == b"1":
            spooled(path, letter(b"2"))
        return True

    report = await spool.replay(Scripted(answer), path)
    assert (report.replayed, report.left) == (1, 1)
    assert left_in(path) == [b"2"]


async def test_damage_is_counted_and_passed_over(path: Path) -> None:
    spooled(path, letter(b"1"))
    with path.open("ab") as file:
        file.write(b"garbage")
    spooled(path, letter(b"2"))
    assert [each.letter is None for each in spool.read(path)] == [False, True, False]
    report = await spool.replay(Scripted(lambda value: True), path)
    assert (report.replayed, report.damaged_bytes, report.left) == (2, 7, 0)


async def test_a_frame_of_a_later_version_is_kept(path: Path) -> None:
    file = SpoolFile(path)
    file.append([b"\0\0\0\2{}"])
    file.close()
    report = await spool.replay(Scripted(lambda value: True), path)
    assert (report.replayed, report.left) == (0, 1)
    assert report.damaged_bytes > 0


@pytest.mark.parametrize(
    "options", [{"value_serializer": "string"}, {"transactional_id": "t"}], ids=str
)
async def test_a_producer_that_is_unfit_is_refused(path: Path, options: Any) -> None:
    spooled(path, letter(b"1"))
    with pytest.raises(ConfigurationError):
        await spool.replay(AsyncProducer("h:1", **options), path)


async def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"x" * 100)
    with pytest.raises(spool.SpoolFormatError):
        await spool.replay(Scripted(None), other)
    with pytest.raises(spool.SpoolFormatError):
        list(spool.read(other))
    with pytest.raises(FileNotFoundError):
        await spool.replay(Scripted(None), tmp_path / "nowhere")
    assert os.listdir(tmp_path) == ["other"]


async def test_a_second_replay_is_refused(path: Path) -> None:
    spooled(path, letter(b"1"))
    first = asyncio.create_task(spool.replay(Scripted(lambda value: None), path))
    await asyncio.sleep(1)
    with pytest.raises(spool.SpoolBusyError):
        await spool.replay(Scripted(None), path)
    first.cancel()
    await asyncio.wait([first])
