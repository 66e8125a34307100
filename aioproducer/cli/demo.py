"""The demo: produce, read back with a client that is not ours, compare, tell."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TextIO

from aioproducer import AsyncProducer, partition_of_key
from aioproducer.cli.load import Load, TopicPlan, produce
from aioproducer.cli.orders import order_events
from aioproducer.cli.produce_command import CODECS
from aioproducer.cli.report import (
    PERCENTILES,
    Progress,
    failure_lines,
    findings_as_dict,
    latency_line,
    partition_bars,
    percentile,
    progress_line,
    topic_table,
    verdict_lines,
)
from aioproducer.cli.verify import Findings, verify
from aioproducer.errors import ConfigurationError, ProducerError
from aioproducer.testing.admin import MissingClientError
from aioproducer.testing.cluster import ClusterStartError, KafkaCluster, KafkaUnavailableError
from aioproducer.testing.judge import read_topic
from aioproducer.testing.where import NamedCluster, start_kafka

DEFAULT_RECORDS = 100_000
QUICK_RECORDS = 5_000

PARTITIONS = 3
# The embedded cluster keeps 5 MB of a partition and drops what is older.
MOST_RECORDS_PER_PARTITION = 10_000

ALL_EQUAL = 0
DIFFERENT = 1
COULD_NOT_RUN = 2
INTERRUPTED = 130

_QUIET_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for."""

    records: int = DEFAULT_RECORDS
    bootstrap_servers: str | None = None
    kafka_version: str | None = None
    as_json: bool = False


class Screen:
    """Lines for people: a live one where there is a terminal, a few single ones where not."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_live = out.isatty()
        self._last_quiet = time.monotonic()
        encoding = (out.encoding or "").lower().replace("-", "")
        self.plain = not encoding.startswith("utf")

    def line(self, text: str = "") -> None:
        """Print one line."""
        print(text, file=self._out, flush=True)

    def lines(self, texts: Iterable[str]) -> None:
        """Print several lines."""
        for text in texts:
            self.line(text)

    def progress(self, progress: Progress, *, last: bool = False) -> None:
        """Show how far producing has come; the last time the line stays."""
        text = progress_line(progress, plain=self.plain)
        if self._is_live:
            # \x1b[K wipes what a longer line before has left.
            print(f"\r{text}\x1b[K", end="\n" if last else "", file=self._out, flush=True)
        elif last or time.monotonic() - self._last_quiet >= _QUIET_SECONDS:
            self._last_quiet = time.monotonic()
            self.line(text)


def run_demo(options: DemoOptions, out: TextIO | None = None) -> int:
    """Run the demo; return the exit status. Ctrl-C ends it and what it started."""
    stream = out if out is not None else sys.stdout
    screen = Screen(sys.stderr if options.as_json else stream)
    document: dict[str, object] = {}
    status = _run(options, screen, document)
    if options.as_json:
        print(json.dumps({"status": status, **document}, indent=2), file=stream)
    return status


def _run(options: DemoOptions, screen: Screen, document: dict[str, object]) -> int:
    try:
        with _kafka(options, screen) as cluster, _topics(cluster, options, screen) as topics:
            document["cluster"] = cluster.describe()
            return produce_and_compare(
                cluster.bootstrap_servers, topics, options.records, screen, document
            )
    except KeyboardInterrupt:
        screen.line("\ninterrupted")
        return INTERRUPTED
    except (KafkaUnavailableError, ClusterStartError, MissingClientError) as error:
        screen.line(f"no Kafka to run against: {error}")
        return COULD_NOT_RUN
    except (ProducerError, TimeoutError, RuntimeError, kafka_exception()) as error:
        screen.line(f"\nfailed: {type(error).__name__}: {error}")
        return DIFFERENT


def produce_and_compare(
    bootstrap_servers: str,
    topics: Sequence[TopicPlan],
    records: int,
    screen: Screen,
    document: dict[str, object] | None = None,
) -> int:
    """Produce to the topics, read them back, compare, print all of it, and fill the document."""
    document = {} if document is None else document
    screen.line(f"producing {records:,} keyed order events, acks=all, idempotent:")
    events = list(order_events(records))
    load = asyncio.run(produce(bootstrap_servers, topics, events, screen.progress))
    screen.progress(load.progress, last=True)
    document.update(load_as_dict(load))
    if load.progress.failed:
        screen.lines(["", *failure_lines(load.progress, load.errors)])
        return DIFFERENT
    _tell_load(load, screen)
    screen.line("\nreading everything back with librdkafka's consumer:")
    findings = _read_back(bootstrap_servers, load, screen)
    screen.lines(["", *verdict_lines(findings)])
    document.update(findings_as_dict(findings))
    return ALL_EQUAL if all(each.is_clean for each in findings) else DIFFERENT


def _tell_load(load: Load, screen: Screen) -> None:
    progress = load.progress
    rate = progress.acknowledged / progress.seconds
    megabytes = load.value_bytes / 1e6 / progress.seconds
    screen.line(
        f"\nthroughput: {rate:,.0f} records/s, {megabytes:.1f} MB/s of values,"
        f" {progress.seconds:.2f} s in all"
    )
    screen.line(latency_line(load.latencies))
    screen.line(f"\n{topic_table(load.figures)}")
    screen.line(f"\nrecords per partition:\n{partition_bars(load.figures, plain=screen.plain)}")


def load_as_dict(load: Load) -> dict[str, object]:
    """Return what was produced as JSON can hold it."""
    progress, ascending = load.progress, sorted(load.latencies)
    return {
        "sent": progress.sent,
        "acknowledged": progress.acknowledged,
        "failed": progress.failed,
        "errors": load.errors,
        "seconds": progress.seconds,
        "ack_ms": {
            f"p{percent:g}": percentile(ascending, percent) * 1000 if ascending else None
            for percent in PERCENTILES
        },
        "topics": [
            {
                "topic": each.topic,
                "codec": each.codec,
                "records": each.records,
                "batches": each.batches,
                "partitions": dict(each.per_partition),
            }
            for each in load.figures
        ],
    }


def _read_back(bootstrap_servers: str, load: Load, screen: Screen) -> list[Findings]:
    findings = []
    for topic, sent in load.sent.items():
        started = time.monotonic()
        read = read_topic(bootstrap_servers, topic)
        screen.line(f"  {topic}: {len(read):,} records in {time.monotonic() - started:.1f} s")
        belongs_to = partial(partition_of_key, count=load.partitions[topic])
        findings.append(verify(topic, sent, read, belongs_to))
    return findings


@contextmanager
def _kafka(options: DemoOptions, screen: Screen) -> Iterator[KafkaCluster]:
    started = time.monotonic()
    if options.bootstrap_servers is not None:
        named = NamedCluster(options.bootstrap_servers)
        try:
            named.start()
        except ClusterStartError as error:
            message = f"no broker answers at {options.bootstrap_servers}"
            raise KafkaUnavailableError(message) from error
        screen.line(f"Kafka: the cluster at {options.bootstrap_servers}")
        yield named
        return
    screen.line("starting Kafka ...")
    found = start_kafka(options.kafka_version)
    try:
        for reason in found.passed_over:
            screen.line(f"  not used: {reason}")
        seconds = time.monotonic() - started
        screen.line(f"Kafka: {found.cluster.describe()}, there in {seconds:.1f} s")
        yield found.cluster
    finally:
        found.cluster.stop()


@contextmanager
def _topics(
    cluster: KafkaCluster, options: DemoOptions, screen: Screen
) -> Iterator[list[TopicPlan]]:
    """Create a topic per codec; delete them where the cluster outlives the demo."""
    run_id = uuid.uuid4().hex[:6]
    plans = [TopicPlan(f"demo-orders-{run_id}-{codec}", codec) for codec in codecs(screen)]
    partitions = max(PARTITIONS, options.records // len(plans) // MOST_RECORDS_PER_PARTITION)
    created: list[str] = []
    try:
        for plan in plans:
            cluster.create_topic(plan.name, partitions)
            created.append(plan.name)
        screen.line(f"topics: {len(plans)}, one per codec, {partitions} partitions each")
        yield plans
    finally:
        if cluster.kind == "named":
            _delete(cluster, created, screen)


def _delete(cluster: KafkaCluster, names: Sequence[str], screen: Screen) -> None:
    try:
        for name in names:
            cluster.delete_topic(name)
    except kafka_exception() as error:
        screen.line(f"could not delete every one of {', '.join(names)}: {error}")


def kafka_exception() -> type[Exception]:
    """Return what the other client raises; without it the demo ends before that could happen."""
    try:
        from confluent_kafka import KafkaException
    except ImportError:
        return MissingClientError
    return KafkaException


def codecs(screen: Screen) -> list[str]:
    """Return the codecs whose packages are installed; say which are not."""
    names = []
    for codec in CODECS:
        try:
            AsyncProducer(config={"bootstrap.servers": "nobody:1", "compression.type": codec})
        except ConfigurationError as error:
            screen.line(f"  left out: {error}")
        else:
            names.append(codec)
    return names
