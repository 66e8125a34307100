"""The thread of a portal: a loop of its own, from the first use to the end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from aioproducer import ConfigurationError, ProducerClosedError, ProducerError
from aioproducer.patterns.portal_session import PortalSession

logger = logging.getLogger("aioproducer")

T = TypeVar("T")
P = ParamSpec("P")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def uvloop_factory() -> LoopFactory:
    """Return what makes uvloop's loops; raises :exc:`ConfigurationError` where it is not there."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        raise ConfigurationError(
            'uvloop is not installed: pip install "aioproducer[uvloop]"'
        ) from None
    made: LoopFactory = new_event_loop
    return made


def begin_thread(
    session: PortalSession[Any, Any], loop_factory: LoopFactory | None, on_end: Callable[[], None]
) -> None:
    """Start the daemon thread that serves ``session``; it calls ``on_end`` before it is ended."""
    thread = threading.Thread(
        target=_live, args=(session, loop_factory, on_end), name=session.name, daemon=True
    )
    thread.start()
    session.thread = thread


def _live(
    session: PortalSession[Any, Any], loop_factory: LoopFactory | None, on_end: Callable[[], None]
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(_UntilTheEnd())
        session.bind()
        await session.live()

    why: ProducerError = ProducerClosedError(f"{session.name} is closed")
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())
    except ProducerError as error:
        why = error
    except BaseException as error:
        # The futures have to know, and the log.
        logger.error("[%s] its thread has died", session.name, exc_info=error)
        why = ProducerClosedError(f"the thread of {session.name} has died: {error!r}")
        why.__cause__ = error
    finally:
        # Before the end of this session, with which another one may begin.
        on_end()
        session.end(why)


class _UntilTheEnd(ThreadPoolExecutor):
    """Works here once the interpreter ends and starts no threads: names are to be resolved yet."""

    def submit(self, fn: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> Future[T]:
        try:
            return super().submit(fn, *arguments, **options)
        except RuntimeError:
            done: Future[T] = Future()
            try:
                done.set_result(fn(*arguments, **options))
            except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
                done.set_exception(error)
            return done
