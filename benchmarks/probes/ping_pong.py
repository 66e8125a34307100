"""One record at a time: each awaited before the next is sent.

What that must cost at least is a bare socket on the same loop that exchanges the same bytes, which
the peer "bare" does.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import selector_events
from collections.abc import Awaitable, Callable
from typing import Any

from aioproducer import AsyncProducer
from benchmarks.drivers import aioproducer_driver
from benchmarks.figures import percentiles
from benchmarks.job import Job, Measurement
from benchmarks.payload import make_values
from benchmarks.stopwatch import Stopwatch

_PARTITION = 0
_PRODUCE_KEY = b"\x00\x00"
_DELIVERY_SECONDS = 30.0

Exchange = Callable[[], Awaitable[Any]]


async def measure(job: Job) -> Measurement:
    if job.parameters.get("bare"):
        return await _bare(job)
    if job.peer.startswith("aioproducer"):
        return await _aioproducer(job)
    if job.peer == "aiokafka":
        return await _aiokafka(job)
    return await _confluent(job)


async def _aioproducer(job: Job) -> Measurement:
    value = make_values(job.value_size)[0]
    settings = aioproducer_driver.settings(job)
    async with AsyncProducer(job.bootstrap_servers, config=settings) as producer:
        await producer.warm_up([job.topic])
        send_and_wait, topic = producer.send_and_wait, job.topic
        return await _time(job, lambda: send_and_wait(topic, value, partition=_PARTITION))


async def _aiokafka(job: Job) -> Measurement:
    from aiokafka import AIOKafkaProducer

    value = make_values(job.value_size)[0]
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap_servers, acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        await producer.partitions_for(job.topic)
        send_and_wait, topic = producer.send_and_wait, job.topic
        return await _time(job, lambda: send_and_wait(topic, value, partition=_PARTITION))
    finally:
        await producer.stop()


async def _confluent(job: Job) -> Measurement:
    from confluent_kafka import Producer

    from benchmarks.drivers import librdkafka

    value = make_values(job.value_size)[0]
    producer = Producer(librdkafka.settings(job))
    producer.list_topics(job.topic, timeout=_DELIVERY_SECONDS)

    async def exchange() -> None:
        # Blocks the loop, in which nothing else runs: a thread would only add to the time.
        producer.produce(job.topic, value, partition=_PARTITION)
        if producer.flush(_DELIVERY_SECONDS):
            raise RuntimeError("a record was not acknowledged")

    return await _time(job, exchange)


async def _time(job: Job, exchange: Exchange) -> Measurement:
    sent, _, _, _ = await _repeat(exchange, job.warm_up)
    records, wall, cpu, taken = await _repeat(exchange, job.seconds)
    return Measurement(
        records=records,
        seconds=wall,
        cpu_seconds=cpu,
        sent=sent + records,
        extra={f"{name} us": ns / 1000 for name, ns in percentiles(taken).items()},
    )


async def _repeat(exchange: Exchange, seconds: float) -> tuple[int, float, float, list[int]]:
    clock = time.perf_counter_ns
    taken: list[int] = []
    watch = Stopwatch()
    end = clock() + int(seconds * 1e9)
    before = clock()
    while before < end:
        await exchange()
        after = clock()
        taken.append(after - before)
        before = after
    wall, cpu = watch.read()
    return len(taken), wall, cpu, taken


class Bare(asyncio.BufferedProtocol):
    """Writes a frame and completes a future when as much as an answer has come."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._incoming = memoryview(bytearray(65_536))
        self._left = -1
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        if self._left < 0:
            self._left = int.from_bytes(self._incoming[:4], "big") + 4
        self._left -= nbytes
        if self._left <= 0 and self._waiter is not None:
            self._left = -1
            self._waiter.set_result(None)

    async def exchange(self, frame: bytes) -> None:
        self._waiter = self._loop.create_future()
        self._transport.write(frame)
        await self._waiter

    def close(self) -> None:
        self._transport.close()


async def _bare(job: Job) -> Measurement:
    """Repeat a producer's last request, which the stand-in takes for a retry: it answers alike."""
    frame, address, records = await asyncio.to_thread(lambda: asyncio.run(_record(job)))
    loop = asyncio.get_running_loop()
    _, bare = await loop.create_connection(Bare, *address)
    try:
        run = await _time(job, lambda: bare.exchange(frame))
    finally:
        bare.close()
    return Measurement(
        records=run.records,
        seconds=run.seconds,
        cpu_seconds=run.cpu_seconds,
        sent=records,
        extra={**run.extra, "request bytes": float(len(frame))},
    )


async def _record(job: Job) -> tuple[bytes, tuple[str, int], int]:
    """Return a Produce request as this producer writes it, where to, and the number of records."""
    seen: list[tuple[bytes, tuple[str, int]]] = []
    transport: Any = getattr(selector_events, "_SelectorSocketTransport")  # noqa: B009
    write, writelines = transport.write, transport.writelines

    def noting_write(self: Any, data: Any) -> None:
        seen.append((bytes(data), self.get_extra_info("peername")))
        write(self, data)

    def noting_writelines(self: Any, buffers: Any) -> None:
        noting_write(self, b"".join(bytes(each) for each in buffers))

    settings = aioproducer_driver.settings(job)
    value = make_values(job.value_size)[0]
    setattr(transport, "write", noting_write)  # noqa: B010 - methods are replaced
    setattr(transport, "writelines", noting_writelines)  # noqa: B010
    try:
        async with AsyncProducer(job.bootstrap_servers, config=settings) as producer:
            for _ in range(2):
                await producer.send_and_wait(job.topic, value, partition=_PARTITION)
    finally:
        setattr(transport, "write", write)  # noqa: B010
        setattr(transport, "writelines", writelines)  # noqa: B010
    frames = [each for each in seen if each[0][4:6] == _PRODUCE_KEY]
    return *frames[-1], 2
