"""AIOKafkaProducer: aiokafka's producer, with this package's behind it."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from aioproducer import (
    AsyncProducer,
    BufferExhaustedError,
    Delivery,
    ProducerError,
    TransactionState,
)
from aioproducer import OffsetAndMetadata as Position
from aioproducer import RecordMetadata as Metadata
from aioproducer.compat.aiokafka.batches import BatchBuilder
from aioproducer.compat.aiokafka.errors import classes
from aioproducer.compat.aiokafka.settings import UNSET, settings_of
from aioproducer.compat.aiokafka.structs import RecordMetadata, TopicPartition
from aioproducer.compat.aiokafka.translation import translated, translating

Headers = Sequence[tuple[str, bytes | None]]

# How often start() looks whether a broker has answered, in seconds.
_LOOK = 0.01


class AIOKafkaProducer:
    """Takes aiokafka's options and calls, raises aiokafka's errors, returns its RecordMetadata.

    docs/migrating.md has every option and method, and what is different here. ``loop`` and
    ``api_version`` do nothing, as in aiokafka. Raises :exc:`ValueError` for wrong options.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        bootstrap_servers: str | Iterable[str] = "localhost",
        client_id: str | None = None,
        metadata_max_age_ms: int = 300000,
        request_timeout_ms: int = 40000,
        api_version: Any = None,
        acks: Any = UNSET,
        key_serializer: Callable[[Any], Any] | None = None,
        value_serializer: Callable[[Any], Any] | None = None,
        compression_type: str | None = None,
        max_batch_size: int = 16384,
        partitioner: Callable[..., int] | None = None,
        max_request_size: int = 1048576,
        linger_ms: int = 0,
        retry_backoff_ms: int = 100,
        security_protocol: str = "PLAINTEXT",
        ssl_context: Any = None,
        connections_max_idle_ms: int | None = 540000,
        enable_idempotence: bool = False,
        transactional_id: str | None = None,
        transaction_timeout_ms: int = 60000,
        sasl_mechanism: str = "PLAIN",
        sasl_plain_password: str | None = None,
        sasl_plain_username: str | None = None,
        sasl_kerberos_service_name: str = "kafka",
        sasl_kerberos_domain_name: str | None = None,
        sasl_oauth_token_provider: Any = None,
    ) -> None:
        options = dict(locals())
        for name in ("loop", "api_version"):
            if options[name] is not None:
                warnings.warn(f"`{name}` is deprecated and does nothing", DeprecationWarning, 2)
        self._settings = settings_of(options)
        self._key_serializer = key_serializer
        self._value_serializer = value_serializer
        self._transactional = transactional_id is not None
        self._without_answer = self._settings["acks"] == 0
        self._partitions: dict[str, set[int]] = {}
        self._initialized = False
        self._closed = False
        self._producer = self._make()

    def _make(self) -> AsyncProducer[bytes, bytes]:
        return AsyncProducer(config=self._settings)

    # Life

    async def start(self) -> None:
        """Connect to the cluster; raises KafkaConnectionError if no broker answers.

        Waits for ``request_timeout_ms`` at most. May be called again after it has failed.
        """
        with translating():
            await self._producer.start(initialize=False)
        try:
            await self._reach()
        except BaseException:
            await self._producer.close(0)
            self._producer = self._make()
            raise

    async def _reach(self) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + self._settings["request_timeout_ms"] / 1000
        while not (health := self._producer.health()).ready:
            if clock() >= end or not health.live:
                servers = ", ".join(self._settings["bootstrap_servers"])
                raise classes["KafkaConnectionError"](
                    f"Unable to bootstrap from {servers}: {'; '.join(health.reasons)}"
                )
            await asyncio.sleep(_LOOK)

    async def stop(self) -> None:
        """Deliver what was sent and close; an open transaction is aborted. May be repeated."""
        if self._closed:
            return
        self._closed = True
        await self._producer.close()

    async def flush(self) -> None:
        """Wait until everything sent so far is delivered or has failed."""
        if self._closed:
            # As there: stop() has seen to it.
            return
        with translating():
            await self._producer.flush()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # Sending

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Headers | None = None,
    ) -> asyncio.Future[RecordMetadata | None]:
        """Queue a record and return the future of its metadata, ``None`` with ``acks=0``.

        Waits for the topic's metadata and for room, ``request_timeout_ms`` at most. Cancelled
        meanwhile, the record is withdrawn; cancelling the future abandons the wait only.
        """
        if value is None and key is None:
            raise AssertionError("Need at least one: key or value")
        if partition is not None or topic not in self._partitions or self._may_not_send():
            await self._prepare(topic, partition)
        if self._key_serializer is not None:
            key = self._key_serializer(key)
        if self._value_serializer is not None:
            value = self._value_serializer(value)
        clock = asyncio.get_running_loop().time
        end = clock() + self._settings["request_timeout_ms"] / 1000
        while True:
            delivery, future = self._begin(
                topic, value, key, partition, timestamp_ms, headers or ()
            )
            refusal = delivery.exception() if delivery.done() else None
            if refusal is None:
                break
            future.cancel()
            if not isinstance(refusal, BufferExhaustedError) or clock() >= end:
                # What concerns the record itself is raised here.
                raise translated(refusal) from refusal
            await self._room(max(0.0, end - clock()))
        try:
            await self._producer.drain()
        except ProducerError:
            # Each record that waits has a clock of its own; its future tells.
            pass
        except BaseException:
            # Nobody has the future.
            future.cancel()
            delivery.cancel()
            raise
        return future

    async def _room(self, timeout: float | None) -> None:
        with suppress(ProducerError):
            await self._producer.drain(timeout)

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Headers | None = None,
    ) -> RecordMetadata | None:
        """Send a record and wait for its metadata."""
        return await (await self.send(topic, value, key, partition, timestamp_ms, headers))

    def create_batch(self) -> BatchBuilder:
        """Return an empty batch, for ``send_batch()``."""
        return BatchBuilder(
            self._settings["batch_size"],
            key_serializer=self._key_serializer,
            value_serializer=self._value_serializer,
        )

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata | None]:
        """Send a batch's records together; the future has the metadata of the first of them.

        It has the first error if one of them fails.
        """
        await self._prepare(topic, partition)
        batch.close()
        whole: asyncio.Future[RecordMetadata | None] = asyncio.get_running_loop().create_future()
        if not batch.records:
            whole.set_result(None)
            return whole
        futures = [
            self._begin(topic, each.value, each.key, partition, each.timestamp_ms, each.headers)[1]
            for each in batch.records
        ]
        asyncio.gather(*futures).add_done_callback(partial(self._first, whole))
        await self._room(None)
        return whole

    def _first(
        self,
        whole: asyncio.Future[RecordMetadata | None],
        parts: asyncio.Future[list[RecordMetadata | None]],
    ) -> None:
        # Asked for in any case, or asyncio would say that nobody has.
        error = None if parts.cancelled() else parts.exception()
        if whole.done() or parts.cancelled():
            whole.cancel()
        elif error is not None:
            self._fail(whole, error)
        else:
            whole.set_result(parts.result()[0])

    def _may_not_send(self) -> bool:
        return self._closed or (self._transactional and not self._is_in_transaction())

    async def _prepare(self, topic: str, partition: int | None) -> None:
        """Have the topic's metadata at hand, and a transaction where one is needed."""
        if self._closed:
            raise classes["ProducerClosed"]("the producer is closed")
        if topic not in self._partitions or (
            partition is not None and partition not in self._partitions[topic]
        ):
            self._partitions[topic] = await self.partitions_for(topic)
        if partition is not None and partition not in self._partitions[topic]:
            raise AssertionError("Unrecognized partition")
        if self._may_not_send():
            raise classes["IllegalOperation"]("Can't send messages while not in transaction")

    def _begin(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Headers,
    ) -> tuple[Delivery, asyncio.Future[RecordMetadata | None]]:
        at = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
        try:
            delivery = self._producer.send(
                topic, value, key=key, partition=partition, timestamp_ms=at, headers=headers
            )
        except ProducerError as error:
            raise translated(error) from error
        future: asyncio.Future[RecordMetadata | None] = asyncio.get_running_loop().create_future()
        delivery.add_done_callback(partial(self._settle, future, at))
        return delivery, future

    def _settle(
        self, future: asyncio.Future[RecordMetadata | None], at: int, delivery: Delivery
    ) -> None:
        if delivery.cancelled():
            future.cancel()
            return
        error = delivery.exception()
        if future.done():
            return
        if error is not None:
            self._fail(future, translated(error))
        elif self._without_answer:
            future.set_result(None)
        else:
            future.set_result(_metadata(delivery.result(), at))

    def _fail(self, future: asyncio.Future[RecordMetadata | None], error: BaseException) -> None:
        future.set_exception(error)
        if self._transactional:
            # The commit raises it; of an abort nobody needs to be told by asyncio's log.
            future.exception()

    async def partitions_for(self, topic: str) -> set[int]:
        """Return the topic's partitions."""
        with translating():
            return {each.partition for each in await self._producer.partitions_for(topic)}

    # Transactions

    async def begin_transaction(self) -> None:
        """Open a transaction; the first time, obtain the identity of ``transactional_id``."""
        self._require_transactional()
        with translating():
            if not self._initialized:
                await self._producer.init_transactions()
                self._initialized = True
            self._producer.begin_transaction()

    async def commit_transaction(self) -> None:
        """Make everything of the transaction visible; raises its first error, if it has one."""
        self._require_transactional()
        with translating():
            await self._producer.commit_transaction()

    async def abort_transaction(self) -> None:
        """Give the transaction up."""
        self._require_transactional()
        with translating():
            await self._producer.abort_transaction()

    def transaction(self) -> TransactionContext:
        """Return a transaction for ``async with``."""
        return TransactionContext(self)

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, Any], group_id: str
    ) -> None:
        """Commit a group's offsets with the transaction; values as aiokafka's commit() has them."""
        self._require_transactional()
        if not self._is_in_transaction():
            raise classes["IllegalOperation"]("Not in the middle of a transaction")
        if not group_id or not isinstance(group_id, str):
            raise ValueError(group_id)
        if not offsets or not isinstance(offsets, dict):
            raise ValueError(offsets)
        positions = {place: _position(offset) for place, offset in offsets.items()}
        with translating():
            await self._producer.send_offsets_to_transaction(positions, group_id)

    def _require_transactional(self) -> None:
        if not self._transactional:
            raise classes["IllegalOperation"](
                "You need to configure transaction_id to use transactions"
            )

    def _is_in_transaction(self) -> bool:
        state = self._producer.transaction_state
        return state in (TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR)

    def _is_over(self) -> bool:
        return self._producer.transaction_state is TransactionState.FATAL_ERROR

    @property
    def client(self) -> Any:
        """Raise: aiokafka's own client does not exist here."""
        raise AttributeError(
            "AIOKafkaProducer.client is aiokafka's own machinery; use partitions_for(), or the"
            " AsyncProducer of this package"
        )


class TransactionContext:
    """What ``AIOKafkaProducer.transaction()`` returns: commits, or aborts when the body raises."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def __aenter__(self) -> Self:
        await self._producer.begin_transaction()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            await self._producer.commit_transaction()
        elif not self._producer._is_over():
            await self._producer.abort_transaction()


def _metadata(metadata: Metadata, at: int) -> RecordMetadata:
    place = TopicPartition(metadata.topic, metadata.partition)
    return RecordMetadata(
        topic=metadata.topic,
        partition=metadata.partition,
        topic_partition=place,
        offset=metadata.offset,
        timestamp=metadata.timestamp_ms,
        # The broker's own time is told by not being ours.
        timestamp_type=0 if metadata.timestamp_ms == at else 1,
        log_start_offset=None,
    )


def _position(offset: Any) -> Position:
    if isinstance(offset, int):
        return Position(offset)
    try:
        number, note = offset
    except (TypeError, ValueError):
        raise ValueError(offset) from None
    if not isinstance(note, str):
        raise TypeError("Metadata should be a string")
    return Position(number, metadata=note)
