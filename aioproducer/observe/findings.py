"""What is not well, by the figures: each finding with its figure, its causes and what to change.

Pure: a snapshot, the thresholds and a few settings go in, findings come out.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from aioproducer.observe.snapshot import MetricsSnapshot, TopicMetrics
from aioproducer.observe.thresholds import Thresholds


class Severity(enum.Enum):
    """How much a finding matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not well.

    ``name`` is one of a fixed set (docs/troubleshooting.md has a chapter for each); ``figure`` was
    compared with ``threshold``, both in ``unit``; ``causes`` are the likely ones, likeliest first;
    ``settings`` are Kafka's keys, or what else to change; ``where`` names topics, partitions or
    brokers.
    """

    name: str
    severity: Severity
    symptom: str
    figure: float
    threshold: float
    unit: str
    causes: tuple[str, ...]
    settings: tuple[str, ...]
    where: str = ""

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        lines = [f"{self.severity.value.upper()} {self.name}{place}: {self.symptom}"]
        lines += [f"  cause: {cause}" for cause in self.causes]
        lines += [f"  change: {setting}" for setting in self.settings]
        return "\n".join(lines)


class Diagnosis(Sequence[Finding]):
    """The findings, worst first, with the snapshot they are read from; ``str()`` is a report."""

    __slots__ = ("_findings", "snapshot")

    def __init__(self, findings: Sequence[Finding], snapshot: MetricsSnapshot) -> None:
        order = [Severity.CRITICAL, Severity.WARNING, Severity.INFO]
        self._findings = tuple(sorted(findings, key=lambda each: order.index(each.severity)))
        self.snapshot = snapshot

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | Sequence[Finding]:
        return self._findings[index]

    def __len__(self) -> int:
        return len(self._findings)

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding, ``None`` if all is well."""
        return self._findings[0].severity if self._findings else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings, worst first."""
        return tuple(each.name for each in self._findings)

    def __str__(self) -> str:
        if not self._findings:
            return "nothing is wrong by the figures of the last minute"
        return "\n".join(map(str, self._findings))

    def __repr__(self) -> str:
        return f"<Diagnosis {', '.join(self.names) or 'all is well'}>"


class Facts(NamedTuple):
    """What is judged: the figures, the limits, and settings that tell causes apart."""

    metrics: MetricsSnapshot
    limits: Thresholds
    linger_ms: int
    batch_size: int
    compression: str
    max_in_flight: int
    windows_s: float
    # Topics with records without a key, which go to one partition for a while, then to another.
    sticky_topics: frozenset[str] = frozenset()


def find(facts: Facts) -> list[Finding]:
    """Return everything that is not well."""
    return [finding for check in CHECKS for finding in check(facts)]


def _poor_batching(facts: Facts) -> Iterator[Finding]:
    metrics, limits = facts.metrics, facts.limits
    average = metrics.records_per_request_avg
    if not average or metrics.record_send_rate < limits.batching_from_rate:
        return
    if average >= limits.records_per_request:
        return
    causes = []
    if facts.linger_ms < 5:
        causes.append(f"linger.ms is {facts.linger_ms}: batches leave before they can gather")
    if metrics.batch_sealed_expedite_total * 2 > _sealed(metrics):
        causes.append("most batches leave for send_and_wait(), which never waits for company")
    if metrics.batch_sealed_flush_total * 2 > _sealed(metrics):
        causes.append("most batches leave for flush(), called after every few records")
    if metrics.record_size_avg * limits.records_per_request > facts.batch_size:
        causes.append(
            f"batch.size is {facts.batch_size} bytes, too small for ten records of"
            f" {metrics.record_size_avg:.0f} bytes"
        )
    causes.append("each send() is awaited before the next")
    yield Finding(
        "poor_batching", Severity.WARNING,
        f"{average:.1f} records in a produce request, fewer than {limits.records_per_request:g}",
        average, limits.records_per_request, "records", tuple(causes),
        ("linger.ms: 5 to 100", "batch.size: 65536 or more for large records",
         "send() many records and await them together, or send_many()"),
    )  # fmt: skip


def _sealed(metrics: MetricsSnapshot) -> int:
    return (
        metrics.batch_sealed_size_total + metrics.batch_sealed_linger_total
        + metrics.batch_sealed_flush_total + metrics.batch_sealed_expedite_total
        + metrics.batch_sealed_memory_total + metrics.batch_sealed_idle_total
    )  # fmt: skip


def _queue_time(facts: Facts) -> Iterator[Finding]:
    average, limit = facts.metrics.record_queue_time_avg, facts.limits.queue_time_ms
    if average <= limit:
        return
    causes = []
    if facts.linger_ms >= limit:
        causes.append(f"linger.ms is {facts.linger_ms}: that is how long batches wait")
    if facts.metrics.request_latency_avg > facts.limits.request_latency_ms:
        causes.append("brokers answer slowly, and only so many requests are in flight to each")
    causes += [
        "a broker cannot be reached, or pauses the producer (quota)",
        "more is sent than the brokers or the network take",
    ]
    yield Finding(
        "high_queue_time", Severity.WARNING,
        f"batches wait {average:.0f} ms before they leave, more than {limit:g} ms",
        average, limit, "ms", tuple(causes),
        (f"linger.ms (now {facts.linger_ms})",
         f"max.in.flight.requests.per.connection (now {facts.max_in_flight}, at most 5)",
         "batch.size and compression.type, for fewer and smaller requests", "more partitions"),
    )  # fmt: skip


def _compression(facts: Facts) -> Iterator[Finding]:
    rate, limit = facts.metrics.compression_rate_avg, facts.limits.compression_ratio
    if facts.compression == "none" or not rate or 1 / rate >= limit:
        return
    causes = ["the values are compressed or encrypted already"]
    if facts.metrics.batch_size_avg < 4096:
        causes.insert(0, f"batches are small ({facts.metrics.batch_size_avg:.0f} bytes on the"
                         " wire): little repeats within one")  # fmt: skip
    yield Finding(
        "poor_compression", Severity.INFO,
        f"{facts.compression} makes batches {1 / rate:.2f} times smaller, less than {limit:g}",
        1 / rate, limit, "to 1", tuple(causes),
        ("batch.size and linger.ms, for larger batches", "compression.type: zstd, or none"),
    )  # fmt: skip


def _errors(facts: Facts) -> Iterator[Finding]:
    metrics, limit = facts.metrics, facts.limits.error_rate
    settled = metrics.record_error_rate + metrics.record_ack_rate
    if not settled or metrics.record_error_rate / settled <= limit:
        return
    share = metrics.record_error_rate / settled
    failing = [
        f"topic {name}" for name, topic in metrics.topics.items() if topic.record_error_rate > 0
    ]
    yield Finding(
        "errors", Severity.CRITICAL,
        f"{share:.1%} of the records fail, more than {limit:.1%}",
        share, limit, "of records",
        ("see the errors of the deliveries, or producer.failures(): what they say comes first",
         "records too large for the topic, a missing permission, a topic that is not there",
         "brokers away for longer than delivery.timeout.ms"),
        ("delivery.timeout.ms and retries", "max.request.size, and max.message.bytes of the topic",
         "the topic's min.insync.replicas and the number of living replicas"),
        ", ".join(sorted(failing)),
    )  # fmt: skip


def _memory(facts: Facts) -> Iterator[Finding]:
    metrics, limits = facts.metrics, facts.limits
    total, free = metrics.buffer_total_bytes, metrics.buffer_available_bytes
    if not total:
        return
    used = 1 - free / total
    causes = (
        "more is sent than the brokers take, and nothing holds the senders back",
        "brokers are slow or away, so that batches stay",
    )
    settings = (
        f"buffer.memory (now {total})",
        "await producer.drain() in loops around send(), or await the deliveries",
        "linger.ms lower, compression.type, for less to keep",
    )
    if total >= 2 * limits.memory_free_bytes and free < limits.memory_free_bytes:
        yield Finding(
            "memory_pressure", Severity.CRITICAL,
            f"{free} bytes of buffer.memory are free, fewer than {limits.memory_free_bytes:g}",
            free, limits.memory_free_bytes, "bytes", causes, settings,
        )  # fmt: skip
    elif used > limits.memory_used:
        yield Finding(
            "memory_pressure", Severity.WARNING,
            f"{used:.0%} of buffer.memory is in use, more than {limits.memory_used:.0%}",
            used, limits.memory_used, "of buffer.memory", causes, settings,
        )  # fmt: skip


def _latency(facts: Facts) -> Iterator[Finding]:
    metrics, limits = facts.metrics, facts.limits
    average = metrics.request_latency_avg
    if average <= limits.request_latency_ms:
        return
    critical = average > limits.request_latency_critical_ms
    limit = limits.request_latency_critical_ms if critical else limits.request_latency_ms
    slowest = max(
        metrics.nodes, key=lambda node: metrics.nodes[node].request_latency_avg, default=None
    )
    yield Finding(
        "request_latency", Severity.CRITICAL if critical else Severity.WARNING,
        f"brokers take {average:.0f} ms for a produce request, more than {limit:g} ms",
        average, limit, "ms",
        ("with acks=all the slowest in-sync replica decides: disks, network, load",
         "the brokers are far away", "requests are large and the network is narrow",
         "the event loop is busy, so that answers are read late"),
        ("compression.type and batch.size", "the brokers' disks and replication",
         "acks=1, if losing records with a broker is acceptable"),
        "" if slowest is None else f"slowest is broker {slowest}",
    )  # fmt: skip


def _timeouts(facts: Facts) -> Iterator[Finding]:
    metrics, limit = facts.metrics, facts.limits.timeout_rate
    if not metrics.request_rate or metrics.request_timeout_rate / metrics.request_rate <= limit:
        return
    share = metrics.request_timeout_rate / metrics.request_rate
    where = [f"broker {n}" for n, node in metrics.nodes.items() if node.request_timeout_rate > 0]
    yield Finding(
        "request_timeouts", Severity.CRITICAL,
        f"{share:.2%} of the requests are not answered in time, more than {limit:.2%}",
        share, limit, "of requests",
        ("a broker hangs, or its disk does", "a firewall drops packets of idle connections",
         "request.timeout.ms is shorter than replication takes at times"),
        ("request.timeout.ms, with delivery.timeout.ms above it",
         "connections.max.idle.ms below what the firewall allows"),
        ", ".join(where),
    )  # fmt: skip


def _throughput(facts: Facts) -> Iterator[Finding]:
    baseline = facts.limits.baseline_records_per_second
    # Rates rise over the first windows.
    if not baseline or facts.metrics.uptime_s < facts.windows_s:
        return
    share = facts.metrics.record_ack_rate / baseline
    if share >= facts.limits.throughput_share:
        return
    yield Finding(
        "low_throughput", Severity.WARNING,
        f"{facts.metrics.record_ack_rate:.0f} records/s are acknowledged, {share:.0%} of the"
        f" baseline of {baseline:g}",
        share, facts.limits.throughput_share, "of the baseline",
        ("less is sent than usual: compare with the source",
         "another finding: latency, throttling, stalls, poor batching"),
        ("linger.ms, batch.size, compression.type", "more partitions or producers"),
    )  # fmt: skip


def _hot_partitions(facts: Facts) -> Iterator[Finding]:
    limits = facts.limits
    for name, topic in facts.metrics.topics.items():
        records = topic.partition_records
        total, count = sum(records.values()), max(topic.partition_count, len(records))
        if total < limits.hot_partition_from or count < 2:
            continue
        turns = _bytes_lately(topic) / (facts.batch_size or 1) / count
        if name in facts.sticky_topics and turns < limits.hot_partition_turns:
            # Some partitions had their turn lately and others had none: that is chance.
            continue
        hottest = max(records, key=lambda index: records[index])
        factor = records[hottest] * count / total
        # Of two partitions none can have more than twice the average.
        if factor < min(limits.hot_partition_factor, 0.9 * count):
            continue
        share = records[hottest] / total
        alone = share == 1
        yield Finding(
            "hot_partition", Severity.WARNING,
            f"{share:.0%} of the records go to one of {count} partitions,"
            f" {factor:.1f} times the average",
            factor, min(limits.hot_partition_factor, 0.9 * count), "times the average",
            ("every record has the same key" if alone else "few keys have most of the records",
             "partition= is given, or an own partitioner prefers one"),
            ("keys with more values, if their order allows", "partitioner.ignore.keys=true",
             "partitioner.class"),
            f"{name}-{hottest}",
        )  # fmt: skip


def _bytes_lately(topic: TopicMetrics) -> float:
    """Return how much was sent lately, before it was compressed."""
    if not topic.record_send_rate or not topic.compression_rate:
        return 0.0
    size = topic.byte_rate / topic.compression_rate / topic.record_send_rate
    return size * sum(topic.partition_records.values())


def _throttling(facts: Facts) -> Iterator[Finding]:
    metrics, limit = facts.metrics, facts.limits.throttle_share
    if metrics.throttle_ratio <= limit:
        return
    yield Finding(
        "throttling", Severity.WARNING,
        f"brokers asked for pauses of {metrics.throttle_ratio:.1%} of the time, the longest"
        f" {metrics.produce_throttle_time_max:.0f} ms",
        metrics.throttle_ratio, limit, "of the time",
        ("the quota of this client id or user is used up",),
        ("the quota (kafka-configs: producer_byte_rate, request_percentage)",
         "compression.type and batch.size, for fewer bytes and requests",
         "client.id: producers that share one share its quota"),
        ", ".join(f"broker {n}" for n, node in metrics.nodes.items() if node.throttled),
    )  # fmt: skip


def _stalls(facts: Facts) -> Iterator[Finding]:
    per_minute, limit = facts.metrics.loop_stall_rate * 60, facts.limits.loop_stalls_per_minute
    if per_minute <= limit:
        return
    yield Finding(
        "loop_stalls", Severity.WARNING,
        f"the event loop stands still {per_minute:.1f} times a minute, up to"
        f" {facts.metrics.loop_stall_longest_s:.1f} s",
        per_minute, limit, "a minute",
        ("blocking calls in coroutines or callbacks: files, databases, requests, time.sleep()",
         "long computing, or a garbage collector with very many objects",
         "the process is stopped or starved of processor time"),
        ("asyncio.to_thread() for what blocks",
         "PYTHONASYNCIODEBUG=1 names callbacks that take longer than 100 ms",
         "value_serializer: a slow one on a thread"),
    )  # fmt: skip


def _waiting_room(facts: Facts) -> Iterator[Finding]:
    metrics, limits = facts.metrics, facts.limits
    growth = metrics.waiting_begun_rate - metrics.waiting_ended_rate
    grows = metrics.waiting_records > 0 and growth > limits.waiting_growth_per_second
    stuck = metrics.waiting_oldest_ms > limits.waiting_oldest_ms
    if not grows and not stuck:
        return
    for_memory = metrics.waiting_threads > 0
    causes: tuple[str, ...] = ("topics that are not there, or whose metadata cannot be had",)
    settings: tuple[str, ...] = ("the topic's name and permissions", "max.block.ms")
    if for_memory:
        causes = ("records are sent faster than they are acknowledged",
                  "brokers are slow or away")  # fmt: skip
        settings = ("await producer.drain() in loops around send()", "buffer.memory",
                    "max.block.ms: how long they may wait")  # fmt: skip
    words = f"{metrics.waiting_records} records wait for {'memory' if for_memory else 'metadata'}"
    if grows:
        yield Finding(
            "growing_waiting_room", Severity.WARNING, f"{words}, {growth:.1f} more each second",
            growth, limits.waiting_growth_per_second, "records/s", causes, settings,
        )  # fmt: skip
    else:
        yield Finding(
            "stuck_in_waiting_room", Severity.WARNING,
            f"{words}, the oldest for {metrics.waiting_oldest_ms:.0f} ms",
            metrics.waiting_oldest_ms, limits.waiting_oldest_ms, "ms", causes, settings,
        )  # fmt: skip


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _errors, _memory, _timeouts, _latency, _throttling, _stalls, _waiting_room, _queue_time,
    _throughput, _hot_partitions, _poor_batching, _compression,
)  # fmt: skip
"""Each looks for one thing."""

NAMES = (
    "errors", "memory_pressure", "request_timeouts", "request_latency", "throttling",
    "loop_stalls", "growing_waiting_room", "stuck_in_waiting_room", "high_queue_time",
    "low_throughput", "hot_partition", "poor_batching", "poor_compression",
)  # fmt: skip
"""The names of all findings there can be."""
