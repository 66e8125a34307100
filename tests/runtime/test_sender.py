"""From a ready batch to its fate: order, retries, sequences, splitting, time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from aioproducer import DeliveryTimeoutError, RecordMetadata
from aioproducer.errors import (
    BrokerError,
    ClusterConnectionError,
    InvalidRecordError,
    MessageTooLargeError,
    NotLeaderOrFollowerError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from tests.fake_broker import (
    KAFKA_2_1,
    KAFKA_2_8,
    KAFKA_3_9,
    KAFKA_4,
    Conduct,
    FakeCluster,
)
from tests.fake_log import FakePartition, Verb
from tests.runtime.world import engine_of, now, outcomes, produced, running, values_of

NOT_ENOUGH_REPLICAS = 19
NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
REQUEST_TIMED_OUT = 7
NOT_LEADER = 6
OUT_OF_ORDER = 45
INVALID_RECORD = 87
CONCURRENT_TRANSACTIONS = 51


def one_partition(latency: float = 0.01, nodes: int = 1) -> tuple[FakeCluster, FakePartition]:
    cluster = FakeCluster(nodes, latency=lambda: latency)
    topic = cluster.add_topic("orders")
    return cluster, topic.partitions[0]


async def settle(producer: Any) -> None:
    """Have the partition known, connected and acquainted with the producer."""
    await producer.send("orders", b"first")
    await asyncio.sleep(1)


def numbers(partition: FakePartition) -> list[bytes | None]:
    return partition.values[1:]


def values(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


class TestInFlight:
    """Up to five at once with idempotence, one without."""

    async def test_five_are_on_the_wire_and_the_sixth_waits(self) -> None:
        cluster, _ = one_partition(latency=1.0)
        async with running(cluster, batch_size=1) as producer:
            await settle(producer)
            deliveries = [producer.send("orders", value) for value in values(8)]
            await asyncio.sleep(0.1)
            assert engine_of(producer).cluster.brokers.requests_in_flight() == 5
            await asyncio.sleep(1.0)
            assert len(cluster.brokers[1].produce_requests()) == 1 + 5
            await asyncio.gather(*deliveries)
        assert values_of(cluster, "orders")[1:] == values(8)

    async def test_only_one_while_the_broker_does_not_know_the_producer(self) -> None:
        """It would take any sequence as the first."""
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1, retry_backoff_ms=50) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            partition.script.append(Verb(NOT_ENOUGH_REPLICAS))
            deliveries = [producer.send("orders", value) for value in values(3)]
            assert [m.offset for m in await asyncio.gather(*deliveries)] == [0, 1, 2]
        assert partition.values == values(3)

    async def test_only_one_of_a_partition_without_idempotence(self) -> None:
        cluster, partition = one_partition(latency=1.0)
        async with running(cluster, batch_size=1, acks=1) as producer:
            await settle(producer)
            deliveries = [producer.send("orders", value) for value in values(3)]
            await asyncio.sleep(0.1)
            assert engine_of(producer).cluster.brokers.requests_in_flight() == 1
            await asyncio.gather(*deliveries)
        assert numbers(partition) == values(3)

    async def test_without_idempotence_a_retry_keeps_the_order(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1, acks=1, retry_backoff_ms=50) as producer:
            await settle(producer)
            partition.script.append(Verb(NOT_ENOUGH_REPLICAS))
            await asyncio.gather(*[producer.send("orders", value) for value in values(4)])
        assert numbers(partition) == values(4)

    async def test_the_user_may_give_up_the_order(self) -> None:
        cluster, _ = one_partition(latency=1.0)
        options = {"acks": 1, "batch_size": 1, "partition_ordering": False}
        async with running(cluster, **options) as producer:
            await settle(producer)
            deliveries = [producer.send("orders", value) for value in values(3)]
            await asyncio.sleep(0.1)
            assert engine_of(producer).cluster.brokers.requests_in_flight() == 3
            await asyncio.gather(*deliveries)

    async def test_all_partitions_of_a_broker_share_one_request(self) -> None:
        cluster = FakeCluster()
        cluster.add_topic("orders", 4)
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            await asyncio.gather(
                *[producer.send("orders", b"%d" % p, partition=p) for p in range(4)]
            )
        assert [sorted(request) for request in produced(cluster.brokers[1])] == [values(4)]

    async def test_a_request_stays_below_max_request_size(self) -> None:
        cluster = FakeCluster()
        cluster.add_topic("orders", 3)
        async with running(cluster, max_request_size=400) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            await asyncio.gather(
                *[producer.send("orders", b"." * 100, partition=p) for p in range(3)]
            )
        assert [len(request) for request in produced(cluster.brokers[1])] == [2, 1]

    async def test_a_batch_grows_while_its_broker_is_busy(self) -> None:
        cluster, _ = one_partition(latency=1.0)
        options = {"acks": 1, "max_in_flight_requests_per_connection": 1}
        async with running(cluster, **options) as producer:
            await settle(producer)
            first = producer.send("orders", b"0")
            await asyncio.sleep(0.1)
            rest = [producer.send("orders", value) for value in values(5)]
            await asyncio.gather(first, *rest)
        assert produced(cluster.brokers[1])[1:] == [[b"0"], values(5)]

    async def test_one_slow_broker_does_not_delay_the_others(self) -> None:
        cluster = FakeCluster(2)
        cluster.add_topic("orders", 2)
        async with running(cluster) as producer:
            await producer.warm_up(["orders"])
            cluster.brokers[1].script.append(Conduct(delay=20))
            slow = producer.send("orders", b"slow", partition=0)
            started = now()
            for number in range(50):
                await producer.send("orders", b"%d" % number, partition=1)
            assert now() - started < 1
            assert not slow.done()
            await slow

    async def test_a_partition_without_leader_does_not_delay_the_others(self) -> None:
        cluster = FakeCluster()
        topic = cluster.add_topic("orders", 2)
        topic.partitions[0].leader = -1
        async with running(cluster) as producer:
            waiting = producer.send("orders", b"waits", partition=0)
            await producer.send("orders", b"goes", partition=1)
            await asyncio.sleep(3)
            assert not waiting.done()
            cluster.move_leader(topic.partitions[0], 1)
            assert (await waiting).offset == 0


class TestRetries:
    """A retry goes back to its place, and keeps its stamp."""

    async def test_the_first_of_five_is_refused_and_all_arrive_in_order(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1, retry_backoff_ms=50) as producer:
            await settle(producer)
            partition.script.append(Verb(NOT_ENOUGH_REPLICAS))
            deliveries = [producer.send("orders", value) for value in values(9)]
            assert [m.offset for m in await asyncio.gather(*deliveries)] == list(range(1, 10))
        assert numbers(partition) == values(9)

    @pytest.mark.parametrize("place", range(5))
    async def test_any_of_five_is_refused_twice(self, place: int) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1, retry_backoff_ms=20) as producer:
            await settle(producer)
            partition.script.extend([Verb()] * place + [Verb(NOT_ENOUGH_REPLICAS)] * 2)
            await asyncio.gather(*[producer.send("orders", value) for value in values(7)])
        assert numbers(partition) == values(7)

    @pytest.mark.parametrize("code", [REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND])
    async def test_what_was_appended_before_an_error_is_there_once(self, code: int) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1) as producer:
            await settle(producer)
            partition.script.append(Verb(code, append=True))
            metadata = await asyncio.gather(*[producer.send("orders", v) for v in values(3)])
            assert [m.offset for m in metadata] == [1, 2, 3]
        assert numbers(partition) == values(3)

    async def test_a_lost_acknowledgement_is_not_a_duplicate(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1) as producer:
            await settle(producer)
            cluster.brokers[1].script.append(Conduct(hang_up="after"))
            await asyncio.gather(*[producer.send("orders", value) for value in values(5)])
        assert numbers(partition) == values(5)

    async def test_a_duplicate_reported_by_code_is_a_success_without_offset(self) -> None:
        cluster, partition = one_partition()
        cluster.says_duplicate = True
        async with running(cluster) as producer:
            await settle(producer)
            cluster.brokers[1].script.append(Conduct(hang_up="after"))
            metadata = await producer.send("orders", b"0")
            assert metadata.offset == -1
            assert not metadata.has_offset
        assert numbers(partition) == [b"0"]

    async def test_an_answer_cut_in_the_middle_is_a_lost_one(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1) as producer:
            await settle(producer)
            cluster.brokers[1].script.append(Conduct(hang_up="amid"))
            await asyncio.gather(*[producer.send("orders", value) for value in values(5)])
        assert numbers(partition) == values(5)

    async def test_backoff_doubles_up_to_its_limit(self) -> None:
        cluster, partition = one_partition(latency=0.0)
        options = {"retry_backoff_ms": 100, "retry_backoff_max_ms": 800}
        async with running(cluster, **options) as producer:
            await settle(producer)
            partition.script.extend([Verb(NOT_ENOUGH_REPLICAS)] * 6)
            await producer.send("orders", b"0")
            times = [at for at, _ in cluster.brokers[1].produce_requests()][1:]
        pauses = [round(later - at, 3) for at, later in itertools.pairwise(times)]
        for pause, nominal in zip(pauses, [0.1, 0.2, 0.4, 0.8, 0.8, 0.8], strict=True):
            assert 0.8 * nominal <= pause <= 1.2 * nominal + 0.002

    async def test_the_markers_of_the_last_transaction_are_waited_for_in_milliseconds(self) -> None:
        cluster, partition = one_partition(latency=0.0)
        async with running(cluster, retry_backoff_ms=100) as producer:
            await settle(producer)
            partition.script.extend([Verb(CONCURRENT_TRANSACTIONS)] * 6)
            await producer.send("orders", b"0")
            times = [at for at, _ in cluster.brokers[1].produce_requests()][1:]
        pauses = [round(later - at, 3) for at, later in itertools.pairwise(times)]
        for pause, nominal in zip(pauses, [0.005, 0.01, 0.02, 0.02, 0.02, 0.02], strict=True):
            assert 0.8 * nominal <= pause <= 1.2 * nominal + 0.002

    async def test_retries_run_out(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, retries=2, retry_backoff_ms=1) as producer:
            await settle(producer)
            partition.script.extend([Verb(NOT_ENOUGH_REPLICAS)] * 3)
            with pytest.raises(BrokerError) as caught:
                await producer.send("orders", b"0")
            assert caught.value.code == NOT_ENOUGH_REPLICAS
            assert (caught.value.attempts, caught.value.persisted) == (3, "no")
            await producer.send("orders", b"1")
        assert numbers(partition) == [b"1"]

    async def test_a_record_that_fails_for_good_is_sent_once(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster) as producer:
            await settle(producer)
            partition.script.append(Verb(29))
            with pytest.raises(TopicAuthorizationFailedError) as caught:
                await producer.send("orders", b"0")
            assert (caught.value.topic, caught.value.partition) == ("orders", 0)
            assert caught.value.persisted == "no"
            assert not caught.value.retriable
            await producer.send("orders", b"1")
        assert numbers(partition) == [b"1"]

    async def test_the_error_tells_the_broker_s_own_words(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster) as producer:
            await settle(producer)
            partition.script.append(Verb(44, message="only tuesdays"))
            with pytest.raises(BrokerError, match="only tuesdays") as caught:
                await producer.send("orders", b"0")
            assert caught.value.broker_message == "only tuesdays"

    async def test_an_unknown_code_fails_and_says_that_nobody_knows(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster) as producer:
            await settle(producer)
            partition.script.append(Verb(999))
            with pytest.raises(BrokerError) as caught:
                await producer.send("orders", b"0")
            assert (caught.value.code, caught.value.persisted) == (999, "maybe")


class TestSequences:
    """What follows a batch that failed is stamped anew, if it was surely not written."""

    async def test_followers_in_flight_survive_a_definite_failure(self) -> None:
        """The partition's flight is drained, the epoch raised, the rest sent from sequence 0."""
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1, retry_backoff_ms=10) as producer:
            await settle(producer)
            partition.script.append(Verb(INVALID_RECORD))
            deliveries = [producer.send("orders", value) for value in values(7)]
            first, *rest = await outcomes(deliveries)
            assert isinstance(first, InvalidRecordError)
            assert [m.offset for m in rest] == [1, 2, 3, 4, 5, 6]
        assert numbers(partition) == values(7)[1:]
        epochs = [stored.batch.producer_epoch for stored in partition.stored]
        assert epochs == [0] + [1] * 6
        assert [s.batch.base_sequence for s in partition.stored][1:] == list(range(6))

    async def test_the_other_partitions_keep_their_epoch(self) -> None:
        cluster = FakeCluster()
        topic = cluster.add_topic("orders", 2)
        async with running(cluster, batch_size=1) as producer:
            for partition in (0, 1):
                await producer.send("orders", b"first", partition=partition)
            topic.partitions[0].script.append(Verb(INVALID_RECORD))
            await outcomes([producer.send("orders", b"0", partition=0)])
            await producer.send("orders", b"1", partition=0)
            await producer.send("orders", b"2", partition=1)
        assert [s.batch.producer_epoch for s in topic.partitions[0].stored] == [0, 1]
        assert [s.batch.producer_epoch for s in topic.partitions[1].stored] == [0, 0]

    @pytest.mark.parametrize("code", [OUT_OF_ORDER, 47, 59])
    async def test_a_broker_that_lost_track_is_met_with_a_new_epoch(self, code: int) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1, retry_backoff_ms=10) as producer:
            await settle(producer)
            partition.script.append(Verb(code))
            metadata = await asyncio.gather(*[producer.send("orders", v) for v in values(4)])
            assert [m.offset for m in metadata] == [1, 2, 3, 4]
        assert numbers(partition) == values(4)

    async def test_a_batch_that_may_be_written_keeps_its_stamp(self) -> None:
        """Under a new one the copy that is there already would not be recognised."""
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1, retry_backoff_ms=10) as producer:
            await settle(producer)
            partition.script.extend([Verb(REQUEST_TIMED_OUT, append=True), Verb(OUT_OF_ORDER)])
            metadata = await producer.send("orders", b"0")
            assert metadata.offset == 1
        assert numbers(partition) == [b"0"]

    async def test_the_last_epoch_is_followed_by_a_new_producer_id(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1) as producer:
            await settle(producer)
            keeper = engine_of(producer).keeper
            assert keeper.identity is not None
            keeper.identity = keeper.identity._replace(epoch=32767)
            sequences = keeper.sequences("orders", 0)
            assert sequences is not None
            sequences.restart(keeper.identity)
            old = keeper.identity.producer_id
            await producer.send("orders", b"0")
            partition.script.append(Verb(INVALID_RECORD))
            await outcomes([producer.send("orders", b"1")])
            await producer.send("orders", b"2")
        assert numbers(partition) == [b"0", b"2"]
        last = partition.stored[-1].batch
        assert (last.producer_id != old, last.producer_epoch, last.base_sequence) == (True, 0, 0)

    @pytest.mark.parametrize("where", ["on the wire", "in the queue"])
    async def test_what_follows_an_expired_batch_is_not_refused_first(self, where: str) -> None:
        """The gap that it leaves is known here; the broker need not tell of it."""
        cluster, partition = one_partition()
        broker = cluster.brokers[1]
        request_timeout = 2000 if where == "on the wire" else 500
        options = {
            "delivery_timeout_ms": 2000,
            "request_timeout_ms": request_timeout,
            "max_in_flight_requests_per_connection": 1,
            "batch_size": 1,
        }
        async with running(cluster, **options) as producer:
            await settle(producer)
            broker.script.append(Conduct(delay=0.3))
            sent = [producer.send("orders", value) for value in values(2)]
            await sent[0]
            # From now on what arrives is neither worked on nor answered.
            broker.up = False
            assert isinstance((await outcomes(sent))[1], DeliveryTimeoutError)
            await asyncio.sleep(1)
            broker.up = True
            await producer.send("orders", b"2")
        stamps = [(epoch, sequence) for _, epoch, sequence in partition.seen_in_order]
        assert stamps == [(0, 0), (0, 1), (1, 0)]
        assert numbers(partition) == [b"0", b"2"]

    async def test_sequences_wrap_to_zero(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=1) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            keeper = engine_of(producer).keeper
            sequences = keeper.sequences("orders", 0)
            assert sequences is not None
            assert keeper.identity is not None
            sequences.restart(keeper.identity)
            sequences.next_sequence = 2**31 - 2
            await asyncio.gather(*[producer.send("orders", value) for value in values(4)])
        assert partition.values == values(4)
        assert [s.batch.base_sequence for s in partition.stored] == [2**31 - 2, 2**31 - 1, 0, 1]


class TestLeaders:
    """A leader that moved costs a refresh; one that the answer names costs nothing."""

    async def test_a_moved_leader_is_found(self) -> None:
        cluster, partition = one_partition(nodes=2)
        async with running(cluster, batch_size=1) as producer:
            await settle(producer)
            cluster.move_leader(partition, 2)
            await asyncio.gather(*[producer.send("orders", value) for value in values(6)])
        assert numbers(partition) == values(6)
        assert cluster.brokers[2].produce_requests()

    async def test_a_hint_skips_the_backoff(self) -> None:
        cluster, partition = one_partition(nodes=2)
        cluster.hints = True
        options = {"retry_backoff_ms": 10_000, "retry_backoff_max_ms": 10_000}
        async with running(cluster, **options) as producer:
            await settle(producer)
            cluster.move_leader(partition, 2)
            started = now()
            await producer.send("orders", b"0")
            assert now() - started < 0.5
        assert numbers(partition) == [b"0"]

    async def test_a_refresh_that_shows_a_new_leader_skips_the_backoff_too(self) -> None:
        cluster, partition = one_partition(nodes=2)
        options = {"retry_backoff_ms": 5_000, "retry_backoff_max_ms": 5_000}
        async with running(cluster, **options) as producer:
            await settle(producer)
            await asyncio.sleep(20)
            cluster.move_leader(partition, 2)
            started = now()
            delivery = producer.send("orders", b"0")
            await asyncio.sleep(0.1)
            cluster.brokers[2].script.clear()
            await delivery
            assert now() - started < 7

    async def test_a_hint_with_an_older_epoch_is_ignored(self) -> None:
        cluster, partition = one_partition(nodes=2)
        async with running(cluster, retry_backoff_ms=10) as producer:
            await settle(producer)
            partition.epoch = 5
            cluster.brokers[1].script.clear()
            await producer.partitions_for("orders")
            partition.script.append(Verb(NOT_LEADER, leader=(2, -1)))
            await producer.send("orders", b"0")
        assert not cluster.brokers[2].produce_requests()

    async def test_a_topic_made_again_is_found_by_its_new_id(self) -> None:
        cluster, _ = one_partition()
        async with running(cluster, retry_backoff_ms=20) as producer:
            await settle(producer)
            old = cluster.topics.pop("orders")
            del cluster.by_id[old.topic_id]
            again = cluster.add_topic("orders")
            del cluster.by_id[again.topic_id]
            again.topic_id = b"another-topic-id"
            cluster.by_id[again.topic_id] = again
            await producer.send("orders", b"new")
        assert again.partitions[0].values == [b"new"]

    @pytest.mark.parametrize("versions", [KAFKA_4, KAFKA_3_9, KAFKA_2_8, KAFKA_2_1])
    async def test_every_release_is_spoken_to(self, versions: Any) -> None:
        cluster = FakeCluster(2, versions=versions)
        cluster.add_topic("orders", 2)
        async with running(cluster) as producer:
            sent = [producer.send("orders", v, partition=i % 2) for i, v in enumerate(values(20))]
            assert [m.offset for m in await asyncio.gather(*sent)] == [i // 2 for i in range(20)]


class TestSplitting:
    """MESSAGE_TOO_LARGE makes smaller batches of a large one, in its place."""

    async def test_a_batch_is_split_until_the_broker_takes_it(self) -> None:
        cluster, partition = one_partition()
        partition.max_message_bytes = 300
        async with running(cluster, linger_ms=5) as producer:
            await settle(producer)
            deliveries = [producer.send("orders", b"%02d" % n + b"." * 48) for n in range(30)]
            metadata = await asyncio.gather(*deliveries)
            assert [m.offset for m in metadata] == list(range(1, 31))
        assert [int((value or b"")[:2]) for value in numbers(partition)] == list(range(30))
        assert max(len(s.batch.records) for s in partition.stored) > 1

    async def test_followers_in_flight_stay_behind_the_parts(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=400, linger_ms=5) as producer:
            await settle(producer)
            partition.max_message_bytes = 250
            deliveries = [producer.send("orders", b"%02d" % n + b"." * 48) for n in range(20)]
            metadata = await asyncio.gather(*deliveries)
            assert [m.offset for m in metadata] == list(range(1, 21))

    async def test_a_single_record_that_is_too_large_fails_alone(self) -> None:
        cluster, partition = one_partition()
        partition.max_message_bytes = 200
        async with running(cluster, linger_ms=5) as producer:
            await settle(producer)
            small = [producer.send("orders", b"%d" % n) for n in range(3)]
            large = producer.send("orders", b"." * 300)
            more = [producer.send("orders", b"%d" % n) for n in range(3, 6)]
            with pytest.raises(MessageTooLargeError) as caught:
                await large
            assert isinstance(caught.value, RecordTooLargeError)
            assert caught.value.persisted == "no"
            metadata = await asyncio.gather(*small, *more)
            assert [m.offset for m in metadata] == list(range(1, 7))
        assert numbers(partition) == values(6)

    @pytest.mark.parametrize("retries", [0, 1])
    async def test_splitting_is_not_a_retry(self, retries: int) -> None:
        cluster, partition = one_partition()
        partition.max_message_bytes = 200
        async with running(cluster, linger_ms=5, retries=retries) as producer:
            await settle(producer)
            deliveries = [producer.send("orders", b"." * 50) for _ in range(16)]
            await asyncio.gather(*deliveries)
        assert len(numbers(partition)) == 16


class TestRecordErrors:
    """Records that the broker blames fail alone (KIP-467)."""

    async def test_the_others_of_the_batch_are_delivered(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, linger_ms=5) as producer:
            await settle(producer)
            partition.script.append(
                Verb(INVALID_RECORD, record_errors=[(1, "no key"), (3, "too old")])
            )
            results = await outcomes([producer.send("orders", value) for value in values(5)])
        assert [type(r) for r in results] == [
            RecordMetadata,
            InvalidRecordError,
            RecordMetadata,
            InvalidRecordError,
            RecordMetadata,
        ]
        assert "no key" in str(results[1])
        assert "too old" in str(results[3])
        assert [r.offset for r in (results[0], results[2], results[4])] == [1, 2, 3]
        assert numbers(partition) == [b"0", b"2", b"4"]

    async def test_what_follows_keeps_its_order(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, batch_size=150, linger_ms=5) as producer:
            await settle(producer)
            partition.script.append(Verb(INVALID_RECORD, record_errors=[(0, "bad")]))
            results = await outcomes([producer.send("orders", value) for value in values(30)])
        failed = [index for index, r in enumerate(results) if isinstance(r, Exception)]
        assert failed == [0]
        assert numbers(partition) == values(30)[1:]

    async def test_if_all_are_blamed_all_fail(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, linger_ms=5) as producer:
            await settle(producer)
            partition.script.append(Verb(INVALID_RECORD, record_errors=[(0, "a"), (1, "b")]))
            results = await outcomes([producer.send("orders", value) for value in values(2)])
            assert [type(r) for r in results] == [InvalidRecordError] * 2
            assert (await producer.send("orders", b"later")).offset == 1

    async def test_nothing_is_sent_again_that_may_be_there_already(self) -> None:
        cluster, partition = one_partition()
        async with running(cluster, linger_ms=5, retry_backoff_ms=1) as producer:
            await settle(producer)
            partition.script.append(Verb(REQUEST_TIMED_OUT, append=True))
            partition.script.append(Verb(INVALID_RECORD, record_errors=[(0, "too old now")]))
            results = await outcomes([producer.send("orders", value) for value in values(2)])
            assert [getattr(r, "persisted", None) for r in results] == ["maybe", "maybe"]
        assert numbers(partition) == values(2)


class TestTime:
    """delivery.timeout.ms counts from send(), wherever the record is."""

    async def test_in_the_queue_nothing_was_persisted(self) -> None:
        cluster, partition = one_partition()
        options = {"delivery_timeout_ms": 2000, "request_timeout_ms": 1000}
        async with running(cluster, **options) as producer:
            await settle(producer)
            cluster.brokers[1].stop()
            await asyncio.sleep(0.1)
            started = now()
            with pytest.raises(DeliveryTimeoutError) as caught:
                await producer.send("orders", b"0")
            assert now() - started == pytest.approx(2.0)
            assert caught.value.persisted == "no"
            assert isinstance(caught.value.__cause__, ClusterConnectionError)
            cluster.brokers[1].start()
            await asyncio.sleep(5)
            await producer.send("orders", b"1")
        assert numbers(partition) == [b"1"]

    async def test_in_flight_it_may_have_been_persisted(self) -> None:
        cluster, partition = one_partition()
        options = {"delivery_timeout_ms": 2000, "request_timeout_ms": 2000}
        async with running(cluster, **options) as producer:
            await settle(producer)
            cluster.brokers[1].script.append(Conduct(delay=1.9999))
            started = now()
            delivery = producer.send("orders", b"0")
            await asyncio.sleep(0.0)
            with pytest.raises(DeliveryTimeoutError) as caught:
                await delivery
            assert now() - started == pytest.approx(2.0)
            assert caught.value.persisted == "maybe"
        assert numbers(partition) == [b"0"]

    async def test_what_follows_waits_until_the_doubt_is_resolved(self) -> None:
        """New batches go only when the expired one was answered or lost, and stay in order."""
        cluster, partition = one_partition()
        options = {"delivery_timeout_ms": 2000, "request_timeout_ms": 2000, "batch_size": 1}
        async with running(cluster, **options) as producer:
            await settle(producer)
            cluster.brokers[1].script.append(Conduct(stall=True))
            expired = producer.send("orders", b"0")
            await asyncio.sleep(1.0)
            later = [producer.send("orders", value) for value in values(4)[1:]]
            result = (await outcomes([expired]))[0]
            assert isinstance(result, DeliveryTimeoutError)
            await asyncio.gather(*later)
        assert numbers(partition) == values(4)

    async def test_the_answer_of_an_expired_batch_gives_its_memory_back(self) -> None:
        cluster, _ = one_partition()
        options = {"delivery_timeout_ms": 2000, "request_timeout_ms": 2000, "batch_size": 1}
        async with running(cluster, max_in_flight_requests_per_connection=1, **options) as producer:
            await settle(producer)
            cluster.brokers[1].script.extend([Conduct(delay=0.5), Conduct(delay=1.7)])
            deliveries = [producer.send("orders", value) for value in values(2)]
            delivered, expired = await outcomes(deliveries)
            assert delivered.offset == 1
            assert isinstance(expired, DeliveryTimeoutError)
            budget = engine_of(producer).budget
            assert budget.held > 0
            await asyncio.sleep(0.5)
            assert budget.held == 0

    async def test_younger_records_expire_with_the_oldest_of_their_batch(self) -> None:
        cluster, _ = one_partition()
        options = {"delivery_timeout_ms": 3000, "request_timeout_ms": 1000, "linger_ms": 500}
        async with running(cluster, **options) as producer:
            await settle(producer)
            cluster.brokers[1].stop()
            old = producer.send("orders", b"0")
            await asyncio.sleep(0.4)
            young = producer.send("orders", b"1")
            started = now()
            await outcomes([old, young])
            assert now() - started == pytest.approx(2.6)

    async def test_attempts_are_told(self) -> None:
        cluster, partition = one_partition()
        options = {"delivery_timeout_ms": 3000, "request_timeout_ms": 1000, "retry_backoff_ms": 10}
        async with running(cluster, **options) as producer:
            await settle(producer)
            partition.script.extend([Verb(NOT_LEADER)] * 100)
            with pytest.raises(DeliveryTimeoutError) as caught:
                await producer.send("orders", b"0")
            assert caught.value.attempts >= 3
            assert isinstance(caught.value.__cause__, NotLeaderOrFollowerError)
            assert caught.value.persisted == "maybe"


class TestWithoutAcknowledgement:
    """acks=0: done when written, and nothing is known of it."""

    async def test_it_is_delivered_without_an_answer(self) -> None:
        cluster, partition = one_partition(latency=1.0)
        async with running(cluster, acks=0) as producer:
            await producer.warm_up(["orders"])
            started = now()
            metadata = await producer.send("orders", b"0")
            assert (metadata.offset, metadata.partition) == (-1, 0)
            assert now() - started < 0.5
        await asyncio.sleep(5)
        assert partition.values == [b"0"]

    async def test_thousands_need_no_room_in_flight(self) -> None:
        cluster, partition = one_partition(latency=1.0)
        async with running(cluster, acks=0, batch_size=1) as producer:
            await producer.warm_up(["orders"])
            deliveries = [producer.send("orders", b"%d" % number) for number in range(500)]
            started = now()
            await asyncio.gather(*deliveries)
            assert now() - started < 0.5
        await asyncio.sleep(60)
        assert partition.values == values(500)
