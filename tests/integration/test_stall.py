"""A blocked loop on real sockets: what the broker answered meanwhile is no failure."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from aioproducer import AsyncProducer, Delivery
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.proxy import FaultProxy, Frame
from tests.conftest import TopicFactory

BLOCKED = 5.0
"""Seconds; longer than every timeout of the producer."""


async def _on_the_wire(producer: AsyncProducer[bytes, bytes], name: str) -> list[Delivery]:
    """Send three records; return while they are unanswered, which may take a few tries."""
    for _ in range(50):
        deliveries = [producer.send(name, b"%d" % n, timeout=4) for n in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
            if producer.metrics().requests_in_flight:
                return deliveries
        await asyncio.gather(*deliveries)
    raise AssertionError("the broker answers before the loop has turned once")


class Answers:
    """Counts what passes through a proxy on a thread of its own, while the loop stands still."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._count = 0
        proxy.on_answer = self._note

    def _note(self, frame: Frame) -> None:
        self._count += frame.is_produce

    def sleep(self, seconds: float) -> None:
        """Sleep so long, and until every request has been answered for a while."""
        deadline = time.monotonic() + 90
        time.sleep(seconds)
        while self._count < len(self._proxy.produce_requests) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)


def _block_here(sleep: Callable[[float], None]) -> None:
    sleep(BLOCKED)


def _block_while_reading(sleep: Callable[[float], None]) -> None:
    """Block where the loop reads sockets: uvloop then runs its timers before it polls again."""
    reader, writer = socket.socketpair()
    loop = asyncio.get_running_loop()

    def blocking_callback() -> None:
        loop.remove_reader(reader)
        reader.close()
        writer.close()
        sleep(BLOCKED)

    loop.add_reader(reader, blocking_callback)
    writer.send(b"x")


@pytest.mark.core
@pytest.mark.timeout(280)
@pytest.mark.parametrize("block", [_block_here, _block_while_reading])
async def test_answers_that_came_while_the_loop_was_blocked_count(
    bootstrap: str,
    topic: TopicFactory,
    caplog: pytest.LogCaptureFixture,
    block: Callable[[Callable[[float], None]], None],
) -> None:
    """Blocked for longer than every timeout, with the answers in the socket: all delivered."""
    name = topic()
    options: Any = {"linger_ms": 0, "request_timeout_ms": 4000, "delivery_timeout_ms": 4000}
    with caplog.at_level(logging.WARNING, logger="aioproducer"), FaultProxy(bootstrap) as proxy:
        answers = Answers(proxy)
        async with AsyncProducer(proxy.bootstrap_servers, **options) as producer:
            for number in range(3):
                # The first acknowledgement too, so that more than one request may be in flight.
                await producer.send(name, b"warm %d" % number)
            # A topic this new may cost the first ones a retry.
            retried = producer.metrics().record_retry_total
            for _ in range(10):
                deliveries = await _on_the_wire(producer, name)
                block(answers.sleep)
                found = await asyncio.gather(*deliveries)
                metrics = producer.metrics()
                if metrics.loop_stalls:
                    break
                # The answers were read in the very turn before the loop stood still: anew.
    first = found[0].offset
    assert [metadata.offset for metadata in found] == [first, first + 1, first + 2]
    assert metrics.record_retry_total == retried
    assert metrics.loop_stalls >= 1
    assert metrics.loop_stall_longest_s > BLOCKED / 2
    said = [r.getMessage() for r in caplog.records if "stood still" in r.getMessage()]
    # On a busy machine there may have been others, and one line is said in half a minute.
    assert 1 <= len(said) <= metrics.loop_stalls
    assert len(await read_topic_async(bootstrap, name)) == first + 3
