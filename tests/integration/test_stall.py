"""A blocked loop on real sockets: what the broker answered meanwhile is no failure."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

import pytest

from aioproducer import AsyncProducer
from aioproducer.testing.judge import read_topic_async
from tests.conftest import TopicFactory


async def _write(producer: AsyncProducer[bytes, bytes]) -> None:
    """Give the loop the few turns that it takes to write a record; a broker takes longer."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert producer.metrics().requests_in_flight


def _block_here(seconds: float) -> None:
    time.sleep(seconds)


def _block_while_reading(seconds: float) -> None:
    """Block where the loop reads sockets: uvloop then runs its timers before it polls again."""
    reader, writer = socket.socketpair()
    loop = asyncio.get_running_loop()

    def blocking_callback() -> None:
        loop.remove_reader(reader)
        reader.close()
        writer.close()
        time.sleep(seconds)

    loop.add_reader(reader, blocking_callback)
    writer.send(b"x")


@pytest.mark.core
@pytest.mark.parametrize("block", [_block_here, _block_while_reading])
async def test_answers_that_came_while_the_loop_was_blocked_count(
    bootstrap: str,
    topic: TopicFactory,
    caplog: pytest.LogCaptureFixture,
    block: Callable[[float], None],
) -> None:
    """Blocked for longer than every timeout, with the answers in the socket: all delivered."""
    name = topic()
    options = {"linger_ms": 0, "request_timeout_ms": 2000, "delivery_timeout_ms": 2000}
    with caplog.at_level(logging.WARNING, logger="aioproducer"):
        async with AsyncProducer(bootstrap, **options) as producer:  # type: ignore[arg-type]
            for number in range(3):
                # The first acknowledgement too, so that more than one request may be in flight.
                await producer.send(name, b"warm %d" % number)
            deliveries = [producer.send(name, b"%d" % n, timeout=2) for n in range(3)]
            await _write(producer)
            block(4.0)
            found = await asyncio.gather(*deliveries)
            metrics = producer.metrics()
    assert [metadata.offset for metadata in found] == [3, 4, 5]
    assert metrics.record_retry_total == 0
    assert metrics.loop_stalls >= 1
    assert metrics.loop_stall_longest_s > 1.9
    said = [r.getMessage() for r in caplog.records if "stood still" in r.getMessage()]
    assert len(said) == 1
    assert len(await read_topic_async(bootstrap, name)) == 6
