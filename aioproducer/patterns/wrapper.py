"""ProducerWrapper: what stands in front of a producer and offers the same to its users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from aioproducer import (
    AsyncProducer,
    CloseReport,
    DeliveryTimeoutError,
    Header,
    Health,
    LifeState,
    MetricKind,
    MetricsSnapshot,
    PartitionInfo,
    ProducerError,
    ProducerTimeoutError,
    Record,
    RecordMetadata,
    SendManyResult,
    SerializationError,
    Transaction,
    TransactionState,
)
from aioproducer.patterns.letter_delivery import AnyDelivery

if TYPE_CHECKING:
    from aioproducer import Diagnosis, LateResult, SignalDrain, Thresholds

K = TypeVar("K")
V = TypeVar("V")


class ProducerWrapper(Generic[K, V]):
    """Hands everything to ``producer``, which may be a wrapper itself.

    Entering and leaving it starts and closes that, unless it ran already. What is not here is the
    producer's alone, see ``innermost``: ``client_instance_id()``, ``watch_metrics()``,
    ``failures()``, and Kafka's own methods for transactions.
    """

    def __init__(self, producer: AsyncProducer[K, V] | ProducerWrapper[K, V]) -> None:
        self.producer = producer
        # Whether somebody else started it, and will close it.
        self._is_borrowed = False

    @property
    def innermost(self) -> AsyncProducer[K, V]:
        """The producer behind all wrappers."""
        inner = self.producer
        return inner if isinstance(inner, AsyncProducer) else inner.innermost

    @property
    def config(self) -> Any:
        """The producer's :class:`ProducerConfig`."""
        return self.producer.config

    @property
    def client_id(self) -> str:
        """The producer's name among the cluster's clients."""
        return self.producer.client_id

    @property
    def state(self) -> LifeState:
        """Where the producer is in its life."""
        return self.producer.state

    @property
    def transaction_state(self) -> TransactionState | None:
        """Where its transactions are."""
        return self.producer.transaction_state

    # Life

    async def start(self, *, initialize: bool = True) -> None:
        """Start the producer; cancelled as :meth:`AsyncProducer.start`."""
        await self.producer.start(initialize=initialize)

    async def close(self, timeout: float | None = None) -> CloseReport:
        """Close the producer; cancelled as :meth:`AsyncProducer.close`."""
        return await self.producer.close(timeout)

    async def __aenter__(self) -> Self:
        """Start the producer unless it runs; cancelled as :meth:`start`."""
        self._is_borrowed = self.state is LifeState.RUNNING
        if not self._is_borrowed:
            await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the producer if this started it; cancelled as the producer's own."""
        if not self._is_borrowed:
            await self.producer.__aexit__(exc_type, exc, traceback)

    def install_signal_drain(
        self, signals: Iterable[int] | None = None, *, timeout: float | None = None
    ) -> SignalDrain:
        """Have the producer closed by signals; leave this by ``close()`` or its block as usual."""
        if signals is None:
            return self.producer.install_signal_drain(timeout=timeout)
        return self.producer.install_signal_drain(signals, timeout=timeout)

    # Sending

    def send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> AnyDelivery:
        """Queue one record, as :meth:`AsyncProducer.send` does."""
        return self.producer.send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
            headers=headers, timeout=timeout,
        )  # fmt: skip

    def try_send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> AnyDelivery:
        """Queue one record or refuse at once, as :meth:`AsyncProducer.try_send` does."""
        return self.producer.try_send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms, headers=headers
        )

    async def send_and_wait(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> RecordMetadata:
        """Send one record without lingering and return its metadata.

        Cancelling withdraws the record while it waits for room, else abandons the wait only.
        """
        delivery = self.send(
            topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms,
            headers=headers, timeout=timeout,
        )  # fmt: skip
        if not delivery.done():
            self.expedite()
        return await delivery

    async def send_many(
        self,
        records: Iterable[Record[K, V]] | AsyncIterable[Record[K, V]],
        *,
        timeout: float | None = None,
    ) -> SendManyResult:
        """Send records as there is room and return every one's outcome.

        As :meth:`AsyncProducer.send_many`, record by record through this wrapper. Cancelling
        withdraws the records that still wait for room; the others are delivered.
        """
        if not isinstance(records, (Iterable, AsyncIterable)):
            raise TypeError(f"records must be an iterable of Record, not {type(records).__name__}")
        sent: list[AnyDelivery | ProducerError] = []
        try:
            async with asyncio.timeout(timeout) as clock:
                async for record in _each(records):
                    sent.append(self._queue(record))
                    # Each record that waits has a bound of its own.
                    with suppress(ProducerTimeoutError):
                        await self.drain()
                self.expedite()
                for each in sent:
                    if not isinstance(each, ProducerError) and not each.done():
                        # Not `await each`: the timeout must not cancel it.
                        await asyncio.wait([each])
        except TimeoutError:
            if not clock.expired():
                raise
        except asyncio.CancelledError:
            for each in sent:
                if not isinstance(each, ProducerError):
                    each.cancel()
            raise
        return SendManyResult([_outcome(each, timeout) for each in sent])

    def _queue(self, record: Record[K, V]) -> AnyDelivery | ProducerError:
        try:
            return self.send(
                record.topic, record.value, key=record.key, partition=record.partition,
                timestamp_ms=record.timestamp_ms, headers=record.headers,
            )  # fmt: skip
        except (TypeError, ValueError, AttributeError) as error:
            failure = SerializationError(f"the record cannot be sent: {error}")
            failure.__cause__ = error
            return failure

    def transaction(
        self, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager[Transaction[K, V]]:
        """Return a transaction, as :meth:`AsyncProducer.transaction` does."""
        return self.producer.transaction(timeout=timeout)

    # Waiting

    async def drain(self, timeout: float | None = None) -> None:
        """Let the producer catch up; cancelling abandons the wait only."""
        await self.producer.drain(timeout)

    async def flush(self, timeout: float | None = None) -> None:
        """Send everything queued so far and wait for it; cancelling abandons the wait only."""
        await self.producer.flush(timeout)

    def expedite(self) -> None:
        """Let nothing linger that was sent so far."""
        self.producer.expedite()

    # The cluster and the figures

    async def partitions_for(
        self, topic: str, *, timeout: float | None = None
    ) -> tuple[PartitionInfo, ...]:
        """Return the topic's partitions; cancelling abandons the wait only."""
        return await self.producer.partitions_for(topic, timeout=timeout)

    def known_partitions(self, topic: str) -> tuple[PartitionInfo, ...]:
        """Return the topic's partitions as far as they are known now."""
        return self.producer.known_partitions(topic)

    async def warm_up(self, topics: Iterable[str], *, timeout: float | None = None) -> None:
        """Fetch metadata and connect to leaders; cancelling abandons the wait only."""
        await self.producer.warm_up(topics, timeout=timeout)

    def partition_for(self, topic: str, key: K) -> int:
        """Return the partition that a record with ``key`` goes to."""
        return self.producer.partition_for(topic, key)

    async def serialize(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        headers: Sequence[Header] = (),
    ) -> Record[bytes, bytes]:
        """Return the record that would be sent; cancelling cancels the serializers."""
        return await self.producer.serialize(topic, value, key=key, headers=headers)

    def on_late_result(self, hook: Callable[[LateResult], object] | None) -> None:
        """Have ``hook`` called with what becomes of records whose waiter gave up."""
        self.producer.on_late_result(hook)

    def metrics(self) -> MetricsSnapshot:
        """Return a snapshot of all metrics, those of the wrappers included."""
        return self.producer.metrics()

    def diagnose(self, thresholds: Thresholds | Mapping[str, float] | None = None) -> Diagnosis:
        """Return what is not well."""
        return self.producer.diagnose(thresholds)

    def health(self) -> Health:
        """Return whether the producer lives and is ready."""
        return self.producer.health()

    def register_metric(
        self,
        name: str,
        read: Callable[[], float],
        *,
        kind: MetricKind = MetricKind.GAUGE,
        unit: str = "1",
        description: str = "",
    ) -> None:
        """Add a metric of the application's own to every snapshot."""
        self.producer.register_metric(name, read, kind=kind, unit=unit, description=description)

    def unregister_metric(self, name: str) -> None:
        """Take a metric of the application's own out again."""
        self.producer.unregister_metric(name)


async def _each(
    records: Iterable[Record[K, V]] | AsyncIterable[Record[K, V]],
) -> AsyncIterator[Record[K, V]]:
    if isinstance(records, AsyncIterable):
        async for record in records:
            yield record
    else:
        for record in records:
            yield record


def _outcome(
    sent: AnyDelivery | ProducerError, limit: float | None
) -> RecordMetadata | ProducerError:
    if isinstance(sent, ProducerError):
        return sent
    if sent.cancelled():
        return ProducerError("the record's Delivery was cancelled", topic=sent.topic)
    if sent.done():
        error = sent.exception()
        return sent.result() if error is None else _as_error(error)
    topic, partition = sent.topic, sent.partition
    was_waiting = sent.withdraw()
    if not was_waiting:
        sent.cancel()
    return DeliveryTimeoutError(
        f"not acknowledged within the {limit:g} s given to send_many()",
        persisted="no" if was_waiting else "maybe",
        topic=topic,
        partition=partition,
    )


def _as_error(error: BaseException) -> ProducerError:
    assert isinstance(error, ProducerError)
    return error
