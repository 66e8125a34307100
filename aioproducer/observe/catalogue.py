"""Every metric there is, as one table: names, groups, tags, kinds, units, meanings, where from.

The snapshot, the reference page and every exporter read it. Names, groups and meanings are those of
Kafka's producer; ``own`` marks what Kafka has not.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Group(enum.Enum):
    """Kafka's groups, and ours; the value is the name in Kafka's metrics."""

    PRODUCER = "producer-metrics"
    TOPIC = "producer-topic-metrics"
    NODE = "producer-node-metrics"
    COUNT = "kafka-metrics-count"
    APP = "app-info"
    OWN = "producer-asyncio-metrics"
    REGISTERED = "application-metrics"


TAGS = {
    Group.PRODUCER: ("client-id",),
    Group.TOPIC: ("client-id", "topic"),
    Group.NODE: ("client-id", "node-id"),
    Group.COUNT: ("client-id",),
    Group.APP: ("client-id",),
    Group.OWN: ("client-id",),
    Group.REGISTERED: ("client-id",),
}


class Kind(enum.Enum):
    """What sort of figure it is."""

    TOTAL = "total since start"
    RATE = "per second"
    AVERAGE = "average"
    MAXIMUM = "maximum"
    PERCENTILE = "percentile"
    GAUGE = "at this moment"


class Of(enum.Enum):
    """Whose samples a figure is read from."""

    PRODUCER = "producer"
    TOPIC = "topic"
    NODE = "node"
    NODES = "all nodes together"
    MOMENT = "asked for when the snapshot is taken"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    ``source`` are the fields of a sample: one, or what is divided and what it is divided by.
    """

    name: str
    kind: Kind
    unit: str
    doc: str
    group: Group = Group.PRODUCER
    of: Of = Of.PRODUCER
    source: tuple[str, ...] = ()
    own: bool = False

    @property
    def attribute(self) -> str:
        """The name in the snapshot."""
        return self.name.replace("-", "_")

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of its tags."""
        return TAGS[self.group]

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        if self.kind is Kind.GAUGE:
            return self.unit not in ("ms", "s", "ratio") or self.group is Group.APP
        return self.kind is Kind.TOTAL


@dataclass(frozen=True, slots=True)
class Absent:
    """A metric of Kafka's producer that is not here, and why."""

    name: str
    group: Group
    reason: str


def _both(
    name: str,
    field: str,
    unit: str,
    doc: str,
    *,
    group: Group = Group.PRODUCER,
    of: Of = Of.PRODUCER,
    own: bool = False,
) -> tuple[Metric, Metric]:
    rate = Metric(f"{name}-rate", Kind.RATE, unit, f"{doc}, per second.", group, of, (field,), own)
    total = Metric(f"{name}-total", Kind.TOTAL, unit, f"{doc}.", group, of, (field,), own)
    return rate, total


def _spread(
    name: str,
    field: str,
    per: str,
    unit: str,
    doc: str,
    *,
    group: Group = Group.PRODUCER,
    of: Of = Of.PRODUCER,
    own: bool = False,
) -> tuple[Metric, Metric]:
    average = Metric(
        f"{name}-avg", Kind.AVERAGE, unit, f"{doc}: the average.", group, of, (field, per), own
    )
    maximum = Metric(
        f"{name}-max", Kind.MAXIMUM, unit, f"{doc}: the most.", group, of, (f"{field}_max",), own
    )
    return average, maximum


def _time(name: str, field: str, doc: str) -> Metric:
    return Metric(f"{name}-time-ns-total", Kind.TOTAL, "ns", doc, source=(field,))


def _now(name: str, unit: str, doc: str, *, group: Group = Group.PRODUCER) -> Metric:
    return Metric(name, Kind.GAUGE, unit, doc, group, Of.MOMENT, own=group is Group.OWN)


_RECORDS = (
    *_both("record-send", "records_sent", "records", "Records sent to brokers, repetitions too"),
    *_both("record-retry", "records_retried", "records", "Records that went back to be sent again"),
    *_both("record-error", "records_failed", "records", "Records that finally failed"),
    *_spread(
        "batch-size", "batch_bytes", "batches_sent", "bytes",
        "Bytes of a batch on the wire, compressed and with its header",
    ),
    *_both(
        "batch-split", "batches_split", "batches",
        "Batches taken apart because a broker found them too large or refused single records",
    ),
    Metric(
        "compression-rate-avg", Kind.AVERAGE, "ratio",
        "Bytes of batches on the wire divided by their bytes before compression.",
        source=("batch_bytes", "body_bytes"),
    ),
    *_spread(
        "record-queue-time", "queue_time", "first_batches", "ms",
        "Milliseconds from opening a batch until it left for its broker the first time",
    ),
    Metric(
        "records-per-request-avg", Kind.AVERAGE, "records", "Records in one produce request.",
        source=("records_sent", "produce_requests"),
    ),
    Metric(
        "record-size-avg", Kind.AVERAGE, "bytes",
        "Bytes of a record before compression. Kafka's is the average of each batch's largest.",
        source=("record_bytes", "records_first"),
    ),
    Metric(
        "record-size-max", Kind.MAXIMUM, "bytes",
        "Bytes of the largest record before compression: exact for one that fills a batch alone,"
        " else the average of its batch, since nothing is counted for each record.",
        source=("record_size_max",),
    ),
)  # fmt: skip

_MEMORY = (
    _now("buffer-total-bytes", "bytes", "`buffer.memory`."),
    _now("buffer-available-bytes", "bytes", "What of `buffer.memory` no batch holds."),
    *_both(
        "buffer-exhausted", "buffer_exhausted", "records",
        "Records that failed, or were refused, for want of memory",
    ),
    Metric(
        "bufferpool-wait-ratio", Kind.RATE, "ratio",
        "The part of the time in which records waited for memory.", source=("memory_wait",),
    ),
    Metric(
        "bufferpool-wait-time-ns-total", Kind.TOTAL, "ns",
        "Nanoseconds in which records waited for memory; many at once count once.",
        source=("memory_wait",),
    ),
    _now("waiting-threads", "records", "Records that wait for memory. In Kafka they are threads."),
    Metric(
        "metadata-wait-time-ns-total", Kind.TOTAL, "ns",
        "Nanoseconds in which records waited for metadata; many at once count once.",
        source=("metadata_wait",),
    ),
    _time("flush", "flush_time", "Nanoseconds spent in `flush()`, by all its callers."),
)  # fmt: skip

_REQUESTS = (
    *_spread(
        "request-latency", "latency", "produce_answers", "ms",
        "Milliseconds from a produce request to its answer",
    ),
    *_spread(
        "produce-throttle-time", "throttle", "produce_answers", "ms",
        "Milliseconds of pause a broker asked for in an answer to Produce",
    ),
    _now("requests-in-flight", "requests", "Requests that await their answer."),
    _now("metadata-age", "s", "Seconds since the metadata was last refreshed as a whole."),
)  # fmt: skip

_TRANSACTIONS = (
    _time("txn-init", "txn_init", "Nanoseconds spent in `init_transactions()`."),
    _time("txn-begin", "txn_begin", "Nanoseconds spent in `begin_transaction()`."),
    _time("txn-send-offsets", "txn_send_offsets",
          "Nanoseconds spent in `send_offsets_to_transaction()`."),
    _time("txn-commit", "txn_commit", "Nanoseconds spent in `commit_transaction()`."),
    _time("txn-abort", "txn_abort", "Nanoseconds spent in `abort_transaction()`."),
)  # fmt: skip

_CONNECTIONS = (
    _now("connection-count", "connections", "Open connections."),
    *_both("connection-creation", "connections", "connections", "Connections made",
           of=Of.NODES),
    *_both("connection-close", "disconnections", "connections", "Connections that ended",
           of=Of.NODES),
    *_both("successful-authentication", "logins", "logins", "Logins by SASL that succeeded",
           of=Of.NODES),
    *_both("failed-authentication", "failed_logins", "logins", "Logins by SASL that were refused",
           of=Of.NODES),
    *_both("successful-reauthentication", "renewals", "logins",
           "Logins renewed on a live connection", of=Of.NODES),
    *_both("failed-reauthentication", "failed_renewals", "logins",
           "Renewals of a login that were refused", of=Of.NODES),
    *_spread("reauthentication-latency", "renewal_time", "renewals", "ms",
             "Milliseconds that the renewal of a login took", of=Of.NODES),
    *_both("network-io", "operations", "operations", "Reads from and writes to sockets",
           of=Of.NODES),
    *_both("outgoing-byte", "request_bytes", "bytes", "Bytes of requests", of=Of.NODES),
    *_both("incoming-byte", "response_bytes", "bytes", "Bytes read from brokers", of=Of.NODES),
    *_both("request", "requests", "requests", "Requests of any kind", of=Of.NODES),
    *_both("response", "responses", "responses", "Answers of any kind", of=Of.NODES),
    *_spread("request-size", "request_bytes", "requests", "bytes", "Bytes of a request",
             of=Of.NODES),
)  # fmt: skip

_TOPIC = (
    *_both("record-send", "records_sent", "records", "Records sent, repetitions too",
           group=Group.TOPIC, of=Of.TOPIC),
    *_both("byte", "batch_bytes", "bytes", "Bytes of batches sent", group=Group.TOPIC, of=Of.TOPIC),
    Metric(
        "compression-rate", Kind.AVERAGE, "ratio",
        "Bytes of batches on the wire divided by their bytes before compression.",
        Group.TOPIC, Of.TOPIC, ("batch_bytes", "body_bytes"),
    ),
    *_both("record-retry", "records_retried", "records", "Records that went back to be sent again",
           group=Group.TOPIC, of=Of.TOPIC),
    *_both("record-error", "records_failed", "records", "Records that finally failed",
           group=Group.TOPIC, of=Of.TOPIC),
    Metric(
        "record-ack-total", Kind.TOTAL, "records", "Records acknowledged.",
        Group.TOPIC, Of.TOPIC, ("ack_records",), own=True,
    ),
)  # fmt: skip

_NODE = (
    *_both("request", "requests", "requests", "Requests of any kind",
           group=Group.NODE, of=Of.NODE),
    *_spread("request-size", "request_bytes", "requests", "bytes", "Bytes of a request",
             group=Group.NODE, of=Of.NODE),
    *_both("outgoing-byte", "request_bytes", "bytes", "Bytes of requests",
           group=Group.NODE, of=Of.NODE),
    *_both("response", "responses", "responses", "Answers of any kind",
           group=Group.NODE, of=Of.NODE),
    *_both("incoming-byte", "response_bytes", "bytes", "Bytes read from this broker",
           group=Group.NODE, of=Of.NODE),
    *_spread("request-latency", "latency", "produce_answers", "ms",
             "Milliseconds from a produce request to its answer", group=Group.NODE, of=Of.NODE),
    *_both("request-timeout", "timeouts", "requests",
           "Requests not answered within `request.timeout.ms`; each ends its connection",
           group=Group.NODE, of=Of.NODE, own=True),
    Metric("requests-in-flight", Kind.GAUGE, "requests", "Requests that await their answer.",
           Group.NODE, Of.MOMENT, own=True),
    Metric("connected", Kind.GAUGE, "connections", "1 while there is a usable connection, else 0.",
           Group.NODE, Of.MOMENT, own=True),
    Metric("throttled", Kind.GAUGE, "brokers", "1 while the broker has asked for a pause, else 0.",
           Group.NODE, Of.MOMENT, own=True),
)  # fmt: skip

_OWN = (
    *_both("record-ack", "ack_records", "records", "Records acknowledged",
           group=Group.OWN, own=True),
    Metric("batch-total", Kind.TOTAL, "batches", "Batches acknowledged.",
           Group.OWN, Of.PRODUCER, ("ack_batches",), own=True),
    *_spread("ack-time", "ack_time", "ack_records", "ms",
             "Milliseconds from `send()` to the acknowledgement, a record taken to be as old as the"
             " oldest of its batch", group=Group.OWN, own=True),
    *(
        Metric(f"ack-time-p{name}", Kind.PERCENTILE, "ms",
               f"What {words} of the records were acknowledged within, in milliseconds; from the"
               " same figures as `ack-time-avg`.", Group.OWN, Of.PRODUCER, (fraction,), own=True)
        for name, fraction, words in (
            ("50", "0.5", "half"), ("95", "0.95", "95 %"), ("99", "0.99", "99 %"),
            ("999", "0.999", "99.9 %"),
        )
    ),
    _now("deliveries-outstanding", "records", "Records accepted and not yet settled.",
         group=Group.OWN),
    _now("waiting-records", "records", "Records in the waiting room.", group=Group.OWN),
    _now("waiting-bytes", "bytes", "Bytes that the waiting room holds.", group=Group.OWN),
    _now("waiting-oldest-ms", "ms", "For how many milliseconds the oldest record has waited.",
         group=Group.OWN),
    *_both("waiting-begun", "waits_begun", "records", "Records that had to wait",
           group=Group.OWN, own=True),
    *_both("waiting-ended", "waits", "records", "Records that left the waiting room",
           group=Group.OWN, own=True),
    *_spread("waiting-time", "wait_time", "waits", "ms",
             "Milliseconds that a record spent in the waiting room", group=Group.OWN, own=True),
    _now("batch-fill-avg", "ratio", "`batch-size-avg` divided by `batch.size`.", group=Group.OWN),
    *(
        Metric(f"batch-sealed-{why}-total", Kind.TOTAL, "batches",
               f"Batches that left because {words}.",
               Group.OWN, Of.PRODUCER, (f"sealed_{why}",), own=True)
        for why, words in (
            ("size", "they were full"),
            ("linger", "`linger.ms` had passed"),
            ("flush", "`flush()` or `close()` was called"),
            ("expedite", "`send_and_wait()` or `send_many()` was called"),
            ("memory", "memory was short"),
            ("idle", "nothing was on its way to their broker (`linger.adaptive`)"),
        )
    ),
    *_both("request-timeout", "timeouts", "requests",
           "Requests not answered within `request.timeout.ms`; each ends its connection",
           group=Group.OWN, of=Of.NODES, own=True),
    *_both("request-lost", "produce_lost", "requests",
           "Produce requests whose connection ended before the answer came",
           group=Group.OWN, own=True),
    Metric("throttle-ratio", Kind.RATE, "ratio",
           "The part of the time for which brokers asked to pause, all together.",
           Group.OWN, Of.PRODUCER, ("throttle",), own=True),
    Metric("throttle-time-total-ms", Kind.TOTAL, "ms",
           "Milliseconds of pause that brokers asked for in answers to Produce.",
           Group.OWN, Of.PRODUCER, ("throttle",), own=True),
    _now("loop-stalls", "stalls", "How often the event loop stood still for half a second or more.",
         group=Group.OWN),
    Metric("loop-stall-rate", Kind.RATE, "stalls",
           "How often the event loop stood still, per second.",
           Group.OWN, Of.PRODUCER, ("stalls",), own=True),
    _now("loop-stall-longest-s", "s", "The longest of these stalls, in seconds.", group=Group.OWN),
    _now("loop-stall-total-s", "s", "All these stalls together, in seconds.", group=Group.OWN),
    _now("uptime-s", "s", "Seconds since the producer was started.", group=Group.OWN),
    _now("metadata-topics", "topics", "Topics in the metadata.", group=Group.OWN),
    *_both("interceptor-error", "interceptor_errors", "calls",
           "Calls of interceptors that raised", group=Group.OWN, own=True),
    Metric("interceptor-dropped-total", Kind.TOTAL, "calls",
           "Acknowledgements that an asynchronous interceptor was too slow for.",
           Group.OWN, Of.PRODUCER, ("interceptor_dropped",), own=True),
)  # fmt: skip

_OTHERS = (
    _now("count", "metrics", "How many metrics there are.", group=Group.COUNT),
    _now("start-time-ms", "ms", "When the producer was started, in milliseconds since 1970.",
         group=Group.APP),
)  # fmt: skip

PRODUCER_METRICS = (
    *_RECORDS, *_MEMORY, *_REQUESTS, *_TRANSACTIONS, *_CONNECTIONS, *_OWN, *_OTHERS,
)  # fmt: skip
"""Those of the producer as a whole, in the order of the reference page."""

TOPIC_METRICS = _TOPIC
NODE_METRICS = _NODE
METRICS = (*PRODUCER_METRICS, *TOPIC_METRICS, *NODE_METRICS)

_SELECT = "the event loop polls, for all that runs on it: see `loop-stalls` instead"

ABSENT = (
    Absent("txn-prepare-time-ns-total", Group.PRODUCER,
           "two-phase commit (`prepareTransaction`, KIP-939) is not there yet"),
    Absent("successful-authentication-no-reauth-total", Group.PRODUCER,
           "counts brokers before Kafka 2.2, which cannot renew a login; a login that does not end"
           " cannot be told from one there"),
    *(
        Absent(name, Group.PRODUCER, _SELECT)
        for name in (
            "select-rate", "select-total", "io-wait-time-ns-avg", "io-wait-ratio",
            "io-wait-time-ns-total", "io-time-ns-avg", "io-ratio", "io-time-ns-total",
        )
    ),
    Absent("connections", Group.PRODUCER,
           "its tags clientSoftwareName and clientSoftwareVersion belong to brokers; for cipher and"
           " protocol see `MetricsSnapshot.ciphers`, which has connections by both"),
    Absent("version", Group.APP, "is no number: see `MetricsSnapshot.version`"),
    Absent("commit-id", Group.APP, "a wheel is told by its version; see `MetricsSnapshot.version`"),
)  # fmt: skip
