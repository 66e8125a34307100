"""The lab's endpoints, asked through HTTP; what they say is looked up in Kafka."""

from __future__ import annotations

import asyncio
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from aioproducer import AsyncProducer
from aioproducer.testing import EmbeddedCluster
from aioproducer.testing.judge import end_offsets, read_topic
from examples.lab.service import BENCHMARK, EVENTS, ORDERS, PARTITIONS
from tests.integration.lab.conftest import PATIENCE, lab_on, wait_for

# The lab starts with the first of them.
pytestmark = pytest.mark.timeout(900)

ORDER = {"orderId": "o-1", "customerId": "ada", "priority": "HIGH", "amount": 12.5}


def post(lab: str, path: str, **more: Any) -> httpx.Response:
    return httpx.post(f"{lab}/api/producer/{path}", timeout=PATIENCE, **more)


def get(lab: str, path: str) -> httpx.Response:
    return httpx.get(f"{lab}{path}", timeout=PATIENCE)


def partitions(lab: str, topic: str) -> list[int]:
    stats = get(lab, "/api/producer/partition-stats").json()["topics"][topic]
    counts = [row["records"] for row in stats["partitions"]]
    assert sum(counts) == stats["records"]
    return counts


def in_the_log(bootstrap: str, topic: str) -> list[int]:
    """Return where each partition ends, behind a mark: what lies before it, readers can see.

    They see a record once all replicas have it; with acks=1 that is after its acknowledgement.
    """

    async def mark() -> list[int]:
        async with AsyncProducer(bootstrap) as producer:
            marks = [producer.send(topic, b"mark", partition=each) for each in range(PARTITIONS)]
            return [metadata.offset + 1 for metadata in await asyncio.gather(*marks)]

    ends = asyncio.run(mark())
    assert end_offsets(bootstrap, topic) == dict(enumerate(ends))
    return ends


@pytest.mark.core
@pytest.mark.parametrize(
    ("path", "records"),
    [
        ("high-throughput?count=2000", 2000),
        ("low-latency?count=20", 20),
        ("benchmark?messages=3000&batchSize=8192&lingerMs=2", 3000),
    ],
)
def test_a_run_arrives_and_tells_its_figures(
    lab: str, bootstrap: str, path: str, records: int
) -> None:
    topic = BENCHMARK if path.startswith("benchmark") else EVENTS
    before, in_log = partitions(lab, topic), in_the_log(bootstrap, topic)
    answer = post(lab, path)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["records"], body["failed"]) == (records, 0)
    assert body["messages_per_second"] > 0
    latency = body["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    after = partitions(lab, topic)
    assert sum(after) - sum(before) == records
    # Of each partition's new records one is the mark.
    now_in_log = in_the_log(bootstrap, topic)
    arrived = [new - old - 1 for new, old in zip(now_in_log, in_log, strict=True)]
    assert arrived == [new - old for new, old in zip(after, before, strict=True)]


def test_a_benchmark_runs_with_what_it_is_told(lab: str) -> None:
    settings = post(lab, "benchmark?messages=10&batchSize=4096&lingerMs=7").json()["settings"]
    assert (settings["batch_size"], settings["linger_ms"]) == (4096, 7)


@pytest.mark.core
def test_a_high_order_has_partition_0_to_itself(lab: str, bootstrap: str) -> None:
    placed, run = {}, uuid.uuid4().hex
    for number in range(12):
        priority = ("HIGH", "NORMAL", "LOW")[number % 3]
        order = {**ORDER, "orderId": f"{run}-{number}", "customerId": f"c{number}"}
        answer = post(lab, "priority-order", json={**order, "priority": priority})
        assert answer.status_code == 201
        placed[f"{run}-{number}"] = answer.json()
    for record in read_topic(bootstrap, ORDERS):
        order = json.loads(record.value or b"")
        assert (record.partition == 0) == (order["priority"] == "HIGH")
        told = placed.pop(order["orderId"], None)
        if told is not None:
            assert (told["partition"], told["offset"]) == (record.partition, record.offset)
    assert not placed


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("high-throughput?count=0", "count: Input should be greater than or equal to 1"),
        ("high-throughput?count=1000001", "count: Input should be less than or equal to 1000000"),
        ("high-throughput?count=many", "count: Input should be a valid integer"),
        ("low-latency?count=10001", "count: Input should be less than or equal to 10000"),
        ("low-latency?count=-1", "count: Input should be greater"),
        ("benchmark?messages=0", "messages: Input should be greater"),
        ("benchmark?batchSize=-1", "batchSize: Input should be greater"),
        ("benchmark?batchSize=1000001", "batchSize: Input should be less"),
        ("benchmark?lingerMs=5001", "lingerMs: Input should be less"),
        ("benchmark?messages=1.5&lingerMs=x", "lingerMs: Input should be a valid integer"),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_reason(lab: str, path: str, reason: str) -> None:
    answer = post(lab, path)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'{"orderId": "o-1"', 400, "the body is no JSON"),
        (b"", 422, "the body: Field required"),
        (b"[]", 422, "valid dictionary"),
        (b'{"orderId": "o-1"}', 422, "customerId: Field required; priority: Field required"),
        (json.dumps({**ORDER, "priority": "URGENT"}).encode(), 422, "priority: Input should be"),
        (json.dumps({**ORDER, "amount": 0}).encode(), 422, "amount: Input should be greater"),
        (json.dumps({**ORDER, "orderId": ""}).encode(), 422, "orderId: String should have"),
    ],
)
def test_an_order_that_is_none_is_refused_with_the_reason(
    lab: str, body: bytes, status: int, reason: str
) -> None:
    answer = post(lab, "priority-order", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


def test_prometheus_finds_every_producer_under_both_names(lab: str) -> None:
    post(lab, "high-throughput?count=10")
    for path in ("/metrics", "/actuator/prometheus"):
        answer = get(lab, path)
        assert answer.headers["content-type"].startswith("text/plain")
        lines = [line for line in answer.text.splitlines() if "record_send_total{" in line]
        sent = {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines}
        assert {"lab-throughput", "lab-latency", "lab-priority"} <= sent.keys()
        assert sent["lab-throughput"] > 0


def test_one_run_of_a_kind_at_a_time(lab: str) -> None:
    met: list[httpx.Response] = []

    def two_meet() -> bool:
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(post, [lab] * 2, ["low-latency?count=1000"] * 2))
        met.extend(answers)
        return {answer.status_code for answer in answers} == {200, 409}

    wait_for(two_meet, "the one meets the other")
    assert {answer.status_code for answer in met} == {200, 409}
    (reason,) = {answer.json()["detail"] for answer in met if answer.status_code == 409}
    assert reason == "a low-latency run is under way: wait for its answer"


@pytest.mark.core
def test_the_live_figures_come_in_frames(lab: str) -> None:
    post(lab, "high-throughput?count=1000")
    wait_for(lambda: get(lab, "/api/live").json()["frames"], "a frame is there")
    wait_for(lambda: get(lab, "/api/live").json()["cluster"]["ready"], "the cluster is ready")
    now = get(lab, "/api/live").json()
    last = now["frames"][-1]
    newer = get(lab, f"/api/live?after={last['number']}").json()["frames"]
    assert all(frame["number"] > last["number"] for frame in newer)
    seals = now["producers"]["throughput"]["seals"]
    assert sum(seals.values()) > 0


def test_the_page_asks_for_nothing_from_elsewhere(lab: str) -> None:
    page = get(lab, "/").text
    assert "<title>aioproducer lab</title>" in page
    for word in ("src=", "http://", "https://", "@import", "/*page."):
        assert word not in page


@pytest.mark.own_cluster
def test_a_lab_without_a_broker_says_503_and_recovers(tmp_path: Path) -> None:
    with EmbeddedCluster(brokers=1) as cluster:
        for topic in (EVENTS, ORDERS, BENCHMARK):
            cluster.create_topic(topic, PARTITIONS)
        cluster.set_down(1)
        with lab_on(cluster.bootstrap_servers, tmp_path) as lab:
            for _ in range(2):
                _says_503(lab)
                cluster.set_up(1)
                _recovers(lab)
                cluster.set_down(1)
                wait_for(
                    lambda: get(lab, "/health/ready").status_code == 503, "the loss is noticed"
                )
            cluster.set_up(1)


def _says_503(lab: str) -> None:
    for path in ("high-throughput?count=10", "low-latency?count=1", "benchmark?messages=10"):
        answer = post(lab, path)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["retriable"]
        assert answer.json()["detail"]
    # An order that was on its way when the broker went may have arrived.
    assert post(lab, "priority-order", json=ORDER).status_code in (503, 504)
    assert get(lab, "/health/live").status_code == 200
    assert get(lab, "/").status_code == 200
    assert not get(lab, "/api/live").json()["cluster"]["ready"]


def _recovers(lab: str) -> None:
    for path in ("high-throughput?count=10", "low-latency?count=1", "benchmark?messages=10"):
        wait_for(lambda path=path: post(lab, path).status_code == 200, path)  # type: ignore[misc]
    wait_for(lambda: post(lab, "priority-order", json=ORDER).status_code == 201, "an order")
    wait_for(lambda: get(lab, "/health/ready").status_code == 200, "all producers are ready")
