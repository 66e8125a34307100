"""RequestEvents: what one request sends, known to be in Kafka before the answer leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from aioproducer import Header, ProducerError, Record, RecordMetadata
from aioproducer.integrations.background import AnyProducer, Background, Outcomes

K = TypeVar("K")
V = TypeVar("V")


class RequestEvents(Generic[K, V]):
    """The records of one request; what ``ProducerLifespan.request_events()`` gives.

    ``async with`` it around the handler. ``deliver()`` sends now and returns when Kafka has the
    record. ``add()`` keeps a record until the block is left: then all that were added are sent,
    and waited for. When the block raises they are dropped, so a request that failed tells nobody
    that it was done.

    A handler that is cancelled, because its client has hung up, takes no record back: what was
    sent goes on in the background, and the failure hook is told if it fails.
    """

    def __init__(
        self, producer: AnyProducer[K, V], background: Background, patience: float | None
    ) -> None:
        self._producer = producer
        self._background = background
        self._patience = patience
        self._added: list[Record[K, V]] = []

    def add(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> None:
        """Keep a record to be sent when the request has succeeded; arguments as of ``send()``."""
        self._added.append(Record(topic, value, key, partition, timestamp_ms, tuple(headers)))

    async def deliver(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> RecordMetadata:
        """Send a record now, without lingering, and return when Kafka has it.

        Raises the record's :exc:`ProducerError`, at the latest when the service's ``patience`` is
        over. Cancelling abandons the wait only: the record goes on, also out of the waiting room.
        """
        record = Record(topic, value, key, partition, timestamp_ms, tuple(headers))
        (outcome,) = await self._see_through([record])
        if isinstance(outcome, ProducerError):
            raise outcome
        return outcome

    async def deliver_added(self) -> list[RecordMetadata]:
        """Send what was added and return when Kafka has all of it; leaving the block does so.

        Raises the first :exc:`ProducerError`, with a note of how many more failed; the others are
        in Kafka nevertheless. Cancelling abandons the wait only.
        """
        added, self._added = self._added, []
        if not added:
            return []
        outcomes = await self._see_through(added)
        errors = [each for each in outcomes if isinstance(each, ProducerError)]
        if errors:
            if len(errors) > 1:
                errors[0].add_note(f"{len(errors) - 1} more records of this request failed")
            raise errors[0]
        return [each for each in outcomes if isinstance(each, RecordMetadata)]

    def drop_added(self) -> None:
        """Forget what was added and not sent; leaving the block by an exception does so."""
        self._added.clear()

    async def _see_through(self, records: list[Record[K, V]]) -> Outcomes:
        task = self._background.start(self._send(records), "request")
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._background.adopt(task, records)
            raise
        return task.result()

    async def _send(self, records: list[Record[K, V]]) -> Outcomes:
        if len(records) > 1:
            return await self._producer.send_many(records, timeout=self._patience)
        (record,) = records
        try:
            return [
                await self._producer.send_and_wait(
                    record.topic,
                    record.value,
                    key=record.key,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                    headers=record.headers,
                    timeout=self._patience,
                )
            ]
        except ProducerError as error:
            return [error]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Deliver what was added, or drop it after an exception."""
        if error is None:
            await self.deliver_added()
        else:
            self.drop_added()
