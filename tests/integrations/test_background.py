"""What outlives a request has an end, and what fails there is told, whatever the hook does."""

from __future__ import annotations

import asyncio

import pytest

from aioproducer import ProducerError, Record, RecordMetadata
from aioproducer.integrations.background import Background, Outcomes
from tests.integrations.services import Failed
from tests.runtime.world import now

RECORD: Record[bytes, bytes] = Record("orders", b"one")
DELIVERED = RecordMetadata("orders", 0, 1, 2, -1, 3)


async def test_only_failures_of_an_adopted_task_are_told() -> None:
    failed = Failed()
    background = Background(failed, "web")

    async def work() -> Outcomes:
        await asyncio.sleep(1)
        return [DELIVERED, ProducerError("no")]

    background.adopt(background.start(work(), "request"), [RECORD, Record("orders", b"two")])
    await background.finish(5)
    assert failed.values == [b"two"]
    assert background.failed == 1


async def test_a_task_that_runs_out_of_time_is_cancelled_and_told() -> None:
    failed = Failed()
    background = Background(failed, "web")

    async def work() -> Outcomes:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    background.adopt(background.start(work(), "request"), [RECORD])
    began = now()
    await background.finish(5)
    await asyncio.sleep(0)
    assert now() - began == pytest.approx(5)
    assert [error.persisted for _, error in failed.told] == ["maybe"]


async def test_a_task_that_raised_counts_as_a_failure() -> None:
    failed = Failed()
    background = Background(failed, "web")

    async def work() -> Outcomes:
        raise TypeError("no bytes")

    background.adopt(background.start(work(), "request"), [RECORD])
    await background.finish(5)
    await asyncio.sleep(0)
    ((_, error),) = failed.told
    assert isinstance(error.__cause__, TypeError)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_hook_that_raises_harms_nobody(
    asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(record: object, error: object) -> None:
        raise OSError("the disk is full")

    async def async_hook(record: object, error: object) -> None:
        raise OSError("the disk is full")

    background = Background(async_hook if asynchronous else hook, "web")
    background.fail(RECORD, ProducerError("the record's own error"))
    await background.finish(5)
    assert "the disk is full" in caplog.text
    assert "the record's own error" in caplog.text


async def test_finishing_with_nothing_to_do_takes_no_time() -> None:
    began = now()
    await Background(None, "web").finish(0)
    assert now() == began
