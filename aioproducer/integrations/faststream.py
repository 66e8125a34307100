"""A FastStream broker that publishes through an ``AsyncProducer``.

broker = KafkaBroker("localhost:9092")
kafka = publish_through(broker, lambda: AsyncProducer("localhost:9092"))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from faststream.exceptions import IncorrectState
from faststream.kafka import KafkaBroker
from faststream.kafka.publisher.producer import AioKafkaFastProducerImpl

from aioproducer import AsyncProducer, Delivery, Header, LifeState, Record, RecordMetadata

if TYPE_CHECKING:
    from faststream.kafka.response import KafkaPublishCommand


def publish_through(
    broker: KafkaBroker, make: Callable[[], AsyncProducer[bytes, bytes]]
) -> FastStreamProducer:
    """Have everything that ``broker`` publishes go through the producer that ``make`` makes.

    That is ``broker.publish()``, ``publish_batch()``, ``@broker.publisher()`` and answers. The
    broker starts and closes the producer, and goes on consuming by aiokafka. Call it before the
    broker is started. It relies on where FastStream 0.7 keeps its producer, which is no
    documented seam of it: there is none.
    """
    producer = FastStreamProducer(make)
    broker.config.broker_config.producer = producer
    return producer


class FastStreamProducer(AioKafkaFastProducerImpl):
    """What ``publish_through()`` puts into a broker."""

    def __init__(self, make: Callable[[], AsyncProducer[bytes, bytes]]) -> None:
        super().__init__(parser=None, decoder=None)
        self._make = make
        self._ours: AsyncProducer[bytes, bytes] | None = None

    @property
    def producer(self) -> AsyncProducer[bytes, bytes]:
        """The producer; raises FastStream's ``IncorrectState`` unless the broker is connected."""
        if self._ours is None:
            raise IncorrectState("connect the broker first")
        return self._ours

    async def connect(self, producer: Any, serializer: Any, codec: Any = None) -> None:
        """Start ours; aiokafka's, which FastStream has made and not started, is let go."""
        await producer.stop()
        self.serializer = serializer
        if codec is not None:
            self.codec = codec
        self._ours = self._make()
        await self._ours.start()

    async def disconnect(self) -> None:
        """Deliver what is queued, and close."""
        producer, self._ours = self._ours, None
        if producer is not None:
            await producer.close()

    def __bool__(self) -> bool:
        return self._ours is not None

    @property
    def closed(self) -> bool:
        """Whether the producer is not there or not running."""
        return self._ours is None or self._ours.state is not LifeState.RUNNING

    async def flush(self) -> None:
        """Wait until all that was published is settled."""
        if self._ours is not None:
            await self._ours.flush()

    async def publish(self, cmd: KafkaPublishCommand) -> Any:
        """Send one message; its metadata, or with ``no_confirm`` its Delivery.

        Cancelling withdraws the record while it waits for room or metadata.
        """
        headers = cmd.headers_to_publish()
        if cmd.body is None and cmd.key is not None:
            # A key without a body is a tombstone, as FastStream has it.
            body, content_type = None, None
        else:
            body, content_type = await self.codec.encode(cmd.body, self.serializer)
        send = self.producer.send if cmd.no_confirm else self.producer.send_and_wait
        sent = send(
            cmd.destination,
            body,
            key=cmd.key,
            partition=cmd.partition,
            timestamp_ms=cmd.timestamp_ms,
            headers=_headers({"content-type": content_type or "", **headers}),
        )
        if cmd.no_confirm:
            return cast("Delivery", sent)
        return await sent

    async def publish_batch(self, cmd: KafkaPublishCommand) -> Any:
        """Send several messages; the metadata of the last, or with ``no_confirm`` its Delivery.

        Raises the first failure. Unlike aiokafka's batch they need not fit into one.
        """
        headers = cmd.headers_to_publish()
        records = []
        for position, body in enumerate(cmd.batch_bodies):
            message, content_type = await self.codec.encode(body, self.serializer)
            told = {"content-type": content_type} if content_type else {}
            records.append(
                Record(
                    cmd.destination,
                    message,
                    cmd.key_for(position),
                    cmd.partition,
                    cmd.timestamp_ms,
                    _headers({**told, **headers}),
                )
            )
        if cmd.no_confirm:
            return self._send_all(records)
        result = await self.producer.send_many(records)
        for _, error in result.failures:
            raise error
        return cast("RecordMetadata | None", result[-1] if len(result) else None)

    def _send_all(self, records: list[Record[bytes, bytes]]) -> Delivery | None:
        delivery = None
        for record in records:
            delivery = self.producer.send(
                record.topic,
                record.value,
                key=record.key,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
                headers=record.headers,
            )
        return delivery


def _headers(headers: dict[str, Any]) -> tuple[Header, ...]:
    return tuple((name, (value or "").encode()) for name, value in headers.items())
