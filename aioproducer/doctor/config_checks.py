"""What the configuration alone shows."""

from __future__ import annotations

from collections.abc import Iterator

from aioproducer.doctor.facts import Setup
from aioproducer.doctor.report import Finding, Severity

TINY_BATCH = 8192
"""Below this many bytes of batch.size, headers and requests cost more than the records."""

LEAST_HOLD_S = 10.0
"""A leader's death is noticed and mended in about this time; the buffer should last for it."""


def acks_0(setup: Setup) -> Iterator[Finding]:
    if setup.config.acks == 0:
        yield Finding(
            name="acks-0",
            severity=Severity.ERROR,
            symptom="Every send succeeds, with offset -1, while records are lost: whatever the"
            " broker refuses or never gets goes unnoticed.",
            cause="acks=0: the broker is asked for no answer.",
            remedy="Set acks=all (the default), or acks=1 where the loss of some acknowledged"
            " records is bearable.",
        )


def acks_1(setup: Setup) -> Iterator[Finding]:
    if setup.config.acks == 1:
        yield Finding(
            name="acks-1",
            severity=Severity.INFO,
            symptom="Acknowledged records vanish when a leader dies before they were replicated.",
            cause="acks=1: the leader alone answers for a record.",
            remedy="Set acks=all (the default) if no acknowledged record may be lost.",
        )


def retries_without_idempotence(setup: Setup) -> Iterator[Finding]:
    config = setup.config
    # With acks=0 nothing is ever repeated: no answer says that it should be.
    if config.enable_idempotence or config.retries == 0 or config.acks == 0:
        return
    why = "enable.idempotence is off"
    reasons = [notice for notice in config.notices if notice.startswith("enable")]
    yield Finding(
        name="retries-without-idempotence",
        severity=Severity.WARNING,
        symptom="After a timeout or a lost connection some records are in the log twice.",
        cause=f"{why} and retries={config.retries}: a batch whose answer was lost is sent again,"
        " and the broker cannot know it." + (f" ({reasons[0]})" if reasons else ""),
        remedy="Leave enable.idempotence on, with acks=all; it costs nothing that can be measured.",
    )


def reordering(setup: Setup) -> Iterator[Finding]:
    config = setup.config
    in_flight = config.max_in_flight_requests_per_connection
    if config.enable_idempotence or config.partition_ordering or in_flight == 1:
        return
    yield Finding(
        name="reordering",
        severity=Severity.WARNING,
        symptom="Records of one key arrive in another order than they were sent, after a retry.",
        cause=f"{in_flight} requests in flight without idempotence, and partition.ordering is off:"
        " a batch that is sent again comes behind the ones that were sent after it.",
        remedy="Leave enable.idempotence on, or partition.ordering, or set"
        " max.in.flight.requests.per.connection=1.",
    )


def tiny_batches(setup: Setup) -> Iterator[Finding]:
    config = setup.config
    if config.batch_size >= TINY_BATCH:
        return
    yield Finding(
        name="tiny-batches",
        severity=Severity.WARNING,
        symptom="Few records per request, many requests, high CPU here and on the brokers, low"
        " throughput.",
        cause=f"batch.size={config.batch_size}: a batch is full after a few records.",
        remedy="Set batch.size to 16384 (the default) or more; memory is only taken for what is"
        " in a batch.",
    )


def compression_without_batching(setup: Setup) -> Iterator[Finding]:
    config = setup.config
    if config.compression_type == "none":
        return
    small = config.batch_size < TINY_BATCH
    if config.linger_ms and not small:
        return
    reasons = [f"batch.size={config.batch_size}"] if small else []
    reasons += ["linger.ms=0"] if not config.linger_ms else []
    yield Finding(
        name="compression-without-batching",
        severity=Severity.WARNING,
        symptom="A compression ratio near 1:1, for the CPU of real compression.",
        cause=f"compression.type={config.compression_type} with {' and '.join(reasons)}: a codec"
        " finds repetitions within a batch, and these hold few records.",
        remedy="Set linger.ms to 5 or more and batch.size to 16384 or more, or give up compression"
        " where latency is all that counts.",
    )


def no_compression(setup: Setup) -> Iterator[Finding]:
    if setup.config.compression_type == "none":
        yield Finding(
            name="no-compression",
            severity=Severity.INFO,
            symptom="More network and disk than needed, here, between brokers and on them.",
            cause="compression.type=none.",
            remedy="Measure your own records with `aioproducer compress-lab FILE`; lz4 or zstd are"
            " the usual answers for text. Leave it for data that is compressed already.",
        )


def timeouts(setup: Setup) -> Iterator[Finding]:
    for cause, remedy in _wrong_timeouts(setup):
        yield Finding(
            name="timeouts",
            severity=Severity.WARNING,
            symptom="Records fail with DeliveryTimeoutError, or transactions are fenced, in an"
            " outage that a retry would have outlived.",
            cause=cause,
            remedy=remedy,
        )


def _wrong_timeouts(setup: Setup) -> Iterator[tuple[str, str]]:
    config = setup.config
    delivery, request = config.delivery_timeout_ms, config.request_timeout_ms
    if config.retries and delivery < config.linger_ms + 2 * request:
        yield (
            f"delivery.timeout.ms={delivery} is less than linger.ms + 2 x request.timeout.ms ="
            f" {config.linger_ms + 2 * request}: one request without an answer uses up the time,"
            " and no retry is left.",
            "Raise delivery.timeout.ms (120000 by default), or lower request.timeout.ms.",
        )
    if config.retries and config.retry_backoff_ms >= delivery:
        yield (
            f"retry.backoff.ms={config.retry_backoff_ms} is not below"
            f" delivery.timeout.ms={delivery}: the record has expired before the first retry.",
            "Lower retry.backoff.ms (100 by default).",
        )
    if config.transactional_id is not None and config.transaction_timeout_ms <= request:
        yield (
            f"transaction.timeout.ms={config.transaction_timeout_ms} is not above"
            f" request.timeout.ms={request}: brokers abort the transaction while a request of it"
            " still has its time.",
            "Raise transaction.timeout.ms (60000 by default), or lower request.timeout.ms.",
        )
    lag = setup.broker_number("replica.lag.time.max.ms")
    if lag is not None and config.acks == -1 and request < lag:
        yield (
            f"request.timeout.ms={request} is below the brokers' replica.lag.time.max.ms={lag}: a"
            " slow follower makes requests time out before the leader drops it.",
            f"Raise request.timeout.ms to {lag} or more.",
        )


def buffer_for_rate(setup: Setup) -> Iterator[Finding]:
    rate = setup.bytes_per_second
    if not rate or setup.config.buffer_memory / rate >= LEAST_HOLD_S:
        return
    seconds = setup.config.buffer_memory / rate
    yield Finding(
        name="buffer-for-rate",
        severity=Severity.WARNING,
        symptom="Whenever a broker is away, sends wait, and after max.block.ms they fail with"
        " BufferExhaustedError.",
        cause=f"buffer.memory={setup.config.buffer_memory} holds {seconds:.1f} s of"
        f" {rate:,.0f} bytes/s; a new leader may take {LEAST_HOLD_S:g} s.",
        remedy=f"Set buffer.memory to {round(rate * LEAST_HOLD_S)} or more.",
    )


def constant_keys(setup: Setup) -> Iterator[Finding]:
    for topic, counts in (setup.records_per_partition or {}).items():
        total = sum(counts.values())
        largest = max(counts.values(), default=0)
        partitions = max(len(counts), setup.partitions_of(topic))
        if partitions < 2 or total < LEAST_RECORDS or largest < total * ONE_SIDED:
            continue
        index = max(counts, key=lambda each: counts[each])
        yield Finding(
            name="constant-keys",
            severity=Severity.WARNING,
            topic=topic,
            symptom="One partition, one broker and one consumer do all the work; more partitions"
            " change nothing.",
            cause=f"{largest:,} of {total:,} records went to partition {index} of"
            f" {partitions}: their key is always the same, or nearly.",
            remedy="Use a key that differs between records (an id, not a type or a region), or"
            " none at all where order does not matter.",
        )


LEAST_RECORDS = 10_000
"""Fewer say nothing about keys: even without any, a partition keeps a batch or two."""
ONE_SIDED = 0.95
"""The share of one partition of several from which on keys count as constant."""
