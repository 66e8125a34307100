"""Ctrl-C and SIGTERM: the first asks to stop and deliver, the second to leave."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

_C = TypeVar("_C", covariant=True)


class Interruption:
    """What the user has asked for so far."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.leave = asyncio.Event()
        self.signal = 0

    def note(self, number: int) -> None:
        """Take a signal: the first stops, each later one leaves."""
        if self.stop.is_set():
            self.leave.set()
            return
        self.signal = number
        self.stop.set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals of this process, where the loop can handle them."""
        loop = asyncio.get_running_loop()
        taken = []
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                try:
                    loop.add_signal_handler(number, self.note, number)
                except (NotImplementedError, ValueError, RuntimeError):
                    # It cannot, as on Windows: Ctrl-C ends the program the usual way.
                    break
                taken.append(number)
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)


class Closable(Protocol[_C]):
    """What can be closed, and told to hurry: a producer."""

    async def close(self, timeout: float | None = None) -> _C: ...


async def close_hurried(producer: Closable[_C], interruption: Interruption, patience: float) -> _C:
    """Close a producer; once stopped it has ``patience`` seconds, and none once told to leave."""
    closing = [asyncio.ensure_future(producer.close())]
    for event, seconds in ((interruption.stop, patience), (interruption.leave, 0.0)):
        await done_or_set(closing[0], event)
        if closing[0].done():
            break
        closing.append(asyncio.ensure_future(producer.close(seconds)))
    reports = await asyncio.gather(*closing)
    return reports[0]


async def done_or_set(
    future: asyncio.Future[Any], event: asyncio.Event, timeout: float | None = None
) -> None:
    """Wait until the future is done or the event set, for ``timeout`` seconds at most."""
    if future.done() or event.is_set():
        return
    waiting = asyncio.ensure_future(event.wait())
    both: set[asyncio.Future[Any]] = {future, waiting}
    try:
        await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def finish_or_set(work: Awaitable[Any], event: asyncio.Event) -> bool:
    """Await the work unless the event is set first; return whether it was finished.

    Raises what the work raises. What is not finished is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        await done_or_set(task, event)
        if task.done():
            task.result()
            return True
        return False
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


async def finish_or_hurry(
    work: Awaitable[Any], interruption: Interruption, patience: float
) -> float:
    """Await the work; once stopped it has ``patience`` seconds, and none once told to leave.

    Returns what is left of the patience. Raises what the work raises. What is not finished is
    cancelled.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    try:
        await done_or_set(task, interruption.stop)
        stopped_at = loop.time()
        await done_or_set(task, interruption.leave, patience)
        if task.done():
            task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    return max(0.0, patience - (loop.time() - stopped_at))


async def pause(seconds: float, event: asyncio.Event) -> None:
    """Wait for so many seconds, or until the event is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
