"""What a scrape gets: the figures of every producer, with labels that cannot grow without end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aioproducer.core.histogram import BOUNDS
from aioproducer.observe.catalogue import Kind
from aioproducer.observe.exporters.names import EXPORTED
from aioproducer.observe.exporters.prometheus import (
    OTHER_TOPICS,
    ProducerCollector,
    cumulated,
    expose,
)
from aioproducer.observe.readings import Registered, TimeHistogram
from aioproducer.observe.snapshot import MetricsSnapshot, NodeMetrics, TopicMetrics

COUNTS = tuple([0, 5] + [0] * 30 + [2] + [0] * (len(BOUNDS) - 33) + [1])


class Producer:
    """Stands for one: what it has counted, and a name."""

    def __init__(self, client_id: str = "me", **figures: Any) -> None:
        self.client_id = client_id
        self.figures = figures
        self.threads: list[int] = []

    def metrics(self) -> MetricsSnapshot:
        return MetricsSnapshot(client_id=self.client_id, **self.figures)


def scraped(registry: CollectorRegistry) -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """Return what Prometheus' own parser reads, by name and label values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            key = tuple(sample.labels.values())
            values = found.setdefault(sample.name, {})
            assert key not in values, f"{sample.name}{key} twice"
            values[key] = sample.value
    return found


def figures() -> dict[str, Any]:
    return {
        "record_send_total": 7,
        "request_latency_avg": 12.5,
        "flush_time_ns_total": 1_500_000_000,
        "ack_times": TimeHistogram(COUNTS, 3.5),
        "topics": {"orders": TopicMetrics(byte_total=99), "x": TopicMetrics(byte_total=1)},
        "nodes": {1: NodeMetrics(request_total=4), -1: NodeMetrics(request_total=2)},
        "ciphers": {("TLS_AES_256_GCM_SHA384", "TLSv1.3"): 2},
        "registered": {Registered("dead-letter-total", Kind.TOTAL, "records", "Letters."): 3.0},
    }


async def test_a_scrape_has_every_metric_in_base_units() -> None:
    registry = CollectorRegistry()
    producer = Producer(**figures())
    with expose(producer, registry):
        found = scraped(registry)
    assert found["kafka_producer_record_send_total"] == {("me",): 7}
    assert found["kafka_producer_request_latency_avg_seconds"][("me",)] == pytest.approx(0.0125)
    assert found["kafka_producer_flush_time_seconds_total"] == {("me",): 1.5}
    assert found["kafka_producer_topic_bytes_total"] == {("me", "orders"): 99, ("me", "x"): 1}
    assert found["kafka_producer_connections"] == {("TLS_AES_256_GCM_SHA384", "me", "TLSv1.3"): 2}
    assert found["aioproducer_app_dead_letter_total"] == {("me",): 3}
    assert found["aioproducer_ack_time_seconds_count"] == {("me",): 8}
    assert found["aioproducer_ack_time_seconds_sum"] == {("me",): 3.5}
    assert {each.name for each in EXPORTED.values()} <= set(found)


async def test_addresses_to_begin_with_get_no_label() -> None:
    """Their numbers never repeat: a producer that starts over often would add without end."""
    registry = CollectorRegistry()
    producer = Producer(**figures())
    with expose(producer, registry):
        assert scraped(registry)["kafka_producer_node_request_total"] == {("me", "1"): 4}


async def test_topics_beyond_the_limit_are_counted_together_and_names_stay() -> None:
    registry = CollectorRegistry()
    collector = ProducerCollector(most_topics=2)
    registry.register(collector)
    topics = {f"t{n}": TopicMetrics(byte_total=10 + n, compression_rate=0.5) for n in range(5)}
    producer = Producer(topics=topics)
    collector.add(producer)
    expected = {("me", "t0"): 10, ("me", "t1"): 11, ("me", OTHER_TOPICS): 12 + 13 + 14}
    assert scraped(registry)["kafka_producer_topic_bytes_total"] == expected
    averages = scraped(registry)["kafka_producer_topic_compression_rate_ratio"]
    assert ("me", OTHER_TOPICS) not in averages
    producer.figures["topics"] = {"t9": TopicMetrics(byte_total=1), **topics}
    assert scraped(registry)["kafka_producer_topic_bytes_total"] == {
        **expected, ("me", OTHER_TOPICS): 40
    }  # fmt: skip


async def test_several_producers_share_a_registry() -> None:
    registry = CollectorRegistry()
    one, two = Producer("one", record_send_total=1), Producer("two", record_send_total=2)
    with expose(one, registry), expose(two, registry) as second:
        assert scraped(registry)["kafka_producer_record_send_total"] == {
            ("one",): 1, ("two",): 2,
        }  # fmt: skip
        second.close()
        second.close()
        assert scraped(registry)["kafka_producer_record_send_total"] == {("one",): 1}
    assert scraped(registry) == {}
    with expose(two, registry):
        assert scraped(registry)["kafka_producer_record_send_total"] == {("two",): 2}


async def test_two_producers_of_one_client_id_are_refused() -> None:
    """Prometheus would refuse the whole scrape."""
    registry = CollectorRegistry()
    one, two = Producer("same"), Producer("same")
    with expose(one, registry), expose(one, registry):
        pass
    with expose(one, registry), pytest.raises(ValueError, match="an id of its own"):
        expose(two, registry)


async def test_a_producer_that_was_collected_is_forgotten() -> None:
    registry = CollectorRegistry()
    producer = Producer()
    expose(producer, registry)
    del producer
    gc.collect()
    assert scraped(registry) == {}
    with expose(Producer(), registry):
        pass


async def test_a_scrape_from_a_thread_reads_on_the_producer_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dictionaries that change meanwhile cannot be walked through from elsewhere."""
    monkeypatch.setattr("aioproducer.observe.exporters.source._PATIENCE_S", 120.0)
    import threading

    registry = CollectorRegistry()

    class Careful(Producer):
        def metrics(self) -> MetricsSnapshot:
            self.threads.append(threading.get_ident())
            return super().metrics()

    producer = Careful(record_send_total=7)
    with expose(producer, registry):
        found = await asyncio.to_thread(scraped, registry)
    assert found["kafka_producer_record_send_total"] == {("me",): 7}
    assert producer.threads == [threading.get_ident()]


def test_after_the_loop_has_ended_the_last_figures_are_there() -> None:
    registry = CollectorRegistry()
    producer = Producer(record_send_total=7)

    async def run() -> None:
        expose(producer, registry)

    asyncio.run(run())
    assert scraped(registry)["kafka_producer_record_send_total"] == {("me",): 7}


def test_exposing_needs_the_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        expose(Producer(), CollectorRegistry())


def test_buckets_count_all_that_is_below() -> None:
    buckets, total = cumulated(TimeHistogram(COUNTS, 3.5))
    bounds = [bound for bound, _ in buckets]
    assert bounds[:4] == ["0.0001", "0.00025", "0.0005", "0.001"]
    assert bounds[-1] == "+Inf"
    assert len(bounds) == 22
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == 8
    assert dict(buckets)["0.0001"] == 0
    assert dict(buckets)["0.00025"] == 5
    assert total == 3.5
