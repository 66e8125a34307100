"""``python -m benchmarks threads``: what a portal's bursts are worth to threads.

Beside it the plain way: one ``call_soon_threadsafe`` for each record, and the same futures.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from aioproducer import AsyncProducer, RecordMetadata
from aioproducer.patterns import ThreadPortal
from benchmarks.standin.process import StandInProcess

_TOPIC = "threads"
_WINDOW = 1_000

Send = Callable[[str, bytes], "Future[RecordMetadata]"]


def in_threads(send: Send, threads: int, records: int) -> tuple[float, float]:
    """Send from so many threads; return messages/s and microseconds of CPU for each."""
    value = b"x" * 100

    def work() -> None:
        window: list[Future[RecordMetadata]] = []
        for _ in range(records // threads):
            window.append(send(_TOPIC, value))
            if len(window) == _WINDOW:
                for future in window:
                    future.result()
                window.clear()
        for future in window:
            future.result()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    began, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    return records / seconds, spent / records * 1e6


def record_by_record(producer: AsyncProducer[bytes, bytes]) -> Send:
    """Return what wakes the loop for every record."""
    loop = asyncio.get_running_loop()

    def send(topic: str, value: bytes) -> Future[RecordMetadata]:
        future: Future[RecordMetadata] = Future()
        loop.call_soon_threadsafe(_begin, producer, topic, value, future)
        return future

    return send


def _begin(producer: Any, topic: str, value: bytes, future: Future[RecordMetadata]) -> None:
    delivery = producer.send(topic, value)
    delivery.add_done_callback(lambda done: future.set_result(done.result()))


async def plain(bootstrap: str, threads: int, records: int) -> tuple[float, float]:
    async with AsyncProducer(bootstrap) as producer:
        await producer.warm_up([_TOPIC])
        return await asyncio.to_thread(in_threads, record_by_record(producer), threads, records)


def portal(bootstrap: str, threads: int, records: int) -> tuple[float, float]:
    with ThreadPortal(partial(AsyncProducer, bootstrap)) as made:
        made.send_and_wait(_TOPIC, b"warm")
        return in_threads(made.send, threads, records)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both and return 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks threads", description=__doc__)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--records", type=int, default=200_000)
    given = parser.parse_args(arguments)
    with StandInProcess() as stand_in:
        stand_in.create_topic(_TOPIC, 6)
        where = stand_in.bootstrap_servers
        print(f"{given.threads} threads, {given.records} records of 100 B")
        for name, (rate, cpu) in (
            ("one wake-up per record", asyncio.run(plain(where, given.threads, given.records))),
            ("ThreadPortal", portal(where, given.threads, given.records)),
        ):
            print(f"{name:24} {rate:10,.0f} messages/s {cpu:8.2f} us of CPU each")
    return 0
