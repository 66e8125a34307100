"""Where records go: by Java's hash, by librdkafka's, evenly, in turn, or as the user's code says.

Judged by the producers themselves: Kafka's own VerifiableProducer and librdkafka send the same keys
to the same topics.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from aioproducer import (
    AsyncProducer,
    ConfigurationError,
    Delivery,
    MetadataTimeoutError,
    PartitionerError,
    PartitionerRecord,
    PartitionList,
    Record,
    RecordMetadata,
)
from aioproducer.testing import KafkaCluster
from aioproducer.testing.admin import client_config
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import ReadRecord, read_topic_async
from tests.conftest import TopicFactory
from tests.oracles.java.data import load

PARTITIONS = 12


def keys(count: int = 400) -> list[bytes]:
    """Keys of all lengths, the empty one and bytes that are no text among them."""
    rng = random.Random(11)
    return [b"", *(rng.randbytes(rng.randrange(1, 40)) for _ in range(count))]


async def chosen(
    bootstrap: str, topic: str, all_keys: Sequence[bytes | None], **options: Any
) -> list[int]:
    """The partition that our producer gives each key."""
    async with AsyncProducer(bootstrap, linger_ms=5, **options) as producer:
        result = await producer.send_many(Record(topic, b"v", key=key) for key in all_keys)
    result.raise_for_failures()
    return [each.partition for each in result if isinstance(each, RecordMetadata)]


def by_partition(reads: Sequence[ReadRecord]) -> Counter[int]:
    return Counter(read.partition for read in reads)


# Keys


async def test_keys_go_where_javas_producer_sends_them(
    kafka: KafkaCluster, bootstrap: str, topic: TopicFactory
) -> None:
    """Kafka's own producer wrote the same keys to the same topic: one partition for each key."""
    if not isinstance(kafka, JavaCluster):
        pytest.skip("Kafka's tools are not at hand")
    name = topic(PARTITIONS)
    count = 300
    await asyncio.to_thread(
        kafka.run_tool,
        "org.apache.kafka.tools.VerifiableProducer",
        *("--bootstrap-server", bootstrap, "--topic", name),
        *("--max-messages", str(count), "--repeating-keys", str(count)),
    )
    javas = {read.key: read.partition for read in await read_topic_async(bootstrap, name)}
    assert len(javas) == count
    ours = await chosen(bootstrap, name, list(javas))
    assert ours == list(javas.values())
    assert len(set(ours)) == PARTITIONS


@pytest.mark.core
async def test_keys_go_where_javas_hash_says(bootstrap: str, topic: TopicFactory) -> None:
    """The answers of Java's own class, stored: odd keys of all lengths included."""
    answers = load("partitions.json")
    column = answers["counts"].index(PARTITIONS)
    name = topic(PARTITIONS)
    wanted = {bytes.fromhex(key): choices[column] for key, _, choices in answers["keys"]}
    wanted = {key: choice for key, choice in wanted.items() if len(key) < 10_000}
    assert await chosen(bootstrap, name, list(wanted)) == list(wanted.values())


@pytest.mark.core
@pytest.mark.parametrize(
    "partitioner",
    ["consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a", "fnv1a_random"],
)
async def test_keys_go_where_librdkafka_sends_them(
    bootstrap: str, topic: TopicFactory, partitioner: str
) -> None:
    """A mixed fleet agrees: librdkafka with the same partitioner's name chooses alike."""
    name = topic(PARTITIONS)
    all_keys = [key for key in keys() if key or partitioner != "consistent_random"]
    theirs = await asyncio.to_thread(_librdkafka_chooses, bootstrap, name, partitioner, all_keys)
    assert await chosen(bootstrap, name, all_keys, partitioner=partitioner) == theirs
    assert len(set(theirs)) == PARTITIONS


def _librdkafka_chooses(
    bootstrap: str, topic: str, partitioner: str, all_keys: Sequence[bytes]
) -> list[int]:
    from confluent_kafka import Producer

    producer = Producer(client_config(bootstrap, partitioner=partitioner))
    found: dict[int, int] = {}

    def note(index: int, error: Any, message: Any) -> None:
        assert error is None
        found[index] = message.partition()

    for index, key in enumerate(all_keys):
        producer.produce(
            topic, b"v", key=key, on_delivery=lambda e, m, index=index: note(index, e, m)
        )
    assert producer.flush(120) == 0
    return [found[index] for index in range(len(all_keys))]


@pytest.mark.parametrize("partitioner", ["consistent", "murmur2", "fnv1a"])
async def test_without_key_the_plain_hashes_go_where_librdkafkas_go(
    bootstrap: str, topic: TopicFactory, partitioner: str
) -> None:
    """No key is hashed as an empty one there: always the same partition."""
    name = topic(PARTITIONS)
    [theirs] = set(
        await asyncio.to_thread(_librdkafka_chooses, bootstrap, name, partitioner, [b""])
    )
    assert set(await chosen(bootstrap, name, [None] * 20, partitioner=partitioner)) == {theirs}


async def test_keys_keep_their_partition_when_its_leader_is_unknown_or_known(
    bootstrap: str, topic: TopicFactory
) -> None:
    """One key, one partition: also from many producers and over many batches."""
    name = topic(PARTITIONS)
    all_keys = keys(50)
    first = await chosen(bootstrap, name, all_keys)
    for options in ({"acks": 1}, {"compression_type": "gzip"}, {"batch_size": 0}):
        assert await chosen(bootstrap, name, all_keys, **options) == first


async def test_an_explicit_partition_beats_key_and_partitioner(
    bootstrap: str, topic: TopicFactory
) -> None:
    """It is not even asked."""
    name = topic(3)

    class Never:
        def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
            raise AssertionError("not to be asked")

    async with AsyncProducer(bootstrap, partitioner=Never()) as producer:
        found = await asyncio.gather(
            *(producer.send(name, b"v", key=b"k", partition=index) for index in range(3))
        )
    assert [metadata.partition for metadata in found] == [0, 1, 2]


async def test_keys_can_be_ignored(bootstrap: str, topic: TopicFactory) -> None:
    """partitioner.ignore.keys: records of one key spread like records without one."""
    name = topic(3)
    found = await chosen(
        bootstrap, name, [b"key"] * 3000, partitioner_ignore_keys=True, batch_size=300
    )
    assert set(found) == {0, 1, 2}


# No key


async def test_records_without_key_stick_to_a_partition_for_a_batch(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Full batches instead of scattered records (KIP-794): long runs, then another partition."""
    name = topic(6)
    async with AsyncProducer(
        bootstrap,
        batch_size=4000,
        linger_ms=60_000,
        # Else a slow broker's partitions would be left out.
        partitioner_adaptive_partitioning_enable=False,
    ) as producer:
        await producer.warm_up([name])
        deliveries = []
        for number in range(3000):
            deliveries.append(producer.send(name, b"%d" % number + bytes(90)))
            if number % 20 == 0:
                await asyncio.sleep(0)
        await producer.flush()
        found = await asyncio.gather(*deliveries)
    partitions = [metadata.partition for metadata in found]
    changes = sum(a != b for a, b in itertools.pairwise(partitions))
    # A batch holds about 38 of these records; some partitions follow on themselves.
    assert 20 < changes < 120
    assert set(partitions) == set(range(6))


@pytest.mark.parametrize("adaptive", [True, False])
async def test_records_without_key_spread_evenly_in_the_long_run(
    bootstrap: str, topic: TopicFactory, adaptive: bool
) -> None:
    """No partition gets twice or half its share of many batches."""
    name = topic(6)
    async with AsyncProducer(
        bootstrap, batch_size=1000, linger_ms=5, partitioner_adaptive_partitioning_enable=adaptive
    ) as producer:
        for number in range(8000):
            producer.send(name, bytes(100))
            await producer.drain()
            if adaptive and number % 50 == 0:
                # With full queues a slow broker's partitions would get less, as they should.
                await producer.flush()
        await producer.flush()
    shares = by_partition(await read_topic_async(bootstrap, name)).values()
    assert sum(shares) == 8000
    assert min(shares) > 8000 / 6 / 2
    assert max(shares) < 8000 / 6 * 2


async def test_round_robin_takes_one_partition_after_the_other(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Keys or not, for each topic by itself; under our name and under Java's."""
    for partitioner in (
        "round_robin",
        "org.apache.kafka.clients.producer.RoundRobinPartitioner",
    ):
        names = [topic(3), topic(4)]
        config = {"partitioner.class": partitioner}
        async with AsyncProducer(bootstrap, config=config) as producer:
            await producer.warm_up(names)
            deliveries: dict[str, list[Delivery]] = defaultdict(list)
            for number in range(24):
                for name in names:
                    deliveries[name].append(
                        producer.send(name, b"v", key=b"k" if number % 2 else None)
                    )
            await producer.flush()
        for name, count in zip(names, (3, 4), strict=True):
            found = [delivery.result().partition for delivery in deliveries[name]]
            assert found == [(found[0] + number) % count for number in range(24)]


async def test_random_reaches_every_partition(bootstrap: str, topic: TopicFactory) -> None:
    """Whatever the key."""
    name = topic(6)
    found = Counter(await chosen(bootstrap, name, [b"key"] * 600, partitioner="random"))
    assert len(found) == 6
    assert min(found.values()) > 50


async def test_an_unknown_partitioner_is_refused_with_those_there_are(bootstrap: str) -> None:
    """When the producer is made."""
    with pytest.raises(ConfigurationError, match="murmur2_random"):
        AsyncProducer(bootstrap, partitioner="murmur3")
    with pytest.raises(ConfigurationError, match="partition"):
        AsyncProducer(bootstrap, partitioner=object())  # type: ignore[arg-type]


# One's own


class Recorded:
    """Chooses as it is told and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[PartitionerRecord, PartitionList]] = []

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        self.asked.append((record, partitions))
        answer = self.answer(record) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


async def test_an_own_partitioner_sees_the_record_before_and_after_serialization(
    bootstrap: str, topic: TopicFactory
) -> None:
    """Topic, key, value, their bytes, headers, and the partitions there are, also when waiting."""
    name = topic(3)
    own = Recorded(1)
    async with AsyncProducer[str, dict[str, int]](
        bootstrap, key_serializer="string", value_serializer="json", partitioner=own
    ) as producer:
        # The first one waits for the topic's metadata, the second does not.
        for _ in range(2):
            metadata = await producer.send(name, {"a": 1}, key="k", headers=[("h", b"x")])
            assert metadata.partition == 1
        assert producer.partition_for(name, "k") == 1
    for record, partitions in own.asked[:2]:
        assert (record.topic, record.key, record.value) == (name, "k", {"a": 1})
        assert (record.key_bytes, record.value_bytes) == (b"k", b'{"a":1}')
        assert list(record.headers) == [("h", b"x")]
        assert (partitions.all, partitions.available) == (3, (0, 1, 2))


@pytest.mark.parametrize("warm", [True, False], ids=["topic known", "topic unknown yet"])
@pytest.mark.parametrize(
    "nonsense",
    [KeyError("no region"), -1, 3, "1", None, 1.0, True],
    ids=repr,
)
async def test_an_own_partitioner_that_raises_or_answers_nonsense_fails_that_record_alone(
    bootstrap: str, topic: TopicFactory, nonsense: object, warm: bool
) -> None:
    """Its records before and after are delivered; the error says what it did."""
    name = topic(3)
    own = Recorded(lambda record: nonsense if record.value == b"bad" else 2)
    async with AsyncProducer(bootstrap, partitioner=own) as producer:
        if warm:
            await producer.warm_up([name])
        sent = [producer.send(name, value) for value in (b"1", b"bad", b"2")]
        await asyncio.wait(sent)
        error = sent[1].exception()
        assert isinstance(error, PartitionerError)
        assert (error.topic, error.persisted, error.retriable) == (name, "no", False)
        assert repr(nonsense) in str(error)
        if isinstance(nonsense, Exception):
            assert error.__cause__ is nonsense
        assert [sent[index].result().offset for index in (0, 2)] == [0, 1]
        figures = producer.metrics()
        assert figures.buffer_available_bytes == figures.buffer_total_bytes
    assert [read.value for read in await read_topic_async(bootstrap, name)] == [b"1", b"2"]


async def test_an_own_partitioner_is_not_asked_for_a_topic_that_never_comes(
    bootstrap: str,
) -> None:
    """Without partitions there is nothing to choose from."""
    own = Recorded(0)
    async with AsyncProducer(
        bootstrap, partitioner=own, allow_auto_create_topics=False, max_block_ms=300
    ) as producer:
        delivery = producer.send("no-such-topic", b"v")
        await asyncio.wait([delivery])
        assert isinstance(delivery.exception(), MetadataTimeoutError)
    assert own.asked == []
