"""The producers that `aioproducer perf` can drive: this one, and those to compare it with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from aioproducer import AsyncProducer
from aioproducer.cli.perf_figures import metric_names
from aioproducer.cli.settings import SettingsError
from aioproducer.errors import ProducerTimeoutError
from aioproducer.version import __version__

if TYPE_CHECKING:
    from aioproducer.config import ProducerConfig

COMPARABLE = (
    "bootstrap.servers", "acks", "linger.ms", "batch.size", "compression.type",
    "enable.idempotence", "client.id",
)  # fmt: skip
"""The settings that mean the same to every client; the others would be compared unequally."""

_LOOK_SECONDS = 0.25
_RECORDS_PER_TURN = 256
_WARM_UP_SECONDS = 60.0

Settled = Callable[[object], None]
"""Is called with the error of a record, or None, when its fate is known."""


class Client(Protocol):
    """One producer under load."""

    name: str

    async def open(self, topic: str) -> None:
        """Connect and learn the topic's partitions."""

    async def send(self, topic: str, value: bytes, settled: Settled) -> None:
        """Send a record, waiting for room if need be."""

    async def close(self, timeout: float | None = None) -> object:
        """Deliver what is open and end; a second call with a time shortens it."""

    def metrics(self) -> list[tuple[str, float]]:
        """Return its own figures by Kafka's names, as far as it has them."""


def check_installed(name: str) -> None:
    """Refuse a client whose package is not here.

    Raises:
        SettingsError: with the line that installs it.
    """
    package = _PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        pip = package.replace("_", "-")
        raise SettingsError(f"{pip} is not installed: pip install {pip}")


def make_client(name: str, settings: Mapping[str, object], stop: asyncio.Event) -> Client:
    """Return the client of that name, with the same settings for all."""
    return _CLIENTS[name](settings, stop)


class OwnClient:
    """This producer."""

    def __init__(self, settings: Mapping[str, object], stop: asyncio.Event) -> None:
        self.producer: AsyncProducer[bytes, bytes] = AsyncProducer(config=settings)
        self._stop = stop
        self.name = f"aioproducer {__version__}"

    async def open(self, topic: str) -> None:
        await self.producer.start()
        await self.producer.warm_up([topic], timeout=_WARM_UP_SECONDS)

    async def send(self, topic: str, value: bytes, settled: Settled) -> None:
        self.producer.send(topic, value).add_done_callback(
            lambda delivery: settled(delivery.exception())
        )
        while not self._stop.is_set():
            try:
                await self.producer.drain(_LOOK_SECONDS)
            except ProducerTimeoutError:
                continue
            return

    async def close(self, timeout: float | None = None) -> object:
        return await self.producer.close(timeout)

    def metrics(self) -> list[tuple[str, float]]:
        return metric_names(self.producer.metrics().readings(), self.producer.client_id)


class AiokafkaClient:
    """aiokafka's producer."""

    def __init__(self, settings: Mapping[str, object], stop: asyncio.Event) -> None:
        import aiokafka

        config = AsyncProducer(config=settings).config
        self._producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=list(config.bootstrap_servers),
            acks="all" if config.acks == -1 else config.acks,
            enable_idempotence=config.enable_idempotence,
            linger_ms=config.linger_ms,
            max_batch_size=config.batch_size,
            compression_type=_codec(config),
        )
        self._stopping: asyncio.Future[None] | None = None
        self.name = f"aiokafka {aiokafka.__version__}"

    async def open(self, topic: str) -> None:
        await self._producer.start()
        await self._producer.partitions_for(topic)

    async def send(self, topic: str, value: bytes, settled: Settled) -> None:
        future = await self._producer.send(topic, value)
        future.add_done_callback(lambda done: settled(done.exception()))

    async def close(self, timeout: float | None = None) -> object:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._producer.stop())
        await asyncio.wait([self._stopping], timeout=timeout)
        if not self._stopping.done():
            self._stopping.cancel()
        return None

    def metrics(self) -> list[tuple[str, float]]:
        return []


class ConfluentClient:
    """librdkafka behind confluent-kafka; its callbacks run on the loop's own thread."""

    def __init__(self, settings: Mapping[str, object], stop: asyncio.Event) -> None:
        import confluent_kafka

        config = AsyncProducer(config=settings).config
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": ",".join(config.bootstrap_servers),
                "acks": config.acks,
                "enable.idempotence": config.enable_idempotence,
                "linger.ms": config.linger_ms,
                "batch.size": config.batch_size,
                "compression.type": config.compression_type,
            }
        )
        self._stop = stop
        self._sent = 0
        self._until = float("inf")
        self.name = f"confluent-kafka {confluent_kafka.__version__}"

    async def open(self, topic: str) -> None:
        await asyncio.to_thread(self._producer.list_topics, topic, _WARM_UP_SECONDS)

    async def send(self, topic: str, value: bytes, settled: Settled) -> None:
        def told(error: object, message: Any) -> None:
            settled(error)

        while True:
            try:
                self._producer.produce(topic, value, on_delivery=told)
                break
            except BufferError:
                self._producer.poll(0)
                await asyncio.sleep(0.001)
                if self._stop.is_set():
                    settled("no room")
                    return
        self._sent += 1
        if self._sent % _RECORDS_PER_TURN == 0:
            self._producer.poll(0)
            await asyncio.sleep(0)

    async def close(self, timeout: float | None = None) -> object:
        if timeout is not None:
            self._until = min(self._until, time.monotonic() + timeout)
        while len(self._producer) and time.monotonic() < self._until:
            self._producer.poll(0)
            await asyncio.sleep(0.001)
        return None

    def metrics(self) -> list[tuple[str, float]]:
        return []


_CLIENTS: Mapping[str, Callable[[Mapping[str, object], asyncio.Event], Client]] = {
    "aioproducer": OwnClient,
    "aiokafka": AiokafkaClient,
    "confluent": ConfluentClient,
}
CLIENTS = tuple(_CLIENTS)
_PACKAGES = {"aiokafka": "aiokafka", "confluent": "confluent_kafka"}


def _codec(config: ProducerConfig) -> str | None:
    return None if config.compression_type == "none" else config.compression_type
