"""The producing half of the demo: one producer per codec, all at once, with a live line."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from aioproducer import AsyncProducer, Delivery
from aioproducer.cli.orders import OrderEvent
from aioproducer.cli.report import Progress, TopicFigures
from aioproducer.cli.verify import SentRecord

# Enough for full batches on every partition; more would only wait longer in the queues. Sending
# goes on when half of them are through: one by one they would leave in batches of one.
MOST_IN_FLIGHT = 8_000
GO_ON_BELOW = MOST_IN_FLIGHT // 2
# Five producers share the records: each waits a little longer than by default for full batches.
LINGER_MS = 20
# A cluster that goes away ends the demo soon.
DELIVERY_MS = 20_000
ERROR_SAMPLES = 5
PROGRESS_SECONDS = 0.1
INTERRUPTED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic, and the codec that its producer uses."""

    name: str
    codec: str


@dataclass(slots=True)
class Scoreboard:
    """Counts while producing; settled by the deliveries themselves."""

    total: int
    started: float = 0.0
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def in_flight(self) -> int:
        """How many deliveries are open."""
        return self.sent - self.acknowledged - self.failed

    def settle(self, sent_at: float, delivery: Delivery) -> None:
        """Count a delivery that is done."""
        error = delivery.exception()
        if error is None:
            self.latencies.append(time.perf_counter() - sent_at)
            self.acknowledged += 1
        else:
            cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
            self.errors[f"{type(error).__name__}: {error.message}{cause}"] += 1
            self.failed += 1
        if self.in_flight <= GO_ON_BELOW:
            self.room.set()

    def progress(self) -> Progress:
        """Return how far producing has come."""
        seconds = time.perf_counter() - self.started
        return Progress(self.total, self.sent, self.acknowledged, self.failed, seconds)


# Without repr: asyncio.run() formats its result once, unseen, which takes a second for this one.
@dataclass(frozen=True, slots=True, repr=False)
class Load:
    """What was produced and acknowledged, by topic, and how it went."""

    sent: dict[str, list[SentRecord]]
    partitions: dict[str, int]
    figures: list[TopicFigures]
    progress: Progress
    latencies: list[float]
    errors: list[str]
    value_bytes: int


async def produce(
    bootstrap_servers: str,
    topics: Sequence[TopicPlan],
    events: Sequence[OrderEvent],
    show: Callable[[Progress], None],
) -> Load:
    """Send the events, each order to one of the topics, and wait for every acknowledgement.

    The first record that fails is the last one sent: the demo has failed then, and says why.
    `show` is called about ten times a second.

    Cancelling closes the producers, without waiting for answers that are late.
    """
    board = Scoreboard(len(events))
    sent: dict[str, list[tuple[OrderEvent, Delivery]]] = {topic.name: [] for topic in topics}
    async with AsyncExitStack() as stack:
        producers = [
            await stack.enter_async_context(_producer(bootstrap_servers, topic.codec))
            for topic in topics
        ]
        partitions = {}
        for topic, producer in zip(topics, producers, strict=True):
            await producer.warm_up([topic.name])
            partitions[topic.name] = len(await producer.partitions_for(topic.name))
        await stack.enter_async_context(_shown(board, show))
        await _send_all(topics, producers, events, board, sent)
        progress = board.progress()
        figures = [
            _figures(topic, producer, sent[topic.name], partitions[topic.name])
            for topic, producer in zip(topics, producers, strict=True)
        ]
    return Load(
        {name: list(_acknowledged(pairs)) for name, pairs in sent.items()},
        partitions,
        figures,
        progress,
        board.latencies,
        [f"{count:,} x {words}" for words, count in board.errors.most_common(ERROR_SAMPLES)],
        sum(len(event.value) for event in events),
    )


async def _send_all(
    topics: Sequence[TopicPlan],
    producers: Sequence[AsyncProducer[bytes, bytes]],
    events: Sequence[OrderEvent],
    board: Scoreboard,
    sent: dict[str, list[tuple[OrderEvent, Delivery]]],
) -> None:
    clock = time.perf_counter
    board.started = clock()
    lanes = [
        (topic.name, producer, sent[topic.name].append)
        for topic, producer in zip(topics, producers, strict=True)
    ]
    for event in events:
        name, producer, note = lanes[event.order % len(lanes)]
        delivery = producer.send(name, event.value, key=event.key, headers=event.headers)
        delivery.add_done_callback(functools.partial(board.settle, clock()))
        note((event, delivery))
        board.sent += 1
        if board.in_flight >= MOST_IN_FLIGHT:
            board.room.clear()
            await board.room.wait()
        await producer.drain()
        if board.failed:
            break
    await asyncio.gather(*(producer.flush() for producer in producers))
    # The last deliveries are done; what they call back stands in the loop's queue before this.
    await asyncio.sleep(0)


@asynccontextmanager
async def _producer(
    bootstrap_servers: str, codec: str
) -> AsyncIterator[AsyncProducer[bytes, bytes]]:
    producer = AsyncProducer(
        bootstrap_servers,
        config={"compression.type": codec},
        client_id=f"demo-{codec}",
        linger_ms=LINGER_MS,
        max_block_ms=DELIVERY_MS,
        request_timeout_ms=DELIVERY_MS // 2,
        delivery_timeout_ms=DELIVERY_MS,
    )
    await producer.start()
    try:
        yield producer
    except BaseException:
        await producer.close(timeout=INTERRUPTED_SECONDS)
        raise
    await producer.close()


@asynccontextmanager
async def _shown(board: Scoreboard, show: Callable[[Progress], None]) -> AsyncIterator[None]:
    async def keep_showing() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            show(board.progress())

    task = asyncio.create_task(keep_showing(), name="demo:progress")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _figures(
    topic: TopicPlan,
    producer: AsyncProducer[bytes, bytes],
    sent: Sequence[tuple[OrderEvent, Delivery]],
    partitions: int,
) -> TopicFigures:
    metrics = producer.metrics()
    per_partition = dict.fromkeys(range(partitions), 0)
    for _, delivery in sent:
        if delivery.exception() is None:
            per_partition[delivery.result().partition] += 1
    return TopicFigures(
        topic.name,
        topic.codec,
        metrics.record_ack_total,
        metrics.batch_total,
        metrics.compression_rate_avg,
        per_partition,
    )


def _acknowledged(pairs: Iterable[tuple[OrderEvent, Delivery]]) -> Iterator[SentRecord]:
    for event, delivery in pairs:
        if delivery.exception() is None:
            metadata = delivery.result()
            place = (metadata.partition, metadata.offset)
            yield SentRecord(event.key, event.value, event.headers, place)
