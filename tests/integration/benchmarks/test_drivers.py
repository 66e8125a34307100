"""Every driver against the stand-in, which checks each record: what it says it sent is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.arguments import parse
from benchmarks.cluster import ClusterError, ClusterProcess
from benchmarks.job import Job, Kind, Measurement
from benchmarks.peers import OURS, PEERS, PURE
from benchmarks.plan import Column, Table, rate
from benchmarks.runner import RunError, Runner, run_job
from benchmarks.sections import tables
from benchmarks.sections.throughput import smoke_jobs
from benchmarks.standin.process import StandInProcess
from benchmarks.store import Store
from tests.conftest import skip_or_fail

pytestmark = pytest.mark.own_cluster

TOPIC = "benchmark"


def one_of_each() -> list[Table]:
    found: dict[object, Table] = {}
    for table in tables(parse(["--soak", "5000"])):
        job = next(iter(table.rows.values()))
        if job.kind not in ("throughput", "latency"):
            found.setdefault((job.kind, *sorted(job.parameters)), table)
    return list(found.values())


ONE_OF_EACH = one_of_each()
"""A table of each kind of probe and load."""


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandInProcess]:
    with StandInProcess(2, "records") as started:
        started.create_topic(TOPIC, 4)
        yield started


@pytest.fixture
def cluster(stand_in: StandInProcess) -> StandInProcess:
    stand_in.reset()
    return stand_in


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    missing = PEERS[name].missing()
    if missing is not None:
        skip_or_fail("toolchains", f"{missing} is not here, which {name} needs")
    PEERS[name].prepare()
    return name


def job(cluster: StandInProcess, peer: str, kind: Kind, **fields: object) -> Job:
    made = Job(
        peer=peer,
        kind=kind,
        bootstrap_servers=cluster.bootstrap_servers,
        topic=TOPIC,
        value_size=100,
        linger_ms=1,
        seconds=0.1,
        warm_up=0.05,
        window=500,
        rate=2000,
        keys=100,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def test_a_throughput_run_counts_what_arrived(cluster: StandInProcess, peer: str) -> None:
    before = cluster.record_count(TOPIC)

    run = run_job(job(cluster, peer, "throughput"), cluster)

    assert 0 < run.records < run.sent
    assert run.seconds >= 0.1
    assert run.cpu_seconds > 0
    assert not run.latency_ms
    assert cluster.record_count(TOPIC) - before == run.sent
    counts = cluster.counts()
    assert (counts.records, counts.errors, counts.duplicates) == (run.sent, 0, 0)
    assert counts.checked_records == run.sent
    assert counts.checked_crcs == counts.batches


def test_a_latency_run_sends_as_many_as_were_due(cluster: StandInProcess, peer: str) -> None:
    run = run_job(job(cluster, peer, "latency"), cluster)

    assert (run.records, run.sent) == (200, 300)
    ascending = [run.latency_ms[name] for name in ("p50", "p90", "p99", "p99.9", "max")]
    assert ascending == sorted(ascending)
    assert 0 < run.call_delay_ms <= run.latency_ms["max"]


@pytest.mark.parametrize("name", [OURS, PURE])
def test_which_build_ran_is_told(cluster: StandInProcess, name: str) -> None:
    run = run_job(job(cluster, name, "throughput", keys=-1), cluster)
    assert run.build in ({"pure"} if name == PURE else {"pure", "compiled"})


def test_the_fallback_stands_up_to_a_driver(cluster: StandInProcess) -> None:
    with StandInProcess(2, "records", in_python=True) as fallback:
        fallback.create_topic(TOPIC, 4)
        run = run_job(job(fallback, "aioproducer", "throughput"), fallback)
        assert fallback.counts().checked_records == run.sent


def test_the_embedded_cluster_can_be_measured_too() -> None:
    with ClusterProcess("embedded") as mock:
        mock.create_topic(TOPIC, 4)
        stand_in_job = Job(
            peer="aioproducer",
            kind="throughput",
            bootstrap_servers=mock.bootstrap_servers,
            topic=TOPIC,
            value_size=100,
            linger_ms=1,
            seconds=0.1,
            warm_up=0.05,
        )
        run = run_job(stand_in_job, mock)
        assert mock.record_count(TOPIC) == run.sent
        with pytest.raises(ClusterError, match=f"create {TOPIC}"):
            mock.create_topic(TOPIC, 4)


def test_a_client_that_fails_is_told_by_its_last_words(cluster: StandInProcess) -> None:
    with pytest.raises(RunError, match="uniform-codec"):
        run_job(job(cluster, "aioproducer", "throughput", compression="uniform-codec"), cluster)


def test_a_count_that_differs_fails_the_run(
    cluster: StandInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Measurement.from_json

    def boast(text: str) -> Measurement:
        run = honest(text)
        return Measurement(records=run.records, seconds=1.0, cpu_seconds=1.0, sent=run.sent + 1)

    monkeypatch.setattr("benchmarks.runner.Measurement.from_json", boast)
    with pytest.raises(RunError, match="the cluster got"):
        run_job(job(cluster, "aioproducer", "throughput"), cluster)


def test_one_crash_loses_no_other_run_and_is_made_up_for(cluster: StandInProcess) -> None:
    rows = {
        "broken": job(cluster, "aioproducer", "throughput", compression="uniform-codec"),
        "whole": job(cluster, "aioproducer", "throughput"),
    }
    table = Table(section="s", name="t", title="t", rows=rows, columns=[Column("messages/s", rate)])
    store, said = Store(None), list[str]()
    runner = Runner(cluster, store, float("inf"), said.append)
    runner.run(table)
    assert not runner.good
    results = store.results("s", "t")
    assert len(results["whole"].runs) == 1
    assert "uniform-codec" in results["broken"].problems[0]
    assert results["whole"].runs[0].extra["records per batch"] > 0

    said.clear()
    runner.run(table)
    assert [line.split(",")[1].split(":")[0].strip() for line in said[1:]] == ["broken"]


def test_each_client_is_looked_at_whatever_is_checked_later() -> None:
    said: list[str] = []
    with StandInProcess(2, "headers") as loose:
        runner = Runner(loose, Store(None), float("inf"), said.append)
        runner.smoke(smoke_jobs(parse(["--peers", "aioproducer,aiokafka"])))
        assert runner.good
        assert loose.verification == "headers"
    assert [line.split(":")[0] for line in said] == ["checking aioproducer", "checking aiokafka"]
    assert all("each as it has to be" in line for line in said)


def test_no_run_begins_when_the_time_is_up(cluster: StandInProcess) -> None:
    table = Table(
        section="s",
        name="t",
        title="t",
        rows={"aioproducer": job(cluster, "aioproducer", "throughput")},
        columns=[],
    )
    store = Store(None)
    Runner(cluster, store, 0.0, list[str]().append).run(table)
    assert store.results("s", "t")["aioproducer"].missing == "the time was up"


@pytest.mark.parametrize("table", ONE_OF_EACH, ids=lambda table: f"{table.section} {table.name}")
def test_every_probe_counts_what_it_sent(cluster: StandInProcess, table: Table) -> None:
    """Its first row, cut short; the stand-in checks every record of it."""
    row, given = next(iter(table.rows.items()))
    parameters = {**given.parameters}
    if "times" in parameters or given.kind == "import":
        parameters["times"] = 1
    if "records" in parameters:
        parameters["records"] = 5_000
    options = {"buffer.memory": str(4 * 1024**2)} if given.kind == "memory" else given.options
    short = replace(given, seconds=0.1, warm_up=0.05, parameters=parameters, options=options)
    store = Store(None)
    runner = Runner(cluster, store, float("inf"), list[str]().append)
    runner.run(replace(table, rows={row: short}, rounds=1))
    result = store.results(table.section, table.name)[row]
    assert result.problems == []
    (run,) = result.runs
    missing = {column.name for column in table.columns if column.figure(run) is None}
    assert missing <= {"share %"}, "that one needs another row"
