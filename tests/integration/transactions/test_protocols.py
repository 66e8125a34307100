"""Both protocols of one release, the way from one to the other, permissions, and timeouts.

One node of the current release, formatted with transaction.version 1, with an authorizer that
denies what it is told to and a coordinator that looks for overdue transactions often.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from aioproducer import (
    AsyncProducer,
    FatalTransactionError,
    ProducerFencedError,
    TransactionAbortedError,
)
from aioproducer.core.transaction_scope import TransactionProtocol
from aioproducer.errors import (
    GroupAuthorizationFailedError,
    InvalidTransactionTimeoutError,
    MessageTooLargeError,
    ProducerError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)
from aioproducer.testing.admin import connect
from aioproducer.testing.cluster import wait_until
from aioproducer.testing.judge import dump_log
from aioproducer.testing.kraft import KraftCluster
from aioproducer.testing.proxy import Drop, FaultProxy, Frame
from tests.integration.transactions.helpers import (
    hanging_transactions,
    new_id,
    new_producer,
    visible,
    written,
)

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(900)]

ADD_PARTITIONS, ADD_OFFSETS, END_TXN, PRODUCE, INIT_PRODUCER_ID = 24, 25, 26, 0, 22


@pytest.fixture(scope="module")
def cluster() -> Iterator[KraftCluster]:
    with KraftCluster(
        1,
        format_arguments=("--feature", "transaction.version=1"),
        configs={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
            "transaction.max.timeout.ms": "300000",
        },
    ) as started:
        yield started
        assert hanging_transactions(started) == []


@pytest.fixture
def bootstrap(cluster: KraftCluster) -> str:
    return cluster.bootstrap_servers


@pytest.fixture
def name(cluster: KraftCluster) -> str:
    topic = new_id()
    cluster.create_topic(topic)
    return topic


def finalize(cluster: KraftCluster, version: int, direction: str) -> None:
    cluster.run_tool(
        "org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", cluster.bootstrap_servers,
        direction, "--feature", f"transaction.version={version}",
    )  # fmt: skip


def protocol_of(producer: AsyncProducer[bytes, bytes]) -> TransactionProtocol:
    assert producer._engine is not None and producer._engine.transactions is not None
    return producer._engine.transactions.scope.protocol


async def _until_new_producers_follow(bootstrap: str, protocol: TransactionProtocol) -> None:
    while True:
        async with new_producer(bootstrap) as producer:
            if protocol_of(producer) is protocol:
                return


async def _commit_one(producer: AsyncProducer[bytes, bytes], topic: str, value: bytes) -> None:
    async with producer.transaction() as tx:
        tx.send(topic, value)


# The old protocol on a new broker


async def test_the_old_protocol_adds_partitions_and_groups_by_requests_of_their_own(
    cluster: KraftCluster, bootstrap: str, name: str
) -> None:
    async with FaultProxy(bootstrap) as proxy, new_producer(proxy.bootstrap_servers) as producer:
        for number in range(3):
            async with producer.transaction() as tx:
                tx.send(name, b"%d" % number)
                await tx.send_offsets({(name, 0): number}, "group-" + name)
        versions = {frame.api: frame.version for frame in proxy.seen}
        counts = [frame.api for frame in proxy.seen]
    # More while the markers of the transaction before are written.
    assert counts.count(ADD_PARTITIONS) >= 3
    assert counts.count(ADD_OFFSETS) >= 3
    assert versions[ADD_PARTITIONS] == 3
    assert versions[PRODUCE] == 11
    assert versions[END_TXN] == 4
    assert await visible(bootstrap, name) == [b"0", b"1", b"2"]


async def test_a_failed_record_costs_the_old_protocol_a_higher_epoch(
    cluster: KraftCluster, bootstrap: str
) -> None:
    """The broker has a gap in the sequence: InitProducerId after the abort, then all goes on."""
    name = new_id()
    cluster.create_topic(name, 1, None, {"max.message.bytes": "1000"})
    async with new_producer(bootstrap) as producer:
        await _commit_one(producer, name, b"first")
        with pytest.raises(MessageTooLargeError):
            await _commit_one(producer, name, os.urandom(5_000))
        await _commit_one(producer, name, b"second")
        assert await visible(bootstrap, name) == [b"first", b"second"]
    batches = await asyncio.to_thread(dump_log, cluster, name, 0)
    epochs = [batch.producer_epoch for batch in batches if not batch.is_control]
    assert epochs == sorted(epochs)
    assert epochs[1] > epochs[0]


async def test_the_older_instance_is_fenced_under_the_old_protocol(
    bootstrap: str, name: str
) -> None:
    transactional_id = new_id()
    async with new_producer(bootstrap, transactional_id=transactional_id) as older:
        with pytest.raises(ProducerFencedError):
            async with older.transaction() as tx:
                await tx.send(name, b"before")
                async with new_producer(bootstrap, transactional_id=transactional_id) as newer:
                    await _commit_one(newer, name, b"newer")
                zombie = tx.send(name, b"zombie")
                await asyncio.wait([zombie])
                assert isinstance(zombie.exception(), ProducerError)
        assert await visible(bootstrap, name) == [b"newer"]
        assert b"zombie" not in await written(bootstrap, name)


# transaction.timeout.ms


async def _overdue(bootstrap: str, name: str) -> None:
    """The brokers abort what stays open too long; readers go on, the producer is told."""
    async with new_producer(bootstrap, transaction_timeout_ms=3000) as producer:
        producer.begin_transaction()
        await producer.send(name, b"lost")
        # Settled: the brokers ended it, with nobody's help.
        assert await visible(bootstrap, name) == []
        with pytest.raises(FatalTransactionError, match=r"transaction\.timeout\.ms"):
            await producer.commit_transaction()
        with pytest.raises(FatalTransactionError):
            producer.begin_transaction()
    async with new_producer(bootstrap) as producer:
        await _commit_one(producer, name, b"kept")
    assert await visible(bootstrap, name) == [b"kept"]


async def test_a_transaction_open_for_too_long_is_aborted_by_the_brokers(
    bootstrap: str, name: str
) -> None:
    await _overdue(bootstrap, name)


async def test_a_transaction_timeout_that_the_brokers_do_not_allow_is_told_by_start(
    bootstrap: str,
) -> None:
    producer = new_producer(bootstrap, transaction_timeout_ms=300_001)
    with pytest.raises(InvalidTransactionTimeoutError) as caught:
        await producer.start()
    assert caught.value.what_next
    assert producer.state.value == "closed"


# Permissions


@asynccontextmanager
async def denied(bootstrap: str, kind: str, name: str, operation: str) -> AsyncIterator[None]:
    """Deny everybody ``operation`` on a resource for a while."""
    from confluent_kafka.admin import (
        AclBinding,
        AclBindingFilter,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    where = (ResourceType[kind], name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*")
    what = (AclOperation[operation], AclPermissionType.DENY)
    client = connect(bootstrap)

    def add() -> None:
        for done in client.create_acls([AclBinding(*where, *what)]).values():
            done.result()

    def remove() -> None:
        for done in client.delete_acls([AclBindingFilter(*where, *what)]).values():
            done.result()

    def is_known() -> bool:
        # The one node answers from what it decides by.
        return bool(client.describe_acls(AclBindingFilter(*where, *what)).result())

    await asyncio.to_thread(add)
    await asyncio.to_thread(wait_until, is_known, 120, "the node knows of it")
    try:
        yield
    finally:
        await asyncio.to_thread(remove)
        await asyncio.to_thread(
            wait_until, lambda: not is_known(), 120, "the node knows of it no more"
        )


async def _topic_is_denied(bootstrap: str, name: str, open_topic: str) -> None:
    async with new_producer(bootstrap) as producer:
        async with denied(bootstrap, "TOPIC", name, "WRITE"):
            with pytest.raises(TopicAuthorizationFailedError) as caught:
                async with producer.transaction() as tx:
                    innocent = tx.send(open_topic, b"innocent")
                    guilty = tx.send(name, b"guilty")
            assert "Abort" in caught.value.what_next
            assert isinstance(
                guilty.exception(), (TopicAuthorizationFailedError, TransactionAbortedError)
            )
            error = innocent.exception()
            assert error is None or isinstance(error, TransactionAbortedError)
            # Other topics may be written meanwhile.
            await _commit_one(producer, open_topic, b"kept")
        await _commit_one(producer, name, b"allowed now")
    assert await visible(bootstrap, open_topic) == [b"kept"]
    assert await visible(bootstrap, name) == [b"allowed now"]


async def test_a_topic_that_may_not_be_written_fails_the_commit(
    cluster: KraftCluster, bootstrap: str, name: str
) -> None:
    other = new_id()
    cluster.create_topic(other)
    await _topic_is_denied(bootstrap, name, other)


async def test_a_transaction_whose_only_topic_is_denied_was_never_open(
    bootstrap: str, name: str
) -> None:
    """The brokers know of nothing to be ended, and would take the wish for an error."""
    async with new_producer(bootstrap) as producer:
        async with denied(bootstrap, "TOPIC", name, "WRITE"):
            with pytest.raises(TopicAuthorizationFailedError):
                await _commit_one(producer, name, b"denied")
        await _commit_one(producer, name, b"kept")
    assert await visible(bootstrap, name) == [b"kept"]


async def test_an_abort_before_the_first_partition_was_added_ends_well(
    bootstrap: str, name: str
) -> None:
    """The request that would have opened the transaction never arrives; nobody knows that."""
    lost: list[Frame] = []

    def lose(frame: Frame) -> None:
        if frame.api == ADD_PARTITIONS and not lost:
            lost.append(frame)
            raise Drop

    async with (
        FaultProxy(bootstrap) as proxy,
        new_producer(proxy.bootstrap_servers, request_timeout_ms=2000) as producer,
    ):
        await _commit_one(producer, name, b"first")
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction() as tx:
                proxy.on_request = lose
                tx.send(name, b"lost")
                async with asyncio.timeout(120):
                    while not lost:
                        await asyncio.sleep(0.01)
                raise ZeroDivisionError
        await _commit_one(producer, name, b"second")
    assert await visible(bootstrap, name) == [b"first", b"second"]


async def test_a_group_that_may_not_be_read_fails_the_commit(bootstrap: str, name: str) -> None:
    group = "group-" + name
    async with new_producer(bootstrap) as producer:
        async with denied(bootstrap, "GROUP", group, "READ"):
            with pytest.raises(GroupAuthorizationFailedError):
                async with producer.transaction() as tx:
                    tx.send(name, b"lost")
                    await tx.send_offsets({(name, 0): 1}, group)
        async with producer.transaction() as tx:
            tx.send(name, b"kept")
            await tx.send_offsets({(name, 0): 1}, group)
    assert await visible(bootstrap, name) == [b"kept"]


async def test_a_transactional_id_that_may_not_be_used_is_told_at_once(
    bootstrap: str, name: str
) -> None:
    """init_transactions() can be called again once the permission is there."""
    transactional_id = new_id()
    producer = new_producer(bootstrap, transactional_id=transactional_id)
    await producer.start(initialize=False)
    try:
        async with denied(bootstrap, "TRANSACTIONAL_ID", transactional_id, "WRITE"):
            for _ in range(2):
                with pytest.raises(TransactionalIdAuthorizationFailedError):
                    await producer.init_transactions()
        await producer.init_transactions()
        await _commit_one(producer, name, b"kept")
    finally:
        await producer.close()
    assert await visible(bootstrap, name) == [b"kept"]


# From one protocol to the other


async def test_the_protocol_follows_the_cluster_between_transactions(
    cluster: KraftCluster, bootstrap: str, name: str
) -> None:
    """Upgraded and downgraded while the producer lives: never inside a transaction, epochs rise."""
    seen = []
    async with (
        FaultProxy(bootstrap) as proxy,
        new_producer(proxy.bootstrap_servers, metadata_max_age_ms=100) as producer,
    ):
        for version, direction in ((1, ""), (2, "upgrade"), (1, "downgrade")):
            if direction:
                producer.begin_transaction()
                before = protocol_of(producer)
                await producer.send(name, b"across, before " + direction.encode())
                await asyncio.to_thread(finalize, cluster, version, direction)
                # Even a connection that was made afterwards changes nothing within it.
                proxy.cut_all()
                await producer.send(name, b"across, after " + direction.encode())
                assert protocol_of(producer) is before
                await producer.commit_transaction()
            async with asyncio.timeout(240):
                while protocol_of(producer).value != version:
                    await _commit_one(producer, name, b"on the way")
                    await asyncio.sleep(0.05)
            proxy.seen.clear()
            for number in range(3):
                await _commit_one(producer, name, b"%d under %d" % (number, version))
            seen.append({f.api: f.version for f in proxy.seen if f.api != 3})
    assert [versions[END_TXN] for versions in seen] == [4, 5, 4]
    assert [ADD_PARTITIONS in versions for versions in seen] == [True, False, True]
    assert [versions[PRODUCE] >= 12 for versions in seen] == [False, True, False]
    found = [value for value in await visible(bootstrap, name) if value != b"on the way"]
    assert found == [
        b"0 under 1", b"1 under 1", b"2 under 1",
        b"across, before upgrade", b"across, after upgrade",
        b"0 under 2", b"1 under 2", b"2 under 2",
        b"across, before downgrade", b"across, after downgrade",
        b"0 under 1", b"1 under 1", b"2 under 1",
    ]  # fmt: skip
    batches = await asyncio.to_thread(dump_log, cluster, name, 0)
    epochs = [batch.producer_epoch for batch in batches]
    assert epochs == sorted(epochs)


async def test_the_new_protocol_keeps_every_promise_of_the_old_one_on_the_same_node(
    cluster: KraftCluster, bootstrap: str, name: str
) -> None:
    """Timeouts and permissions under transaction.version 2."""
    other, overdue = new_id(), new_id()
    cluster.create_topic(other)
    cluster.create_topic(overdue)
    await asyncio.to_thread(finalize, cluster, 2, "upgrade")
    try:
        async with asyncio.timeout(120):
            await _until_new_producers_follow(bootstrap, TransactionProtocol.V2)
        await _topic_is_denied(bootstrap, name, other)
        await _overdue(bootstrap, overdue)
    finally:
        await asyncio.to_thread(finalize, cluster, 1, "downgrade")
