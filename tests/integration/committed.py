"""What a reader that reads committed sees once every transaction is over."""

from __future__ import annotations

import asyncio
import time

from aioproducer.testing.judge import ReadRecord, end_offsets, read_topic

# A transaction that nobody ends is aborted after its timeout and up to 10 s.
_LONGEST = 90.0


def read_settled(bootstrap: str, topic: str, timeout: float = _LONGEST) -> list[ReadRecord]:
    """Read the committed records of a topic in which no transaction is open any more.

    A commit is decided before its markers are in the logs, so that readers see it somewhat later.
    Raises :exc:`TimeoutError` if one is still open after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        ends = end_offsets(bootstrap, topic)
        if end_offsets(bootstrap, topic, isolation="read_committed") == ends:
            return read_topic(bootstrap, topic, isolation="read_committed")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic}: a transaction was still open after {timeout:g} s")
        time.sleep(0.1)


async def read_settled_async(
    bootstrap: str, topic: str, timeout: float = _LONGEST
) -> list[ReadRecord]:
    """As :func:`read_settled`, in a worker thread."""
    return await asyncio.to_thread(read_settled, bootstrap, topic, timeout)
