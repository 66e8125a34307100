"""No background task dies silently, none outlives its producer."""

from __future__ import annotations

import asyncio
import logging

import pytest

from aioproducer.runtime.supervisor import Supervisor


class Watch:
    def __init__(self) -> None:
        self.crashes: list[tuple[str, BaseException]] = []
        self.supervisor = Supervisor("me", lambda name, error: self.crashes.append((name, error)))


async def forever() -> None:
    await asyncio.sleep(10**9)


async def fall_over() -> None:
    raise ZeroDivisionError("a bug")


async def test_a_task_has_its_name() -> None:
    watch = Watch()
    task = watch.supervisor.start(forever(), name="me:metadata")
    assert task.get_name() == "me:metadata"
    await watch.supervisor.close()
    assert task.cancelled()


async def test_a_crash_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    with caplog.at_level(logging.ERROR, logger="aioproducer"):
        watch.supervisor.start(fall_over(), name="me:metadata")
        await asyncio.sleep(0.1)
    assert [(name, type(error)) for name, error in watch.crashes] == [
        ("me:metadata", ZeroDivisionError)
    ]
    assert "[me] background task me:metadata died" in caplog.text
    await watch.supervisor.close()


async def test_one_that_ends_or_is_dismissed_is_no_crash() -> None:
    watch = Watch()
    watch.supervisor.start(asyncio.sleep(0), name="short")
    task = watch.supervisor.start(forever(), name="long")
    await asyncio.sleep(0.1)
    watch.supervisor.dismiss(task)
    await asyncio.sleep(0.1)
    watch.supervisor.dismiss(task)
    assert task.cancelled()
    assert watch.crashes == []
    await watch.supervisor.close()


async def test_one_that_others_cancel_is_a_crash_that_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end of the loop cancels all; an application that cancels everything does as well."""
    watch = Watch()
    tasks = [watch.supervisor.start(forever(), name=name) for name in ("one", "two")]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0.1)
    assert [(name, type(error)) for name, error in watch.crashes] == [
        ("one", asyncio.CancelledError)
    ]
    assert caplog.text.count("was cancelled from outside before close()") == 1
    await watch.supervisor.close()


async def test_while_closing_that_is_no_surprise() -> None:
    watch = Watch()
    task = watch.supervisor.start(forever(), name="one")
    watch.supervisor.expect_cancelling()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.1)
    assert watch.crashes == []
    await watch.supervisor.close()


async def test_closing_waits_for_all_of_them() -> None:
    watch = Watch()
    ended = []

    async def slow_end() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(1)
            ended.append(True)

    watch.supervisor.start(slow_end(), name="slow")
    await asyncio.sleep(0)
    await watch.supervisor.close()
    assert ended == [True]


async def test_a_crash_while_closing_is_logged_but_fails_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()

    async def bad_end() -> None:
        try:
            await forever()
        finally:
            raise ZeroDivisionError

    watch.supervisor.start(bad_end(), name="bad")
    await asyncio.sleep(0)
    await watch.supervisor.close()
    assert watch.crashes == []
    assert "bad died" in caplog.text


async def test_an_eager_task_factory_does_not_run_them_early() -> None:
    """They start in a turn of their own, whatever the application's loop does."""
    loop = asyncio.get_running_loop()
    ran: list[int] = []

    async def note() -> None:
        ran.append(1)

    def eager(loop, coro, **kwargs):  # type: ignore[no-untyped-def]
        raise AssertionError("the application's factory is not asked")

    loop.set_task_factory(eager)
    watch = Watch()
    try:
        watch.supervisor.start(note(), name="note")
    finally:
        loop.set_task_factory(None)
    assert not ran
    await asyncio.sleep(0.1)
    assert ran == [1]
    await watch.supervisor.close()
