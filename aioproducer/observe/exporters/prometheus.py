"""A collector for Prometheus: reads the producers when it is scraped, and costs nothing else.

async with AsyncProducer("localhost:9092") as producer:
    with expose(producer):
        ...  # prometheus_client.start_http_server(9400), or the application's own /metrics
"""

from __future__ import annotations

import re
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

from aioproducer.observe.catalogue import Kind
from aioproducer.observe.catalogue import Metric as CatalogueMetric
from aioproducer.observe.exporters.names import ACK_TIMES, BUILD_INFO, CIPHERS, exported
from aioproducer.observe.exporters.source import Measured, Source
from aioproducer.observe.readings import Reading, TimeHistogram
from aioproducer.observe.snapshot import MetricsSnapshot

MOST_TOPICS = 200
"""Topics with a label of their own; those beyond are counted together."""
OTHER_TOPICS = "_other"

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


class _Exposed:
    """A producer, and the topics that have got a label."""

    def __init__(self, producer: Measured) -> None:
        self.source = Source(producer)
        self.topics: set[str] = set()


class ProducerCollector(Collector):
    """What a registry asks; one for each registry, however many producers.

    ``describe()`` is empty: the registry need not know the names in advance.
    """

    def __init__(self, most_topics: int = MOST_TOPICS) -> None:
        self._most_topics = most_topics
        self._sources: dict[str, _Exposed] = {}

    def add(self, producer: Measured) -> None:
        """Have a producer collected; called where its event loop runs.

        Raises :exc:`ValueError` if another one of the same client id is: their figures could not
        be told apart.
        """
        known = self._sources.get(producer.client_id)
        if known is not None and known.source.producer not in (None, producer):
            raise ValueError(
                f"a producer with client.id {producer.client_id!r} is exposed already: give each"
                " an id of its own"
            )
        self._sources[producer.client_id] = _Exposed(producer)

    def remove(self, producer: Measured) -> None:
        """Collect a producer no more."""
        self._sources.pop(producer.client_id, None)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to collect."""
        return not self._sources

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names follow from what was counted."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all producers, from snapshots of this moment."""
        families = _Families()
        for client_id, exposed in list(self._sources.items()):
            snapshot = exposed.source.snapshot()
            if exposed.source.producer is None:
                self._sources.pop(client_id, None)
            if snapshot is not None:
                families.add(client_id, snapshot, self._topics(exposed, snapshot))
        yield from families.all()

    def _topics(self, exposed: _Exposed, snapshot: MetricsSnapshot) -> set[str]:
        # Once named a topic stays named, or its counter would seem to go back.
        for name in snapshot.topics:
            if len(exposed.topics) >= self._most_topics:
                break
            exposed.topics.add(name)
        return exposed.topics


class _Families:
    def __init__(self) -> None:
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        self._others: list[Metric] = []
        labels = ["client_id"]
        self._times = HistogramMetricFamily(
            ACK_TIMES, "Time from send() to the acknowledgement.", labels=labels
        )
        self._info = GaugeMetricFamily(BUILD_INFO, "1.", labels=[*labels, "version"])
        self._ciphers = GaugeMetricFamily(
            CIPHERS, "Open connections with TLS.", labels=[*labels, "cipher", "protocol"]
        )

    def add(self, client_id: str, snapshot: MetricsSnapshot, named: set[str]) -> None:
        self._info.add_metric([client_id, snapshot.version], 1)
        for (cipher, protocol), count in snapshot.ciphers.items():
            self._ciphers.add_metric([client_id, cipher, protocol], count)
        if snapshot.ack_times.counts:
            buckets, total = cumulated(snapshot.ack_times)
            self._times.add_metric([client_id], buckets, sum_value=total)
        others: defaultdict[CatalogueMetric, float] = defaultdict(float)
        shown = named | {OTHER_TOPICS}
        for reading in snapshot.readings():
            if reading.tags.get("topic", OTHER_TOPICS) in shown:
                self._put(client_id, reading)
            elif reading.metric.kind is Kind.TOTAL:
                # Totals can be added up; an average of averages would mean nothing.
                others[reading.metric] += reading.value
        for metric, value in others.items():
            self._put(client_id, Reading(metric, {"topic": OTHER_TOPICS}, value))

    def _put(self, client_id: str, reading: Reading) -> None:
        metric, tags, value = reading
        spelt = exported(metric)
        if spelt is None or tags.get("node-id", "").startswith("node--"):
            # Addresses to begin with get ever new ids: they would never stop growing.
            return
        name = _NOT_A_NAME.sub("_", spelt.name)
        labels = ["client_id", *(tag.replace("-", "_") for tag in tags)]
        family = self._families.get(name)
        if family is None:
            make = CounterMetricFamily if spelt.is_counter else GaugeMetricFamily
            family = self._families[name] = make(name, _first_line(metric.doc), labels=labels)
        values = [value.removeprefix("node-") for value in tags.values()]
        family.add_metric([client_id, *values], value * spelt.scale)

    def all(self) -> Iterator[Metric]:
        for family in (self._info, *self._families.values(), self._times, self._ciphers):
            if family.samples:
                yield family


def cumulated(times: TimeHistogram) -> tuple[list[tuple[str, float]], float]:
    """Return every third bucket or so, as Prometheus wants them: each with all below it."""
    buckets: list[tuple[str, float]] = []
    so_far = 0
    for bound, count in zip(times.bounds, times.counts, strict=False):
        so_far += count
        if _is_round(bound):
            buckets.append((f"{bound:g}", so_far))
    buckets.append(("+Inf", times.count))
    return buckets, times.sum


def _is_round(bound: float) -> bool:
    return f"{bound:e}".partition("e")[0].rstrip("0") in ("1.", "2.5", "5.")


def _first_line(doc: str) -> str:
    return doc.replace("`", "").partition("\n")[0]


class Exposure:
    """What ``expose()`` gives: the producer is collected until ``close()`` or the block's end."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end: Callable[[], None] | None = end

    def close(self) -> None:
        """Collect the producer no more. Harmless when called twice."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_collectors: weakref.WeakKeyDictionary[CollectorRegistry, ProducerCollector] = (
    weakref.WeakKeyDictionary()
)


def expose(producer: Measured, registry: CollectorRegistry = REGISTRY) -> Exposure:
    """Have ``registry`` collect a producer; called where the producer's event loop runs.

    A scrape reads a snapshot on the producer's thread, from whatever thread it comes. The producer
    is held weakly. Raises :exc:`ValueError` if one of the same client id is collected already.
    """
    collector = _collectors.get(registry)
    fresh = collector is None
    if collector is None:
        collector = _collectors[registry] = ProducerCollector()
    collector.add(producer)
    if fresh:
        registry.register(collector)

    known = collector

    def end() -> None:
        known.remove(producer)
        if known.is_empty and _collectors.get(registry) is known:
            del _collectors[registry]
            registry.unregister(known)

    return Exposure(end)
