"""What shows once the cluster has been asked."""

from __future__ import annotations

from collections.abc import Iterator

from aioproducer.doctor.facts import Setup, TopicFacts
from aioproducer.doctor.report import Finding, Severity
from aioproducer.errors import broker_error
from aioproducer.wire.error_codes import ErrorCode

FEWEST_REPLICAS = 3
LIVE_S = 60.0
"""A producer that wrote this recently counts as alive."""


def _usable(setup: Setup) -> Iterator[TopicFacts]:
    return (topic for topic in setup.topics if not topic.metadata.error_code)


def topic_missing(setup: Setup) -> Iterator[Finding]:
    for topic in setup.topics:
        if topic.metadata.error_code != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            continue
        created = (setup.broker_settings or {}).get("auto.create.topics.enable") == "true"
        created = created and setup.config.allow_auto_create_topics
        partitions = setup.broker_number("num.partitions")
        yield Finding(
            name="topic-missing",
            severity=Severity.WARNING if created else Severity.ERROR,
            topic=topic.name,
            symptom="The first send creates the topic, with the brokers' defaults."
            if created
            else "Sends wait for max.block.ms and fail with MetadataTimeoutError.",
            cause="The topic does not exist"
            + (f"; brokers create it with {partitions} partition(s)." if created else "."),
            remedy="Create it, with the partitions and replicas that it shall have, or mend its"
            " name.",
        )


def topic_unauthorized(setup: Setup) -> Iterator[Finding]:
    for topic in setup.topics:
        hidden = topic.metadata.error_code == ErrorCode.TOPIC_AUTHORIZATION_FAILED
        if not hidden and topic.may_write is not False:
            continue
        right = "DESCRIBE" if hidden else "WRITE"
        yield Finding(
            name="topic-unauthorized",
            severity=Severity.ERROR,
            topic=topic.name,
            symptom="Every send fails with TopicAuthorizationFailedError.",
            cause=f"This client's principal has no {right} on the topic.",
            remedy="Have an ACL added that allows WRITE (it includes DESCRIBE) on the topic.",
        )


def topic_unusable(setup: Setup) -> Iterator[Finding]:
    """Look for any other error of a topic, and for partitions that take nothing at present."""
    known = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    for topic in setup.topics:
        code = topic.metadata.error_code
        if code and code not in known:
            yield _unusable(topic, f"The brokers say of it: {broker_error(code)}.")
    for topic in _usable(setup):
        headless = [str(p.partition_index) for p in topic.metadata.partitions if p.leader_id < 0]
        if headless:
            yield _unusable(topic, f"Partitions without a leader: {', '.join(headless)}.")
        needed = topic.number("min.insync.replicas")
        if needed is None or setup.config.acks != -1:
            continue
        short = [
            str(p.partition_index)
            for p in topic.metadata.partitions
            if p.leader_id >= 0 and len(p.isr_nodes) < needed
        ]
        if short:
            yield _unusable(
                topic,
                f"Partitions with fewer replicas in sync than min.insync.replicas={needed}:"
                f" {', '.join(short)}.",
            )


def _unusable(topic: TopicFacts, cause: str) -> Finding:
    return Finding(
        name="topic-unusable",
        severity=Severity.ERROR,
        topic=topic.name,
        symptom="Sends wait, and fail after delivery.timeout.ms.",
        cause=cause,
        remedy="Bring the brokers back, or mend the topic; with more brokers down than the topic's"
        " replication allows for, no setting of the producer helps.",
    )


def min_insync_1(setup: Setup) -> Iterator[Finding]:
    if setup.config.acks != -1:
        return
    for topic in _usable(setup):
        if topic.number("min.insync.replicas") == 1:
            yield Finding(
                name="min-insync-1",
                severity=Severity.WARNING,
                topic=topic.name,
                symptom="Acknowledged records vanish, although acks=all.",
                cause="min.insync.replicas=1: all replicas in sync may be the leader alone, and"
                " then acks=all is acks=1.",
                remedy="Set min.insync.replicas=2 on the topic, with a replication factor of 3.",
            )


def low_replication(setup: Setup) -> Iterator[Finding]:
    for topic in _usable(setup):
        factor = topic.replication
        if 0 < factor < FEWEST_REPLICAS:
            yield Finding(
                name="low-replication",
                severity=Severity.WARNING,
                topic=topic.name,
                symptom="One broker down makes partitions unavailable, or the next one loses what"
                " was acknowledged.",
                cause=f"The replication factor is {factor}, below {FEWEST_REPLICAS}"
                + (f"; the cluster has {setup.brokers} broker(s)." if setup.brokers < 3 else "."),
                remedy="Reassign the topic's partitions to three replicas each.",
            )


def no_replica_to_spare(setup: Setup) -> Iterator[Finding]:
    if setup.config.acks != -1:
        return
    for topic in _usable(setup):
        needed, factor = topic.number("min.insync.replicas"), topic.replication
        if needed is None or factor == 0 or needed < factor or needed == 1:
            continue
        never = needed > factor
        yield Finding(
            name="no-replica-to-spare",
            severity=Severity.ERROR if never else Severity.WARNING,
            topic=topic.name,
            symptom="Every send fails with NotEnoughReplicasError."
            if never
            else "Every restart of a broker stops sends with acks=all until it is back.",
            cause=f"min.insync.replicas={needed} with a replication factor of {factor}.",
            remedy="Set min.insync.replicas to one less than the replication factor.",
        )


def request_above_limit(setup: Setup) -> Iterator[Finding]:
    ours = setup.config.max_request_size
    for topic in _usable(setup):
        limit = topic.number("max.message.bytes")
        # A batch of one record that max.request.size just admits has this header besides.
        if limit is not None and ours > limit:
            yield _too_large(ours, f"the topic's max.message.bytes={limit}", limit, topic.name)
    limit = setup.broker_number("socket.request.max.bytes")
    if limit is not None and ours > limit:
        yield _too_large(ours, f"the brokers' socket.request.max.bytes={limit}", limit, None)


def _too_large(ours: int, what: str, limit: int, topic: str | None) -> Finding:
    return Finding(
        name="request-above-limit",
        severity=Severity.WARNING,
        topic=topic,
        symptom="Large records are taken here and fail later with MessageTooLargeError, or brokers"
        " hang up on large requests.",
        cause=f"max.request.size={ours} is above {what}.",
        remedy=f"Lower max.request.size to {limit}, or raise the limit there (and with it what"
        " consumers and replicas fetch).",
    )


def batch_above_limit(setup: Setup) -> Iterator[Finding]:
    size = setup.config.batch_size
    for topic in _usable(setup):
        limit = topic.number("max.message.bytes")
        if limit is not None and size > limit:
            yield Finding(
                name="batch-above-limit",
                severity=Severity.WARNING,
                topic=topic.name,
                symptom="Full batches are refused, split and sent again: high latency and many"
                " retries under load.",
                cause=f"batch.size={size} is above the topic's max.message.bytes={limit}.",
                remedy=f"Lower batch.size to {limit} or raise max.message.bytes.",
            )


def recompression(setup: Setup) -> Iterator[Finding]:
    ours = setup.config.compression_type
    for topic in _usable(setup):
        theirs = (topic.settings or {}).get("compression.type")
        theirs = "none" if theirs == "uncompressed" else theirs
        if theirs is not None and theirs not in ("producer", ours):
            yield Finding(
                name="recompression",
                severity=Severity.INFO,
                topic=topic.name,
                symptom="High CPU on the brokers.",
                cause=f"compression.type={ours} here and {theirs} on the topic: leaders decompress"
                " and compress every batch anew.",
                remedy=f"Use {theirs} here, or set the topic's compression.type to producer.",
            )


def buffer_below_batches(setup: Setup) -> Iterator[Finding]:
    partitions = sum(len(topic.metadata.partitions) for topic in _usable(setup))
    config = setup.config
    needed = partitions * config.batch_size
    if needed <= config.buffer_memory:
        return
    yield Finding(
        name="buffer-below-batches",
        severity=Severity.WARNING,
        symptom="Batches leave before they are full, and sends wait for memory.",
        cause=f"buffer.memory={config.buffer_memory} is below {partitions} partitions x"
        f" batch.size={config.batch_size} = {needed}.",
        remedy=f"Raise buffer.memory to {2 * needed}, or lower batch.size.",
    )


def transaction_timeout(setup: Setup) -> Iterator[Finding]:
    if setup.config.transactional_id is None:
        return
    ours = setup.config.transaction_timeout_ms
    limit = setup.broker_number("transaction.max.timeout.ms")
    if limit is not None and ours > limit:
        yield Finding(
            name="transaction-timeout",
            severity=Severity.ERROR,
            symptom="start() fails with InvalidTransactionTimeoutError.",
            cause=f"transaction.timeout.ms={ours} is above the brokers'"
            f" transaction.max.timeout.ms={limit}.",
            remedy=f"Lower transaction.timeout.ms to {limit} or less.",
        )


def transactional_id_in_use(setup: Setup) -> Iterator[Finding]:
    facts = setup.transaction
    if facts is None:
        return
    if facts.open_for_s is not None:
        evidence = f"it has a transaction open for {facts.open_for_s:.0f} s ({facts.state})"
    elif facts.wrote_s_ago is not None and facts.wrote_s_ago <= LIVE_S:
        evidence = f"its producer wrote to {facts.where} {facts.wrote_s_ago:.0f} s ago"
    else:
        return
    yield Finding(
        name="transactional-id-in-use",
        severity=Severity.ERROR,
        symptom="One of two producers fails with ProducerFencedError, again and again if both are"
        " restarted.",
        cause=f"The transactional.id {setup.config.transactional_id!r} seems to be in use:"
        f" {evidence}.",
        remedy="Give each instance an id of its own that it keeps over restarts (a pool does:"
        " TransactionalProducerPool), or end the other one first.",
    )


def transactional_id_unauthorized(setup: Setup) -> Iterator[Finding]:
    if setup.transaction is not None and setup.transaction.refused:
        yield Finding(
            name="transactional-id-unauthorized",
            severity=Severity.ERROR,
            symptom="start() fails with TransactionalIdAuthorizationFailedError.",
            cause="This client's principal has no right on the transactional.id"
            f" {setup.config.transactional_id!r}.",
            remedy="Have an ACL added that allows WRITE (it includes DESCRIBE) on the"
            " transactional id, as a prefix for all instances.",
        )
