"""The breaker in front of a real producer, in virtual time and against brokers in memory."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from aioproducer import (
    AsyncProducer,
    CircuitOpenError,
    ConfigurationError,
    DeliveryTimeoutError,
    PartitionerRecord,
    PartitionList,
    ProducerClosedError,
    ProducerError,
    Record,
    RecordTooLargeError,
    SerializationError,
    TransactionTimeoutError,
)
from aioproducer.observe.exporters.opentelemetry import instrument
from aioproducer.observe.exporters.prometheus import ProducerCollector
from aioproducer.patterns import (
    CircuitBreaker,
    CircuitChange,
    CircuitRules,
    CircuitState,
    DeadLetters,
)
from aioproducer.patterns.circuit_changes import MOST_UNREAD
from aioproducer.patterns.leaders import FRESH_SECONDS
from tests.fake_broker import FakeCluster
from tests.runtime.world import now, values_of, virtual_loop

Breaker = CircuitBreaker[Any, Any]
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN

# One failure opens it; nothing else does.
TOUCHY = CircuitRules(failures_in_row=1, failure_rate=None, recovery=10)
IMPATIENT = {
    "linger_ms": 0,
    "delivery_timeout_ms": 2_000,
    "request_timeout_ms": 1_000,
    "max_block_ms": 2_000,
    "retry_backoff_ms": 50,
    "reconnect_backoff_max_ms": 100,
}


def cluster_of(brokers: int = 1, partitions: int = 1) -> FakeCluster:
    cluster = FakeCluster(brokers, latency=lambda: 0.01)
    cluster.add_topic("t", partitions)
    return cluster


@asynccontextmanager
async def breaker_on(
    cluster: FakeCluster,
    rules: CircuitRules = TOUCHY,
    options: dict[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[Breaker]:
    virtual_loop().network = cluster
    producer: AsyncProducer[Any, Any] = AsyncProducer(
        cluster.bootstrap, **{**IMPATIENT, **(options or {})}
    )
    async with CircuitBreaker(producer, rules, **more) as breaker:
        await breaker.warm_up(["t"])
        yield breaker
        for broker in cluster.brokers.values():
            broker.up = True
    await asyncio.sleep(30)
    assert not cluster.open_sessions


def shut(cluster: FakeCluster, *nodes: int) -> None:
    for node in nodes or tuple(cluster.brokers):
        cluster.brokers[node].stop()


def state(breaker: Breaker, name: str = "") -> CircuitState:
    return breaker.circuits[name]


async def opened(breaker: Breaker, cluster: FakeCluster) -> None:
    shut(cluster)
    with pytest.raises(DeliveryTimeoutError):
        await breaker.send("t", b"lost")
    assert state(breaker) is OPEN


# Through it


async def test_closed_it_is_the_producer() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        delivery = breaker.send("t", b"1", key=b"k", headers=[("h", b"v")])
        assert (await delivery).offset == 0
        assert (await breaker.send_and_wait("t", b"2")).offset == 1
        assert (await breaker.try_send("t", b"3")).offset == 2
        result = await breaker.send_many(Record("t", b"%d" % n) for n in range(4, 7))
        assert result.failures == ()
        assert breaker.circuits == {"": CLOSED}
    assert values_of(cluster, "t") == [b"1", b"2", b"3", b"4", b"5", b"6"]


async def test_open_it_refuses_at_once_in_each_way_of_sending() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        started = now()
        delivery = breaker.send("t", b"x", partition=0)
        assert delivery.done()
        assert (delivery.topic, delivery.partition) == ("t", 0)
        with pytest.raises(CircuitOpenError) as caught:
            await delivery
        error = caught.value
        assert isinstance(error, ProducerError)
        assert (error.retriable, error.persisted, error.topic) == (True, "no", "t")
        assert error.retry_after == pytest.approx(10, abs=0.5)
        assert isinstance(error.__cause__, DeliveryTimeoutError)
        with pytest.raises(CircuitOpenError):
            breaker.try_send("t", b"x")
        with pytest.raises(CircuitOpenError):
            await breaker.send_and_wait("t", b"x")
        result = await breaker.send_many([Record("t", b"x")] * 2)
        assert [type(error) for _, error in result.failures] == [CircuitOpenError] * 2
        assert breaker.rejected == 5
        assert now() - started < 0.1
    assert values_of(cluster, "t") == []


async def test_refused_records_are_not_reported_one_by_one() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        for _ in range(100):
            breaker.send("t", b"x")
        gc.collect()
    assert virtual_loop().reported == []


async def test_a_failure_that_nobody_looks_at_is_reported_as_without_it() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        shut(cluster)
        breaker.send("t", b"x")
        await asyncio.sleep(5)
        gc.collect()
        assert state(breaker) is OPEN
    assert ["nobody looked" in each["message"] for each in virtual_loop().reported] == [True]


async def test_it_closes_by_itself_when_the_cluster_is_back() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        cluster.brokers[1].start()
        await asyncio.sleep(11)
        assert state(breaker) is OPEN
        probe, other = breaker.send("t", b"probe"), breaker.send("t", b"other")
        assert state(breaker) is HALF_OPEN
        assert other.done()
        await probe
        assert state(breaker) is CLOSED
        await breaker.send("t", b"next")
        with pytest.raises(CircuitOpenError):
            await other
    assert values_of(cluster, "t") == [b"probe", b"next"]


async def test_a_probe_that_fails_opens_it_again() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        await asyncio.sleep(11)
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"probe")
        assert state(breaker) is OPEN
        assert breaker.opened == 2


async def test_a_probe_on_its_way_tells_although_its_wait_is_cancelled() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        await asyncio.sleep(11)
        breaker.send("t", b"probe").cancel()
        cluster.brokers[1].start()
        await asyncio.sleep(1.5)
        assert state(breaker) is CLOSED
        await breaker.send("t", b"next")


async def test_a_probe_that_is_withdrawn_makes_room_for_another_at_once() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        cluster.brokers[1].start()
        await asyncio.sleep(11)
        probe = breaker.send("nowhere", b"probe")
        probe.cancel()
        await asyncio.sleep(0)
        assert state(breaker) is HALF_OPEN
        await breaker.send("t", b"second")
        assert state(breaker) is CLOSED


async def test_callers_that_give_up_too_soon_hide_no_failure() -> None:
    """A service whose own timeouts are shorter than the producer's sees nothing but those."""
    cluster = cluster_of()
    rules = CircuitRules(failures_in_row=None, failure_rate=0.5, minimum=20)
    async with breaker_on(cluster, rules) as breaker:
        shut(cluster)
        for _ in range(30):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(breaker.send("t", b"x"), 0.01)
        assert state(breaker) is CLOSED
        await asyncio.sleep(3)
        assert state(breaker) is OPEN


async def test_who_waits_for_send_and_wait_and_gives_up_hides_no_failure() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        shut(cluster)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await breaker.send_and_wait("t", b"x")
        await asyncio.sleep(3)
        assert state(breaker) is OPEN


async def test_who_gives_up_on_a_record_that_had_to_wait_for_room_hides_no_failure() -> None:
    cluster = cluster_of()
    cluster.add_topic("new", 1)
    async with breaker_on(cluster) as breaker:
        delivery = breaker.send("new", b"x")
        assert delivery.partition is None
        while delivery.partition is None:
            await asyncio.sleep(0.001)
        shut(cluster)
        delivery.cancel()
        await asyncio.sleep(3)
        assert state(breaker) is OPEN


async def test_a_waiting_probe_that_is_cancelled_does_not_wedge_it() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        await asyncio.sleep(11)
        probe = asyncio.create_task(breaker.send_and_wait("t", b"probe"))
        await asyncio.sleep(0.1)
        probe.cancel()
        await asyncio.wait([probe])
        cluster.brokers[1].start()
        # It is on its way, and tells.
        await asyncio.sleep(1.5)
        assert state(breaker) is CLOSED
        await breaker.send_and_wait("t", b"second")


async def test_a_circuit_around_dead_letters_learns_what_callers_do_not_wait_for() -> None:
    cluster = cluster_of()
    cluster.add_topic("t.dead-letters", 1)
    virtual_loop().network = cluster
    letters: DeadLetters[Any, Any] = DeadLetters(
        AsyncProducer(cluster.bootstrap, **IMPATIENT), timeout=1
    )
    async with CircuitBreaker(letters, TOUCHY) as breaker:
        await breaker.warm_up(["t"])
        shut(cluster)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(breaker.send("t", b"x"), 0.5)
        await asyncio.sleep(5)
        assert state(breaker) is OPEN
    assert letters.lost == 1


@pytest.mark.parametrize("misuse", [{"partition": -1}, {"headers": 5}], ids=str)
async def test_a_probe_that_cannot_even_be_sent_does_not_wedge_it(misuse: Any) -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        cluster.brokers[1].start()
        await asyncio.sleep(11)
        for send in (breaker.send, breaker.try_send):
            with pytest.raises((TypeError, ValueError)):
                send("t", b"probe", **misuse)
        with pytest.raises((TypeError, ValueError)):
            await breaker.send_and_wait("t", b"probe", **misuse)
        await breaker.send("t", b"second")
        assert state(breaker) is CLOSED


async def test_a_probe_that_is_never_answered_makes_room_for_another() -> None:
    cluster = cluster_of()
    rules = CircuitRules(failures_in_row=1, recovery=10, probe_timeout=5)
    async with breaker_on(cluster, rules, {"delivery_timeout_ms": 60_000}) as breaker:
        shut(cluster)
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"x", timeout=1)
        await asyncio.sleep(11)
        silent = breaker.send("t", b"silent")
        await asyncio.sleep(4)
        assert breaker.send("t", b"x").done()
        await asyncio.sleep(1.1)
        second = breaker.send("t", b"second")
        assert not second.done()
        cluster.brokers[1].start()
        await asyncio.gather(silent, second)
        assert state(breaker) is CLOSED


# What counts


async def test_the_caller_s_mistakes_never_open_it() -> None:
    cluster = cluster_of()

    def refuse(value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        raise TypeError

    options = {"value_serializer": refuse, "max_request_size": 1_000}
    async with breaker_on(cluster, options=options) as breaker:
        for _ in range(3):
            with pytest.raises(SerializationError):
                await breaker.send("t", 1)
            with pytest.raises(RecordTooLargeError):
                await breaker.send("t", b"x" * 2_000)
            with pytest.raises(RecordTooLargeError):
                await breaker.send_and_wait("t", b"x" * 2_000)
            breaker.send("t", b"v").cancel()
            with pytest.raises(TypeError):
                breaker.send("t", b"v", headers=3)
        assert state(breaker) is CLOSED
        assert breaker.opened == 0


async def test_a_topic_that_is_not_there_does_not_open_it() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        with pytest.raises(ProducerError, match="not present"):
            await breaker.send("nowhere", b"x")
        assert state(breaker) is CLOSED


async def test_the_records_of_one_failed_batch_are_one_failure() -> None:
    cluster = cluster_of()
    rules = CircuitRules(failures_in_row=2, failure_rate=None)
    async with breaker_on(cluster, rules, {"linger_ms": 100}) as breaker:
        shut(cluster)
        sent = [breaker.send("t", b"%d" % n) for n in range(50)]
        # These are told by copies of the one error.
        waiting = [asyncio.create_task(breaker.send_and_wait("t", b"%d" % n)) for n in range(5)]
        await asyncio.wait([*sent, *waiting])
        await asyncio.sleep(0)
        assert state(breaker) is CLOSED
        for each in (*sent, *waiting):
            assert isinstance(each.exception(), DeliveryTimeoutError)
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"second batch")
        assert state(breaker) is OPEN


async def test_each_record_of_a_batch_counts_in_the_rate() -> None:
    cluster = cluster_of()
    rules = CircuitRules(failures_in_row=None, failure_rate=0.5, minimum=50)
    async with breaker_on(cluster, rules, {"linger_ms": 100}) as breaker:
        shut(cluster)
        sent = [breaker.send("t", b"%d" % n) for n in range(49)]
        await asyncio.wait(sent)
        await asyncio.sleep(0)
        assert state(breaker) is CLOSED
        await asyncio.wait([breaker.send("t", b"one more")])
        await asyncio.sleep(0)
        assert state(breaker) is OPEN


async def test_a_record_with_a_timeout_of_its_own_counts_by_that() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster, options={"delivery_timeout_ms": 60_000}) as breaker:
        shut(cluster)
        others = [breaker.send("t", b"patient") for _ in range(3)]
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"impatient", timeout=1)
        assert state(breaker) is OPEN
        cluster.brokers[1].start()
        await asyncio.gather(*others)


async def test_a_judgement_that_raises_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    def fall_over(error: ProducerError) -> bool:
        raise ZeroDivisionError

    cluster = cluster_of()
    async with breaker_on(cluster, counts=fall_over) as breaker:
        await opened(breaker, cluster)
    assert "counts() of a circuit raised" in caplog.text


async def test_the_user_may_say_what_counts() -> None:
    cluster = cluster_of()
    options = {"max_request_size": 1_000}
    async with breaker_on(
        cluster, options=options, counts=lambda error: isinstance(error, RecordTooLargeError)
    ) as breaker:
        with pytest.raises(RecordTooLargeError):
            await breaker.send("t", b"x" * 2_000)
        await asyncio.sleep(0)
        assert state(breaker) is OPEN


# Scopes


async def test_topics_have_circuits_of_their_own() -> None:
    cluster = cluster_of()
    cluster.add_topic("u", 1)
    counts = {"counts": lambda error: isinstance(error, RecordTooLargeError)}
    async with breaker_on(
        cluster, options={"max_request_size": 1_000}, scope="topic", **counts
    ) as breaker:
        with pytest.raises(RecordTooLargeError):
            await breaker.send("t", b"x" * 2_000)
        await asyncio.sleep(0)
        with pytest.raises(CircuitOpenError, match="topic t") as caught:
            await breaker.send("t", b"v")
        assert caught.value.circuit == "t"
        await breaker.send("u", b"v")
        assert breaker.circuits == {"t": OPEN, "u": CLOSED}


async def test_topics_without_number_are_forgotten_while_they_are_well() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster, scope="topic") as breaker:
        breaker._guard("bad").circuit.failed(0, now())
        for number in range(2_500):
            breaker._guard(f"topic-{number}")
        assert len(breaker.circuits) <= 1_001
        assert breaker.circuits["bad"] is OPEN


def leader_of(cluster: FakeCluster, partition: int) -> int:
    return cluster.topics["t"].partitions[partition].leader


async def test_a_broker_that_is_away_stops_the_records_it_leads_and_no_others() -> None:
    cluster = cluster_of(brokers=2, partitions=2)
    away, well = leader_of(cluster, 0), leader_of(cluster, 1)
    assert away != well
    async with breaker_on(cluster, scope="broker") as breaker:
        shut(cluster, away)
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"x", partition=0)
        with pytest.raises(CircuitOpenError, match=f"broker {away}"):
            await breaker.send("t", b"x", partition=0)
        await breaker.send("t", b"v", partition=1)
        key = next(b"%d" % n for n in range(99) if breaker.partition_for("t", b"%d" % n) == 0)
        with pytest.raises(CircuitOpenError):
            await breaker.send("t", b"x", key=key)
        assert breaker.circuits == {str(away): OPEN, str(well): CLOSED}
        # Another leader takes the partition over.
        cluster.move_leader(cluster.topics["t"].partitions[0], well)
        breaker.innermost._engine.cluster.request_update("t")  # type: ignore[union-attr]
        await asyncio.sleep(FRESH_SECONDS + 1)
        await breaker.send("t", b"v", key=key)


async def test_a_record_that_may_go_anywhere_is_refused_only_when_no_broker_is_well() -> None:
    cluster = cluster_of(brokers=2, partitions=2)
    async with breaker_on(cluster, scope="broker") as breaker:
        shut(cluster)
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"x", partition=0)
        assert list(breaker.circuits.values()) == [OPEN]
        # The other one may be well.
        assert not breaker.send("t", b"x").done()
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"x", partition=1)
        await asyncio.sleep(3)
        assert set(breaker.circuits.values()) == {OPEN}
        with pytest.raises(CircuitOpenError):
            await breaker.send("t", b"x")
        gc.collect()
        virtual_loop().reported.clear()
        for broker in cluster.brokers.values():
            broker.start()
        await asyncio.sleep(11)
        # The probe goes where it is due.
        metadata = await breaker.send("t", b"probe")
        leader = str(leader_of(cluster, metadata.partition))
        assert breaker.circuits[leader] is CLOSED
        await breaker.send("t", b"v", partition=metadata.partition)


async def test_records_that_may_go_anywhere_close_the_circuit_of_a_broker_that_is_back() -> None:
    cluster = cluster_of(brokers=2, partitions=2)
    async with breaker_on(cluster, scope="broker") as breaker:
        leaders = {str(each.leader): each.partition for each in breaker.known_partitions("t")}
        shut(cluster, 1)
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send("t", b"x", partition=leaders["1"])
        assert state(breaker, "1") is OPEN
        cluster.brokers[1].start()
        for _ in range(100):
            # A batch each, so that they do not all go to one partition.
            await breaker.send("t", b"x" * 20_000)
            await asyncio.sleep(0.5)
        assert breaker.circuits == {"1": CLOSED, "2": CLOSED}


async def test_a_record_whose_broker_is_not_known_yet_is_counted_where_it_went() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster, scope="broker") as breaker:
        cluster.add_topic("new", 1)
        await breaker.send_and_wait("new", b"v")
        await breaker.send("new", b"v", key=b"k")
        assert breaker.circuits == {"1": CLOSED}
        shut(cluster)
        with pytest.raises(DeliveryTimeoutError):
            await breaker.send_and_wait("new", b"v")
        assert breaker.circuits == {"1": OPEN}


class Chosen:
    """A partitioner that has its own idea."""

    partition_now = 0

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        return self.partition_now


async def both_open_and_one_due(breaker: Breaker, cluster: FakeCluster, due: int) -> None:
    """Open both circuits, that of the broker ``due`` so much earlier that it alone is due."""
    shut(cluster)
    leads = {leader_of(cluster, partition): partition for partition in (0, 1)}
    with pytest.raises(DeliveryTimeoutError):
        await breaker.send("t", b"x", partition=leads.pop(due))
    await asyncio.sleep(5)
    ((_, partition),) = leads.items()
    with pytest.raises(DeliveryTimeoutError):
        await breaker.send("t", b"x", partition=partition)
    await asyncio.sleep(4)
    assert set(breaker.circuits.values()) == {OPEN}


@pytest.mark.parametrize("timeout", [None, 60.0])
@pytest.mark.parametrize("is_back", [True, False])
async def test_a_probe_that_a_partitioner_sends_elsewhere_counts_where_it_went(
    is_back: bool, timeout: float | None
) -> None:
    """Neither closes nor opens it the circuit of the broker that was to be probed."""
    cluster = cluster_of(brokers=2, partitions=2)
    chosen = Chosen()
    async with breaker_on(cluster, scope="broker", options={"partitioner": chosen}) as breaker:
        due, other = leader_of(cluster, 0), leader_of(cluster, 1)
        await both_open_and_one_due(breaker, cluster, due)
        chosen.partition_now = 1
        if is_back:
            cluster.brokers[other].start()
        probe = breaker.send("t", b"astray", timeout=timeout)
        # One at a time, wherever it goes.
        with pytest.raises(CircuitOpenError):
            await breaker.send("t", b"x", timeout=timeout)
        if is_back:
            assert (await probe).partition == 1
        else:
            assert isinstance(await asyncio.wait_for(_error_of(probe), 60), DeliveryTimeoutError)
        assert breaker.circuits == {str(due): HALF_OPEN, str(other): OPEN}
        cluster.brokers[due].start()
        chosen.partition_now = 0
        await breaker.send("t", b"probe", timeout=timeout)
        assert state(breaker, str(due)) is CLOSED


async def _error_of(delivery: Any) -> BaseException | None:
    await asyncio.wait([delivery])
    error: BaseException | None = delivery.exception()
    return error


async def test_a_stray_probe_may_be_the_other_broker_s_probe() -> None:
    cluster = cluster_of(brokers=2, partitions=2)
    chosen = Chosen()
    async with breaker_on(cluster, scope="broker", options={"partitioner": chosen}) as breaker:
        due, other = leader_of(cluster, 0), leader_of(cluster, 1)
        await both_open_and_one_due(breaker, cluster, due)
        cluster.brokers[other].start()
        await asyncio.sleep(10)
        chosen.partition_now = 1
        # Whichever of the two is asked for it.
        await breaker.send("t", b"probe")
        assert state(breaker, str(other)) is CLOSED
        assert state(breaker, str(due)) is not CLOSED


# Transactions


async def test_a_transaction_is_refused_when_it_begins_and_counts_as_one() -> None:
    cluster = cluster_of()
    options = {"transactional_id": "tx"}
    async with breaker_on(cluster, options=options) as breaker:
        async with breaker.transaction() as tx:
            tx.send("t", b"1")
        with pytest.raises(ZeroDivisionError):
            async with breaker.transaction():
                raise ZeroDivisionError
        assert state(breaker) is CLOSED
        with pytest.raises(TransactionTimeoutError):
            async with breaker.transaction():
                raise TransactionTimeoutError("the coordinator is away")
        with pytest.raises(CircuitOpenError):
            async with breaker.transaction():
                raise AssertionError("it is refused")
        await asyncio.sleep(11)
        async with breaker.transaction() as tx:
            tx.send("t", b"2")
        assert state(breaker) is CLOSED
    cluster.transactions.stop()


async def test_where_topics_have_circuits_transactions_have_one() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster, options={"transactional_id": "tx"}, scope="topic") as breaker:
        async with breaker.transaction() as tx:
            tx.send("t", b"1")
        assert breaker.circuits == {"transactions": CLOSED}
    cluster.transactions.stop()


# What it tells


async def test_changes_are_told_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aioproducer")
    told: list[CircuitChange] = []
    cluster = cluster_of()
    async with breaker_on(cluster, on_change=told.append) as breaker:
        changes = breaker.changes()
        waiting = asyncio.create_task(anext(changes))  # type: ignore[arg-type]
        await opened(breaker, cluster)
        assert await waiting is told[0]
        cluster.brokers[1].start()
        await asyncio.sleep(11)
        await breaker.send("t", b"probe")
        await asyncio.sleep(0)
        assert [(each.before, each.after) for each in told] == [
            (CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED),
        ]  # fmt: skip
        assert [each.reason for each in told] == [
            "too many failures", "the recovery time is over", "the probes were acknowledged",
        ]  # fmt: skip
        assert isinstance(told[0].error, DeliveryTimeoutError)
        assert told[0].retry_after == pytest.approx(10)
    assert [each async for each in changes] == told[1:]
    async with asyncio.timeout(60):
        assert [each async for each in breaker.changes()] == []
    events = [
        (record.event, record.levelname, record.fields["scope"])  # type: ignore[attr-defined]
        for record in caplog.records
        if getattr(record, "event", "").startswith("circuit.")
    ]
    assert events == [
        ("circuit.open", "WARNING", "producer"),
        ("circuit.half_open", "INFO", "producer"),
        ("circuit.closed", "INFO", "producer"),
    ]


async def test_a_reader_that_does_not_read_loses_the_oldest() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        changes = breaker.changes()
        for number in range(MOST_UNREAD + 5):
            breaker._changes.add(CircuitChange(str(number), CLOSED, OPEN, 0, 0, "", None))
    assert (await anext(changes)).circuit == "5"  # type: ignore[arg-type]


async def test_a_listener_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fall_over(change: CircuitChange) -> None:
        raise ZeroDivisionError

    cluster = cluster_of()
    async with breaker_on(cluster, on_change=fall_over) as breaker:
        await opened(breaker, cluster)
        assert breaker.send("t", b"x").done()
    assert "on_change() of a circuit raised" in caplog.text


async def test_the_metrics_show_in_the_snapshot_and_the_exporters() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster) as breaker:
        await opened(breaker, cluster)
        breaker.send("t", b"x")
        own = {each.name: value for each, value in breaker.metrics().registered.items()}
        assert own == {
            "circuit-state": 2,
            "circuit-open-count": 1,
            "circuit-opened-total": 1,
            "circuit-rejected-total": 1,
        }
        collector = ProducerCollector()
        collector.add(breaker.innermost)
        found = {
            sample.name: sample.value for family in collector.collect() for sample in family.samples
        }
        assert found["aioproducer_app_circuit_state"] == 2
        assert found["aioproducer_app_circuit_rejected_total"] == 1


async def test_a_second_breaker_needs_metrics_of_its_own() -> None:
    producer: AsyncProducer[bytes, bytes] = AsyncProducer("h:1")
    breaker = CircuitBreaker(producer)
    with pytest.raises(ValueError, match="there is a metric"):
        CircuitBreaker(breaker)
    assert CircuitBreaker(breaker, metrics="outer").innermost is producer
    assert "closed" in repr(breaker)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="coroutine"):
        CircuitBreaker(AsyncProducer("h:1"), on_change=asyncio.sleep)
    with pytest.raises(ConfigurationError, match="scope"):
        CircuitBreaker(AsyncProducer("h:1"), scope="cluster")  # type: ignore[arg-type]


async def test_closed_producers_say_so() -> None:
    cluster = cluster_of()
    async with breaker_on(cluster, scope="broker") as breaker:
        pass
    with pytest.raises(ProducerClosedError):
        breaker.send("t", b"x")


async def test_circuit_and_dead_letters_show_in_opentelemetry(tmp_path: Path) -> None:
    cluster = cluster_of()
    virtual_loop().network = cluster
    producer: AsyncProducer[Any, Any] = AsyncProducer(cluster.bootstrap, **IMPATIENT)
    breaker = CircuitBreaker(producer, TOUCHY)
    async with DeadLetters(breaker, spool=tmp_path / "letters.spool") as letters:
        await letters.send("t", b"v")
        await opened(breaker, cluster)
        letters.send("t", b"refused")
        await letters.flush()
        reader = InMemoryMetricReader()
        with instrument(producer, MeterProvider([reader])):
            data = reader.get_metrics_data()
        assert data is not None
        found = {
            metric.name: metric.data.data_points[0].value  # type: ignore[union-attr]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if "circuit" in metric.name or "dead" in metric.name
        }
        assert found == {
            "aioproducer.app_circuit_state": 2,
            "aioproducer.app_circuit_open_count": 1,
            "aioproducer.app_circuit_opened": 1,
            "aioproducer.app_circuit_rejected": 1,
            "aioproducer.app_dead_letter": 0,
            "aioproducer.app_dead_letter_spooled": 1,
            "aioproducer.app_dead_letter_lost": 0,
            "aioproducer.app_dead_letter_pending": 0,
        }
    await asyncio.sleep(30)
