"""Logging in on new connections, renewing the login on live ones, and who fails when refused."""

from __future__ import annotations

import asyncio
import collections
import itertools
import ssl
from typing import Any

import pytest

from aioproducer import AuthenticationError, Credentials, ProducerError
from aioproducer.wire.versions import ApiKey, VersionRange
from tests.fake_broker import KAFKA_4, Conduct, FakeBroker, FakeCluster
from tests.fake_sasl import FakeSasl, Refusal
from tests.runtime.world import engine_of, now, outcomes, running, values_of
from tests.virtual_clock import VirtualClockLoop

LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "alice",
    "sasl_password": "s3cret",
}


def guarded(nodes: int = 1, partitions: int = 1, **sasl: Any) -> tuple[FakeCluster, FakeSasl]:
    cluster = FakeCluster(nodes)
    cluster.add_topic("orders", partitions)
    cluster.sasl = FakeSasl(**sasl)
    return cluster, cluster.sasl


def refuse(token: bytes) -> Refusal:
    return Refusal("wrong password")


# Refusals


async def test_a_refused_login_fails_what_waits_at_once_and_not_again_and_again() -> None:
    cluster, sasl = guarded(judge=refuse)
    async with running(cluster, **LOGIN) as producer:
        started = now()
        results = await outcomes([producer.send("orders", b"%d" % n) for n in range(100)])
        assert now() - started < 0.1
        assert {type(result) for result in results} == {AuthenticationError}
        knocks = len(sasl.handshakes)
        assert knocks <= 2
        # Nobody wants in, so nobody knocks: accounts are locked for less.
        await asyncio.sleep(3600)
        assert len(sasl.handshakes) <= knocks + 2


async def test_callers_that_wait_for_metadata_fail_at_once_too() -> None:
    cluster, _ = guarded(judge=refuse)
    async with running(cluster, **LOGIN) as producer:
        started = now()
        for call in (producer.partitions_for("orders"), producer.warm_up(["orders"])):
            with pytest.raises(AuthenticationError):
                await call
        assert now() - started < 5


async def test_later_records_try_again_and_new_credentials_let_them_in() -> None:
    cluster, sasl = guarded()
    password = "old"

    async def provider() -> Credentials:
        return Credentials("alice", password)

    sasl.judge = lambda token: b"" if token.endswith(b"new") else Refusal("wrong password")
    options = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    async with running(cluster, credentials_provider=provider, **options) as producer:
        with pytest.raises(AuthenticationError):
            await producer.send("orders", b"1")
        with pytest.raises(AuthenticationError):
            await producer.send("orders", b"2")
        password = "new"
        await producer.send("orders", b"3")
    assert values_of(cluster, "orders") == [b"3"]


async def test_after_a_refusal_that_passed_the_metadata_grows_old_and_is_renewed_again() -> None:
    """Records of known topics let the producer in again; new partitions must not stay unknown."""
    cluster, sasl = guarded()
    async with running(cluster, metadata_max_age_ms=10_000, **LOGIN) as producer:
        await producer.send("orders", b"1")
        sasl.judge = refuse
        cluster.brokers[1].hang_up()
        await asyncio.sleep(60)
        sasl.judge = lambda token: b""
        await producer.send("orders", b"2")
        cluster.add_partition("orders")
        await asyncio.sleep(25)
        assert len(engine_of(producer).cluster.view.topics["orders"].partitions) == 2


async def test_a_broker_that_knows_no_end_of_sessions_is_logged_in_to_once() -> None:
    """SaslAuthenticate v0, before Kafka 2.2."""
    cluster, sasl = guarded()
    cluster.brokers[1].versions = {**KAFKA_4, ApiKey.SASL_AUTHENTICATE: VersionRange(0, 0)}
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"1")
        logins = len(sasl.handshakes)
        await asyncio.sleep(60)
        await producer.send("orders", b"2")
        assert len(sasl.handshakes) == logins


async def test_records_sent_all_the_time_do_not_make_a_storm() -> None:
    cluster, sasl = guarded(judge=refuse)
    async with running(cluster, **LOGIN) as producer:
        for _ in range(1000):
            producer.send("orders", b"v").add_done_callback(lambda d: d.exception())
            await asyncio.sleep(0.01)
        # Ten seconds: the waits between attempts have grown to about one.
        assert len(sasl.handshakes) < 60


async def test_a_transactional_producer_that_is_refused_does_not_start() -> None:
    cluster, _ = guarded(judge=refuse)
    started = now()
    with pytest.raises(AuthenticationError, match="wrong password"):
        async with running(cluster, transactional_id="payments", **LOGIN):
            raise AssertionError
    assert now() - started < 1
    await asyncio.sleep(1)
    assert not cluster.open_sessions


async def test_one_broker_that_refuses_fails_its_own_partitions_only() -> None:
    cluster, sasl = guarded(nodes=2, partitions=2)

    def conduct(broker: FakeBroker, request: Any) -> Conduct | None:
        sasl.judge = refuse if broker.node_id == 2 else (lambda token: b"")
        return None

    cluster.chooser = conduct
    bootstrap = cluster.bootstrap[0]
    async with running(cluster, bootstrap=bootstrap, **LOGIN) as producer:
        good = producer.send("orders", b"1", partition=0)
        bad = producer.send("orders", b"2", partition=1)
        with pytest.raises(AuthenticationError, match="broker-2:9092"):
            await bad
        await good
    assert values_of(cluster, "orders", 0) == [b"1"]


async def test_a_password_of_two_spellings_gets_a_second_attempt_at_once() -> None:
    """SCRAM with a broker that knows the spelling of RFC 5802: the first record is not lost."""
    seen: list[bytes] = []

    def judge(token: bytes) -> bytes | Refusal:
        seen.append(token)
        return Refusal("unknown")

    cluster, _ = guarded(judge=judge, mechanisms=("SCRAM-SHA-256",))
    options = {**LOGIN, "sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "\u2168"}
    async with running(cluster, **options) as producer:
        with pytest.raises(AuthenticationError):
            await producer.send("orders", b"v")
    assert {token.split(b",")[2] for token in seen} == {b"n=IX", "n=\u2168".encode()}


async def test_two_brokers_that_refuse_a_spelling_at_once_are_both_offered_the_other() -> None:
    seen: list[bytes] = []

    def judge(token: bytes) -> bytes | Refusal:
        seen.append(token)
        return Refusal("unknown")

    cluster, _ = guarded(nodes=2, judge=judge, mechanisms=("SCRAM-SHA-256",))
    options = {**LOGIN, "sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "\u2168"}
    async with running(cluster, **options) as producer:
        with pytest.raises(AuthenticationError):
            await producer.send("orders", b"v")
    names = [token.split(b",")[2] for token in seen]
    assert names.count(b"n=IX") == names.count("n=\u2168".encode()) == 2


async def test_a_connection_that_is_lost_during_the_login_is_tried_again() -> None:
    cluster, _ = guarded()
    cluster.brokers[1].scripts[ApiKey.SASL_AUTHENTICATE] = _hang_ups(3)
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"v")


def _hang_ups(count: int) -> Any:
    return collections.deque([Conduct(hang_up="before") for _ in range(count)])


@pytest.mark.parametrize(
    "failure", [ssl.SSLEOFError(8, "EOF occurred"), ConnectionResetError(104, "reset")]
)
async def test_a_tls_handshake_that_is_cut_off_is_guessed_at_and_tried_again(
    failure: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker without TLS hangs up on the first bytes, and so does one that is just ending."""
    cluster = FakeCluster()
    cluster.add_topic("orders")
    connect = VirtualClockLoop.create_connection
    failures = 3

    async def cut_off(loop: Any, factory: Any, **options: Any) -> Any:
        nonlocal failures
        assert options.pop("ssl") is not None
        assert options.pop("server_hostname") == "broker-1"
        if failures:
            failures -= 1
            raise failure
        return await connect(loop, factory, **options)

    monkeypatch.setattr(VirtualClockLoop, "create_connection", cut_off)
    async with running(cluster, security_protocol="SSL") as producer:
        delivery = producer.send("orders", b"v")
        await asyncio.sleep(0.03)
        trouble = engine_of(producer).cluster.trouble()
        assert "is the listener one without TLS?" in str(trouble)
        await delivery


async def test_a_producer_can_be_closed_while_its_credentials_are_awaited() -> None:
    cluster, _ = guarded()

    async def provider() -> Credentials:
        await asyncio.sleep(10**9)
        raise AssertionError

    options = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    async with running(cluster, credentials_provider=provider, **options) as producer:
        delivery = producer.send("orders", b"v")
        await asyncio.sleep(1)
        started = now()
        await producer.close(timeout=2)
        assert now() - started < 3
        assert isinstance(delivery.exception(), ProducerError)


async def test_a_producer_can_be_closed_in_the_middle_of_a_renewal() -> None:
    cluster, _ = guarded(lifetime_ms=10_000)
    cluster.latency = lambda: 0.5
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"1")
        connection = next(
            manager._connection
            for node, manager in engine_of(producer).cluster.managers().items()
            if node > 0
        )
        assert connection is not None
        while not connection.is_held:
            await asyncio.sleep(0.1)
        await producer.close(timeout=5)


# Renewal (KIP-368)


async def test_the_login_is_renewed_on_the_live_connection_in_time() -> None:
    cluster, sasl = guarded(lifetime_ms=10_000)
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"first")
        connections = cluster.brokers[1].connections
        for n in range(300):
            await producer.send("orders", b"%d" % n)
            await asyncio.sleep(0.2)
        assert cluster.brokers[1].connections == connections
        metrics = producer.metrics()
        assert metrics.successful_authentication_total == connections
        assert metrics.successful_reauthentication_total >= 5
        assert metrics.reauthentication_latency_max > 0
    times = list(sasl.handshakes)[1:]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps
    assert all(8.5 <= gap <= 9.6 for gap in gaps)
    assert len(values_of(cluster, "orders")) == 301


async def test_nothing_is_lost_doubled_or_reordered_while_it_is_renewed() -> None:
    """A slow broker, requests in flight, and a renewal in their midst, again and again."""
    cluster, sasl = guarded(lifetime_ms=2_000)
    cluster.latency = lambda: 0.05
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"first")
        connections = cluster.brokers[1].connections
        deliveries = []
        for n in range(3000):
            deliveries.append(producer.send("orders", b"%d" % n))
            await asyncio.sleep(0.005)
        await asyncio.gather(*deliveries)
        assert cluster.brokers[1].connections == connections
        assert engine_of(producer).ledger.records_retried == 0
    assert len(sasl.handshakes) > 5
    assert values_of(cluster, "orders") == [b"first", *(b"%d" % n for n in range(3000))]


async def test_a_blocked_loop_does_not_write_after_the_end() -> None:
    """The timers of a loop that stood still fire late; the broker's clock did not stand still."""
    cluster, _ = guarded(lifetime_ms=10_000)
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"1")
        connections = cluster.brokers[1].connections
        loop: Any = asyncio.get_running_loop()
        loop.jump(11.0)
        delivery = producer.send("orders", b"2")
        await delivery
        assert cluster.brokers[1].connections == connections
        assert engine_of(producer).ledger.records_retried == 0


async def test_requests_that_are_no_records_wait_for_the_renewal_too() -> None:
    cluster, _ = guarded(lifetime_ms=1_000)
    cluster.latency = lambda: 0.1
    async with running(cluster, metadata_max_age_ms=50, **LOGIN) as producer:
        await producer.send("orders", b"1")
        connections = cluster.brokers[1].connections
        await asyncio.sleep(20)
        assert cluster.brokers[1].connections == connections


async def test_a_renewal_that_is_refused_ends_the_connection_and_fails_what_comes() -> None:
    cluster, sasl = guarded(lifetime_ms=5_000)
    async with running(cluster, **LOGIN) as producer:
        await producer.send("orders", b"1")
        sasl.judge = refuse
        await asyncio.sleep(6)
        with pytest.raises(AuthenticationError, match="wrong password"):
            await producer.send("orders", b"2")
        assert producer.metrics().failed_reauthentication_total == 1
        assert producer.metrics().failed_authentication_total >= 1
        sasl.judge = lambda token: b""
        await producer.send("orders", b"3")
    assert values_of(cluster, "orders") == [b"1", b"3"]


async def test_credentials_that_cannot_be_had_for_a_while_do_not_end_the_session_early() -> None:
    cluster, _ = guarded(lifetime_ms=60_000)
    failing = False

    async def provider() -> Credentials:
        if failing:
            raise ConnectionRefusedError
        return Credentials("alice", "s3cret")

    options = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    async with running(cluster, credentials_provider=provider, **options) as producer:
        await producer.send("orders", b"1")
        connections = cluster.brokers[1].connections
        failing = True
        await asyncio.sleep(57.5)
        await producer.send("orders", b"2")
        failing = False
        await asyncio.sleep(60)
        await producer.send("orders", b"3")
        assert cluster.brokers[1].connections == connections
        failing = True
        await asyncio.sleep(120)
        late = producer.send("orders", b"4")
        await asyncio.sleep(5)
        assert not late.done()
        failing = False
        await late


async def test_an_idle_connection_is_closed_although_its_login_is_renewed() -> None:
    cluster, sasl = guarded(lifetime_ms=1_000)
    async with running(cluster, connections_max_idle_ms=10_000, **LOGIN) as producer:
        await producer.send("orders", b"1")
        await asyncio.sleep(30)
        assert not cluster.open_sessions
        renewals = len(sasl.handshakes)
        await asyncio.sleep(30)
        assert len(sasl.handshakes) == renewals
        await producer.send("orders", b"2")
