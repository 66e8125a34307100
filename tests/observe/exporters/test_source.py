"""Snapshots are taken on the producer's thread, whoever asks."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from aioproducer.observe.exporters.source import Source
from aioproducer.observe.snapshot import MetricsSnapshot


class Producer:
    client_id = "me"

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.error: Exception | None = None

    def metrics(self) -> MetricsSnapshot:
        self.threads.append(threading.get_ident())
        if self.error is not None:
            raise self.error
        return MetricsSnapshot(client_id="me")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy is no loop that does not answer."""
    monkeypatch.setattr("aioproducer.observe.exporters.source._PATIENCE_S", 120.0)


async def test_on_its_own_thread_a_producer_is_asked_at_once() -> None:
    producer = Producer()
    assert Source(producer).snapshot() == MetricsSnapshot(client_id="me")


async def test_from_another_thread_its_own_is_waited_for() -> None:
    producer = Producer()
    snapshot = await asyncio.to_thread(Source(producer).snapshot)
    assert snapshot == MetricsSnapshot(client_id="me")
    assert producer.threads == [threading.get_ident()]


async def test_what_goes_wrong_there_goes_to_whoever_asked() -> None:
    producer = Producer()
    producer.error = KeyError("broken")
    with pytest.raises(KeyError, match="broken"):
        await asyncio.to_thread(Source(producer).snapshot)


async def test_a_collected_producer_gives_nothing() -> None:
    producer = Producer()
    source = Source(producer)
    assert source.producer is producer
    del producer
    gc.collect()
    assert source.producer is None
    assert source.snapshot() is None


async def test_a_loop_that_does_not_get_to_it_gives_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aioproducer.observe.exporters.source._PATIENCE_S", 0.0)
    producer = Producer()
    source = Source(producer)
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(source.snapshot()))
    thread.start()
    # Without a turn of the loop in between.
    thread.join()
    assert answers == [None]


def test_after_its_loop_the_last_figures_are_there() -> None:
    producer = Producer()

    async def made() -> Source:
        return Source(producer)

    source = asyncio.run(made())
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(source.snapshot()))
    thread.start()
    thread.join()
    assert answers == [MetricsSnapshot(client_id="me")]
