"""Every driver against the embedded cluster: what it says it sent is what arrived."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.cluster import ClusterError, ClusterProcess
from benchmarks.job import Job, Kind, Measurement
from benchmarks.peers import PEERS
from benchmarks.runner import RunError, run_job

pytestmark = pytest.mark.own_cluster

TOPIC = "benchmark"


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    with ClusterProcess("embedded") as started:
        started.create_topic(TOPIC, 4)
        yield started


def job(cluster: ClusterProcess, peer: str, kind: Kind, *, topic: str = TOPIC) -> Job:
    return Job(
        peer=peer,
        kind=kind,
        bootstrap_servers=cluster.bootstrap_servers,
        topic=topic,
        value_size=100,
        linger_ms=1,
        seconds=0.1,
        warm_up=0.05,
        window=500,
        rate=2000,
        keys=100,
    )


@pytest.mark.parametrize("peer", PEERS)
def test_a_throughput_run_counts_what_arrived(cluster: ClusterProcess, peer: str) -> None:
    before = cluster.record_count(TOPIC)

    run = run_job(job(cluster, peer, "throughput"), cluster)

    assert 0 < run.records < run.sent
    assert run.seconds >= 0.1
    assert run.cpu_seconds > 0
    assert not run.latency_ms
    assert cluster.record_count(TOPIC) - before == run.sent


@pytest.mark.parametrize("peer", PEERS)
def test_a_latency_run_sends_as_many_as_were_due(cluster: ClusterProcess, peer: str) -> None:
    run = run_job(job(cluster, peer, "latency"), cluster)

    assert (run.records, run.sent) == (200, 300)
    ascending = list(run.latency_ms.values())
    assert ascending == sorted(ascending)
    assert 0 < run.call_delay_ms <= run.latency_ms["max"]


def test_a_client_that_fails_is_told_by_its_last_words(cluster: ClusterProcess) -> None:
    with pytest.raises(RunError, match="uniform-codec"):
        run_job(
            Job.from_json(
                job(cluster, "aioproducer", "throughput")
                .to_json()
                .replace('"none"', '"uniform-codec"')
            ),
            cluster,
        )


def test_a_count_that_differs_fails_the_run(
    cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Measurement.from_json

    def boast(text: str) -> Measurement:
        run = honest(text)
        return Measurement(records=run.records, seconds=1.0, cpu_seconds=1.0, sent=run.sent + 1)

    monkeypatch.setattr("benchmarks.runner.Measurement.from_json", boast)
    with pytest.raises(RunError, match="the cluster got"):
        run_job(job(cluster, "aioproducer", "throughput"), cluster)


def test_a_cluster_that_refuses_says_why(cluster: ClusterProcess) -> None:
    with pytest.raises(ClusterError, match=f"create {TOPIC}"):
        cluster.create_topic(TOPIC, 4)
