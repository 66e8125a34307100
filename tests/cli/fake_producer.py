"""A producer that delivers at once, or when it is told to; as much of one as the commands use."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from aioproducer.errors import ProducerClosedError, ProducerError, ProducerTimeoutError
from aioproducer.records import CloseReport, Record, RecordMetadata


class FakeProducer:
    """Keeps what it was sent; each instance made by :meth:`make` is in ``made``."""

    def __init__(self, *, holds: bool = False, errors: dict[bytes, ProducerError] | None = None):
        self.holds = holds
        """Whether deliveries stay open until it is closed by force."""
        self.errors = errors or {}
        self.sent: list[Record[bytes, bytes]] = []
        self.closes: list[float | None] = []
        self.drains = 0
        self.no_room = 0
        self.on_send: Any = lambda record: None
        self.given: dict[str, Any] = {}
        self.config = SimpleNamespace(transactional_id=None)
        self._open: list[asyncio.Future[RecordMetadata]] = []
        self._forced: asyncio.Event | None = None

    def make(self, **given: Any) -> FakeProducer:
        self.given = given
        return self

    async def start(self) -> None:
        self._forced = asyncio.Event()

    def send(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = (),
    ) -> asyncio.Future[RecordMetadata]:
        record = Record(topic, value, key, partition, timestamp_ms, headers)
        future = asyncio.get_running_loop().create_future()
        if self.holds:
            self._open.append(future)
        elif value in self.errors:
            future.set_exception(self.errors[value])
        else:
            place = len(self.sent)
            future.set_result(RecordMetadata(topic, partition or 0, place, -1, -1, -1))
        self.sent.append(record)
        self.on_send(record)
        return future

    async def drain(self, timeout: float | None = None) -> None:
        self.drains += 1
        await asyncio.sleep(0)
        if self.no_room:
            self.no_room -= 1
            raise ProducerTimeoutError("no room")

    async def close(self, timeout: float | None = None) -> CloseReport:
        self.closes.append(timeout)
        assert self._forced is not None
        if timeout == 0:
            self._forced.set()
        if self._open:
            await self._forced.wait()
        for future in self._open:
            if not future.done():
                future.set_exception(ProducerClosedError("closed by force"))
        return CloseReport()
