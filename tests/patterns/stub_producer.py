"""A producer without a cluster, for what is built on one: it notes what it is asked for."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from aioproducer import CloseReport, ProducerClosedError, RecordMetadata
from aioproducer.config import ProducerConfig


class StubProducer:
    """Acknowledges each record in the loop's next turn, unless it is told to hold them."""

    def __init__(self, **options: Any) -> None:
        self.config = ProducerConfig.create("localhost:9092", **options)
        self.sent: list[tuple[str, Any, Any, dict[str, Any]]] = []
        self.threads: set[int] = set()
        self.turns = 0
        self.held: list[asyncio.Future[RecordMetadata]] = []
        self.hold = False
        self.crowded = False
        self.never_ends = False
        self.started = threading.Event()
        self.closed_with: list[float] = []
        self.starting = False
        self.fail_start: BaseException | None = None
        self.error: Exception | None = None

    async def start(self) -> None:
        if self.fail_start is not None:
            raise self.fail_start
        while self.starting:
            await asyncio.sleep(0.001)
        self.started.set()

    def send(self, topic: str, value: Any = None, *, key: Any = None, **options: Any) -> Any:
        if self.error is not None:
            raise self.error
        if self.closed_with:
            raise ProducerClosedError("the producer is closed")
        self.threads.add(threading.get_ident())
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        metadata = RecordMetadata(topic, 0, len(self.sent), -1, -1, -1)
        self.sent.append((topic, value, key, options))
        if self.hold:
            self.held.append(future)
        else:
            future.set_result(metadata)
        return future

    async def send_and_wait(self, topic: str, value: Any = None, **options: Any) -> RecordMetadata:
        options.pop("timeout", None)
        metadata: RecordMetadata = await self.send(topic, value, **options)
        return metadata

    async def drain(self, timeout: float | None = None) -> None:
        self.turns += 1
        while self.crowded:
            await asyncio.sleep(0.001)

    async def flush(self, timeout: float | None = None) -> None:
        for future in self.held:
            if not future.done():
                future.set_result(RecordMetadata("t", 0, 0, -1, -1, -1))

    async def close(self, timeout: float | None = None) -> CloseReport:
        self.closed_with.append(-1 if timeout is None else timeout)
        for future in self.held:
            if not future.done():
                if timeout:
                    future.set_result(RecordMetadata("t", 0, 0, -1, -1, -1))
                else:
                    future.set_exception(ProducerClosedError("closed by force"))
        while self.never_ends and self.closed_with[-1] != 0:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        return CloseReport()

    @property
    def values(self) -> list[Any]:
        return [value for _, value, _, _ in self.sent]
