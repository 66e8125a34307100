"""One task per broker: it connects, backs off, pauses when asked, and ends what is idle."""

from __future__ import annotations

import asyncio
import collections
import itertools
import socket
from typing import Any

import pytest

from aioproducer import DeliveryTimeoutError, MetadataTimeoutError
from aioproducer.errors import ClusterConnectionError
from aioproducer.wire.versions import ApiKey
from tests.fake_broker import KAFKA_2_1, Conduct, FakeCluster
from tests.fake_sasl import FakeSasl
from tests.runtime.world import engine_of, now, outcomes, produced, running, virtual_loop


def one_topic(nodes: int = 1, partitions: int = 1, latency: float = 0.01) -> FakeCluster:
    cluster = FakeCluster(nodes, latency=lambda: latency)
    cluster.add_topic("orders", partitions)
    return cluster


class TestConnecting:
    """Every address of a name, then again after a while that doubles."""

    async def test_one_connection_and_one_task_for_each_broker_that_is_used(self) -> None:
        cluster = one_topic(3, 3)
        async with running(cluster) as producer:
            await asyncio.gather(*[producer.send("orders", b"v", partition=p) for p in range(3)])
            await asyncio.sleep(1)
            names = {task.get_name() for task in asyncio.all_tasks()}
            for node in (1, 2, 3):
                assert f"{producer.client_id}:broker-{node}" in names
            connections = [broker.connections for broker in cluster.brokers.values()]
            await asyncio.gather(*[producer.send("orders", b"v", partition=p) for p in range(3)])
            assert connections == [broker.connections for broker in cluster.brokers.values()]

    async def test_the_waits_between_attempts_double_up_to_the_limit(self) -> None:
        cluster = one_topic(latency=0.0)
        attempts: list[float] = []
        connect = cluster.connect

        async def counted(address: Any) -> Any:
            attempts.append(now())
            return await connect(address)

        cluster.connect = counted  # type: ignore[method-assign]
        cluster.brokers[1].stop()
        options = {"reconnect_backoff_ms": 100, "reconnect_backoff_max_ms": 1600}
        async with running(cluster, max_block_ms=20_000, **options) as producer:
            delivery = producer.send("orders", b"v")
            await asyncio.sleep(12)
            cluster.brokers[1].start()
            await delivery
        waits = [later - earlier for earlier, later in itertools.pairwise(attempts[:8])]
        for wait, nominal in zip(waits, [0.1, 0.2, 0.4, 0.8, 1.6, 1.6, 1.6], strict=True):
            assert 0.8 * nominal - 0.001 <= wait

    async def test_every_address_of_a_name_is_tried(self) -> None:
        cluster = one_topic()
        cluster.hosts["broker-1"] = [
            (socket.AF_INET, ("dead-1", 1)),
            (socket.AF_INET6, ("dead-2", 1, 0, 0)),
            (socket.AF_INET, ("broker-1", 9092)),
        ]
        async with running(cluster) as producer:
            assert (await producer.send("orders", b"v")).offset == 0

    async def test_all_reasons_are_told(self) -> None:
        cluster = one_topic()
        cluster.hosts["broker-1"] = [
            (socket.AF_INET, ("dead-1", 1)),
            (socket.AF_INET, ("dead-2", 1)),
        ]
        async with running(cluster, max_block_ms=1000) as producer:
            with pytest.raises(MetadataTimeoutError) as caught:
                await producer.send("orders", b"v")
        for word in ("broker-1:9092", "dead-1", "dead-2", "Connection refused"):
            assert word in str(caught.value)

    async def test_a_name_that_cannot_be_resolved_is_told(self) -> None:
        cluster = one_topic()
        async with running(cluster, max_block_ms=500, bootstrap="nowhere:9092") as producer:
            with pytest.raises(MetadataTimeoutError, match="nowhere") as caught:
                await producer.send("orders", b"v")
            assert isinstance(caught.value.__cause__, ClusterConnectionError)
            assert caught.value.__cause__.addresses == ("nowhere:9092",)

    async def test_a_name_that_cannot_even_be_encoded_kills_nobody(self) -> None:
        cluster = one_topic()
        resolve = cluster.resolve

        async def encode(host: str, port: int) -> Any:
            if host == "broken":
                ("a" * 64).encode("idna")
            return await resolve(host, port)

        cluster.resolve = encode  # type: ignore[method-assign]
        bootstrap = ["broken:9092", *cluster.bootstrap]
        async with running(cluster, bootstrap=bootstrap) as producer:
            await producer.send("orders", b"v")

    async def test_a_manager_that_was_let_go_keeps_nobody_waiting(self) -> None:
        """It may be found connected, and be let go before the request is written."""
        cluster = one_topic(2)
        async with running(cluster) as producer:
            await producer.send("orders", b"v")
            brokers = engine_of(producer).cluster.brokers
            manager = brokers.managers[1]
            cluster.brokers[1].hang_up()
            await asyncio.sleep(0)
            waiting = asyncio.ensure_future(manager.ready())
            await asyncio.sleep(0)
            brokers.drop(1)
            for wait in (waiting, manager.ready()):
                with pytest.raises(ClusterConnectionError, match="closed by this producer"):
                    await asyncio.wait_for(wait, 5)

    async def test_a_dead_bootstrap_server_does_not_matter(self) -> None:
        cluster = one_topic(2)
        cluster.brokers[2].stop()
        async with running(cluster, bootstrap=["broker-2:9092", "broker-1:9092"]) as producer:
            started = now()
            await producer.send("orders", b"v")
            assert now() - started < 1

    async def test_one_that_takes_no_connection_is_given_up_after_the_setup_timeout(self) -> None:
        cluster = one_topic(2)
        for broker in cluster.brokers.values():
            broker.when_down = "hang"
        cluster.brokers[1].stop()
        options: dict[str, Any] = {
            "socket_connection_setup_timeout_ms": 1000,
            "socket_connection_setup_timeout_max_ms": 1000,
            "max_block_ms": 5000,
        }
        async with running(cluster, bootstrap="broker-1:9092", **options) as producer:
            with pytest.raises(MetadataTimeoutError, match="no connection within"):
                await producer.send("orders", b"v")

    async def test_one_that_never_answers_the_handshake_is_given_up_too(self) -> None:
        cluster = one_topic()
        cluster.brokers[1].scripts[ApiKey.API_VERSIONS] = _endless(Conduct(stall=True))
        options: dict[str, Any] = {
            "socket_connection_setup_timeout_ms": 1000,
            "socket_connection_setup_timeout_max_ms": 1000,
            "max_block_ms": 3000,
        }
        async with running(cluster, **options) as producer:
            with pytest.raises(MetadataTimeoutError, match="no connection within"):
                await producer.send("orders", b"v")

    async def test_a_broker_that_accepts_and_hangs_up_is_not_called_in_a_circle(self) -> None:
        cluster = one_topic(latency=0.0)
        cluster.brokers[1].scripts[ApiKey.METADATA] = _endless(Conduct(hang_up="before"))
        async with running(cluster, max_block_ms=10_000, reconnect_backoff_ms=50) as producer:
            with pytest.raises(MetadataTimeoutError):
                await producer.send("orders", b"v")
        assert cluster.brokers[1].connections < 300

    async def test_several_that_fail_and_one_that_connects_in_one_turn(self) -> None:
        """The others' failures are looked at, too: nothing is left for the garbage collector."""
        cluster = one_topic(3)
        connect = cluster.connect
        third = cluster.brokers[3]

        async def together(address: Any) -> Any:
            if address[0] != "broker-3":
                while not third.requests:
                    await asyncio.sleep(0.001)
                await asyncio.sleep(max(0.0, third.requests[0][0] + 0.01 - now()))
                raise ConnectionRefusedError(111, "Connection refused")
            return await connect(address)

        cluster.connect = together  # type: ignore[method-assign]
        async with running(cluster, max_block_ms=1000):
            await asyncio.sleep(2)
        assert virtual_loop().reported == []


def _endless(conduct: Conduct) -> Any:
    class Endless:
        def __bool__(self) -> bool:
            return True

        def popleft(self) -> Conduct:
            return conduct

    return Endless()


class TestLosing:
    """A connection that ends is made again when there is something to send."""

    async def test_what_was_on_the_wire_is_sent_again(self) -> None:
        cluster = one_topic()
        async with running(cluster) as producer:
            await producer.send("orders", b"0")
            cluster.brokers[1].script.append(Conduct(hang_up="before"))
            assert (await producer.send("orders", b"1")).offset == 1
        assert cluster.topics["orders"].partitions[0].values == [b"0", b"1"]

    async def test_each_batch_s_error_names_its_own_partition(self) -> None:
        cluster = one_topic(partitions=3)
        async with running(cluster, acks=1, retries=0) as producer:
            await producer.warm_up(["orders"])
            await asyncio.sleep(1)
            cluster.brokers[1].script.append(Conduct(hang_up="after"))
            sent = [producer.send("orders", b"v", partition=p) for p in range(3)]
            errors = await outcomes(sent)
        assert [(e.topic, e.partition) for e in errors] == [("orders", p) for p in range(3)]
        assert {e.persisted for e in errors} == {"maybe"}

    async def test_what_waited_behind_it_goes_on_although_nothing_is_retried(self) -> None:
        cluster = one_topic(2, 3)
        options = {"acks": 1, "retries": 0, "max_in_flight_requests_per_connection": 1}
        async with running(cluster, **options) as producer:
            await producer.warm_up(["orders"])
            await producer.send("orders", b"warm", partition=1)
            cluster.brokers[1].script.append(Conduct(hang_up="before"))
            lost = producer.send("orders", b"a", partition=0)
            await asyncio.sleep(0.001)
            started = now()
            behind = producer.send("orders", b"b", partition=2)
            await outcomes([lost])
            await behind
            assert now() - started < 2

    async def test_a_request_timeout_ends_the_connection_and_the_next_one_delivers(self) -> None:
        cluster = one_topic()
        async with running(cluster, request_timeout_ms=1000) as producer:
            await producer.send("orders", b"0")
            connections = cluster.brokers[1].connections
            cluster.brokers[1].script.append(Conduct(stall=True))
            started = now()
            await producer.send("orders", b"1")
            assert 1.0 <= now() - started < 2.0
            assert cluster.brokers[1].connections == connections + 1
        assert cluster.topics["orders"].partitions[0].values == [b"0", b"1"]

    async def test_an_idle_connection_is_closed_and_made_again(self) -> None:
        cluster = one_topic()
        async with running(cluster, connections_max_idle_ms=60_000) as producer:
            await producer.send("orders", b"0")
            await asyncio.sleep(59)
            assert cluster.open_sessions >= 1
            await asyncio.sleep(62)
            assert cluster.open_sessions == 0
            await producer.send("orders", b"1")
            assert cluster.open_sessions == 1

    async def test_a_busy_one_is_not(self) -> None:
        cluster = one_topic()
        options = {"connections_max_idle_ms": 1000, "request_timeout_ms": 30_000}
        async with running(cluster, **options) as producer:
            await producer.send("orders", b"0")
            connections = cluster.brokers[1].connections
            cluster.brokers[1].script.append(Conduct(delay=20))
            await producer.send("orders", b"1")
            assert cluster.brokers[1].connections == connections

    async def test_minus_one_means_never_idle(self) -> None:
        cluster = one_topic()
        async with running(cluster, connections_max_idle_ms=-1) as producer:
            await producer.send("orders", b"0")
            connections = cluster.brokers[1].connections
            await asyncio.sleep(100_000)
            await producer.send("orders", b"1")
            assert cluster.brokers[1].connections == connections

    async def test_a_broker_that_moved_to_another_port_is_followed(self) -> None:
        cluster = one_topic(2, 2)
        async with running(cluster, metadata_max_age_ms=500) as producer:
            await producer.send("orders", b"a", partition=0)
            cluster.brokers[1].stop()
            delivery = producer.send("orders", b"b", partition=0)
            await asyncio.sleep(3)
            cluster.brokers[1].port = 9093
            cluster.brokers[1].start()
            await delivery
        assert cluster.topics["orders"].partitions[0].values == [b"a", b"b"]


class TestThrottling:
    """The broker may ask for a pause: nothing is sent, everything is read (KIP-219)."""

    async def test_sending_pauses(self) -> None:
        cluster = one_topic()
        async with running(cluster) as producer:
            await producer.send("orders", b"0")
            cluster.brokers[1].script.append(Conduct(throttle_ms=5000))
            await producer.send("orders", b"1")
            started = now()
            await producer.send("orders", b"2")
            assert 4.9 <= now() - started < 5.2
            assert producer.metrics().throttle_time_total_ms == 5000

    async def test_answers_are_still_read(self) -> None:
        cluster = one_topic(partitions=2)
        async with running(cluster) as producer:
            for partition in (0, 1):
                await producer.send("orders", b"0", partition=partition)
            cluster.brokers[1].script.extend([Conduct(throttle_ms=60_000), Conduct(delay=0.5)])
            first = producer.send("orders", b"1", partition=0)
            await asyncio.sleep(0.001)
            second = producer.send("orders", b"2", partition=1)
            started = now()
            await asyncio.gather(first, second)
            assert now() - started < 1

    async def test_other_brokers_are_not_concerned(self) -> None:
        cluster = one_topic(2, 2)
        async with running(cluster) as producer:
            for partition in (0, 1):
                await producer.send("orders", b"0", partition=partition)
            cluster.brokers[1].script.append(Conduct(throttle_ms=60_000))
            await producer.send("orders", b"1", partition=0)
            started = now()
            await producer.send("orders", b"2", partition=1)
            assert now() - started < 1

    async def test_a_metadata_answer_can_ask_for_it_as_well(self) -> None:
        cluster = one_topic()
        async with running(cluster, metadata_max_age_ms=1000) as producer:
            await producer.send("orders", b"0")
            # By now no connection is left but that to the leader.
            await asyncio.sleep(2.5)
            script = cluster.brokers[1].scripts.setdefault(ApiKey.METADATA, _deque())
            script.append(Conduct(throttle_ms=3000))
            cluster.add_topic("others")
            started = now()
            await producer.send("others", b"1")
            assert 2.9 <= now() - started < 3.2

    async def test_requests_for_a_transaction_wait_as_well(self) -> None:
        cluster = one_topic()
        async with running(cluster, transactional_id="x") as producer:
            async with producer.transaction() as tx:
                tx.send("orders", b"0")
            await asyncio.sleep(1)
            producer.begin_transaction()
            cluster.brokers[1].scripts[ApiKey.PRODUCE] = _deque()
            cluster.brokers[1].scripts[ApiKey.PRODUCE].append(Conduct(throttle_ms=4000))
            await producer.send("orders", b"1")
            started = now()
            await producer.commit_transaction()
            assert 3.9 <= now() - started < 4.2

    async def test_what_any_broker_can_tell_is_asked_of_one_that_is_not_throttled(self) -> None:
        cluster = one_topic(2, 2)
        async with running(cluster) as producer:
            for partition in (0, 1):
                await producer.send("orders", b"0", partition=partition)
            cluster.brokers[1].script.append(Conduct(throttle_ms=60_000))
            await producer.send("orders", b"1", partition=0)
            cluster.add_topic("others")
            started = now()
            await producer.partitions_for("others")
            assert now() - started < 1

    async def test_requests_that_a_pause_found_on_their_way_have_time_after_it(self) -> None:
        """A broker that throttles does not read on before the pause is over."""
        cluster = one_topic(partitions=2)
        async with running(cluster) as producer:
            for partition in (0, 1):
                await producer.send("orders", b"0", partition=partition)
            broker = cluster.brokers[1]
            connections = broker.connections
            broker.script.extend([Conduct(throttle_ms=50_000), Conduct(held=50)])
            first = producer.send("orders", b"1", partition=0)
            await asyncio.sleep(0.001)
            second = producer.send("orders", b"2", partition=1)
            await asyncio.gather(first, second)
            assert broker.connections == connections

    async def test_a_pause_ends_with_its_connection(self) -> None:
        cluster = one_topic()
        async with running(cluster) as producer:
            await producer.send("orders", b"0")
            broker = cluster.brokers[1]
            broker.script.append(Conduct(throttle_ms=60_000))
            await producer.send("orders", b"1")
            waiting = producer.send("orders", b"2")
            await asyncio.sleep(1)
            broker.script.append(Conduct(throttle_ms=1000))
            broker.hang_up()
            await waiting
            started = now()
            await producer.send("orders", b"3")
            assert now() - started < 2

    async def test_nobody_waits_for_its_end_on_a_connection_that_is_over(self) -> None:
        cluster = one_topic()
        async with running(cluster) as producer:
            await producer.send("orders", b"0")
            broker = cluster.brokers[1]
            broker.script.append(Conduct(throttle_ms=50_000))
            await producer.send("orders", b"1")
            cluster.add_topic("others")
            started = now()
            asked = asyncio.create_task(producer.partitions_for("others"))
            await asyncio.sleep(1)
            broker.hang_up()
            assert len(await asked) == 1
            assert now() - started < 5

    async def test_who_waited_for_its_end_does_not_break_into_a_login(self) -> None:
        cluster = one_topic()
        cluster.sasl = FakeSasl(lifetime_ms=10_000_000)
        options = {"delivery_timeout_ms": 5_000_000, "request_timeout_ms": 4_000_000}
        login = {
            "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
            "sasl_username": "alice", "sasl_password": "s3cret",
        }  # fmt: skip
        async with running(
            cluster, connections_max_idle_ms=-1, metadata_max_age_ms=10**8, **options, **login
        ) as producer:
            await producer.send("orders", b"0")
            broker = cluster.brokers[1]
            await asyncio.sleep(8400)
            # The pause ends amid the renewal, which begins after 85 to 95 % of the lifetime.
            broker.scripts[ApiKey.SASL_HANDSHAKE] = collections.deque([Conduct(delay=1100)])
            broker.script.append(Conduct(throttle_ms=1_150_000))
            await producer.send("orders", b"1")
            connections, logins = broker.connections, len(cluster.sasl.handshakes)
            cluster.add_topic("others")
            assert len(await producer.partitions_for("others", timeout=5000)) == 1
            assert len(cluster.sasl.handshakes) == logins + 1
            assert broker.connections == connections


def _deque() -> Any:
    return collections.deque()


class TestWriting:
    """At most one write for each broker and turn of the loop."""

    async def test_what_is_ready_in_one_turn_is_written_at_once(self) -> None:
        cluster = one_topic()
        async with running(cluster, batch_size=1, max_request_size=1024) as producer:
            await producer.send("orders", b"first")
            sessions = list(cluster.brokers[1].sessions)
            before = sum(session.transport.writes for session in sessions)
            await asyncio.gather(*[producer.send("orders", b"%d" % n) for n in range(5)])
            assert sum(session.transport.writes for session in sessions) == before + 1
        assert produced(cluster.brokers[1])[1:] == [[b"%d" % n] for n in range(5)]

    async def test_after_half_a_megabyte_the_loop_has_a_turn(self) -> None:
        """However many requests there is room for: to make and to copy them takes its time."""
        cluster = one_topic()
        async with running(cluster, batch_size=1, max_request_size=1_000_000) as producer:
            await producer.send("orders", b"first")
            sessions = list(cluster.brokers[1].sessions)
            before = sum(session.transport.writes for session in sessions)
            values = [bytes([n]) * 300_000 for n in range(5)]
            await asyncio.gather(*[producer.send("orders", value) for value in values])
            assert sum(session.transport.writes for session in sessions) == before + 3
        assert produced(cluster.brokers[1])[1:] == [[value] for value in values]

    async def test_old_brokers_are_spoken_to_in_their_version(self) -> None:
        cluster = FakeCluster(versions=KAFKA_2_1)
        cluster.add_topic("orders")
        async with running(cluster) as producer:
            await producer.send("orders", b"0")
        versions = {(r.api, r.version) for _, r in cluster.brokers[1].requests}
        assert (ApiKey.PRODUCE, 7) in versions
        assert (ApiKey.METADATA, 7) in versions

    async def test_with_a_topic_id_that_is_not_known_the_name_is_sent(self) -> None:
        """Some brokers speak Produce 13 but no Metadata that tells ids."""
        versions = dict(FakeCluster().versions)
        versions[ApiKey.METADATA] = versions[ApiKey.METADATA]._replace(maximum=9)
        cluster = FakeCluster(versions=versions)
        cluster.add_topic("orders")
        async with running(cluster) as producer:
            await producer.send("orders", b"0")
        used = {r.version for _, r in cluster.brokers[1].produce_requests()}
        assert used == {12}

    async def test_a_broker_without_a_produce_version_in_common_fails_its_records(self) -> None:
        versions = dict(FakeCluster().versions)
        cluster = one_topic(2, 2)
        versions[ApiKey.PRODUCE] = versions[ApiKey.PRODUCE]._replace(minimum=14, maximum=20)
        cluster.brokers[1].versions = versions
        options: dict[str, Any] = {"delivery_timeout_ms": 5000, "request_timeout_ms": 1000}
        async with running(cluster, **options) as producer:
            await producer.send("orders", b"fine", partition=1)
            with pytest.raises(Exception, match=r"Produce|not delivered") as caught:
                await producer.send("orders", b"v", partition=0)
            assert not isinstance(caught.value, DeliveryTimeoutError)


async def test_engine_counts_requests_in_flight() -> None:
    cluster = one_topic(latency=1.0)
    async with running(cluster) as producer:
        await producer.warm_up(["orders"])
        await asyncio.sleep(5)
        delivery = producer.send("orders", b"v")
        await asyncio.sleep(0.1)
        assert engine_of(producer).cluster.brokers.requests_in_flight() == 1
        assert producer.metrics().requests_in_flight == 1
        await delivery
        assert producer.metrics().requests_in_flight == 0
