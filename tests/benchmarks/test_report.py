"""The tables that are printed."""

from __future__ import annotations

from benchmarks.job import Measurement
from benchmarks.plan import Column, Table, cpu, percentile, rate
from benchmarks.report import cells, markdown, remarks
from benchmarks.store import RowResults, TableResults

THROUGHPUT = Table(
    section="throughput",
    name="100 B",
    title="Throughput",
    rows={},
    columns=[
        Column("messages/s", rate, ",.0f", ratio=True),
        Column("CPU s/M", cpu, ".2f", ratio=True),
    ],
    reference="aiokafka",
    noisy=("messages/s", "CPU s/M"),
)
LATENCY = Table(
    section="latency",
    name="linger 0",
    title="Latency",
    rows={},
    columns=[Column("p50 ms", percentile("p50"), ".2f"), Column("max ms", percentile("max"))],
)


def run(records: int, cpu_seconds: float, build: str = "") -> Measurement:
    return Measurement(
        records=records, seconds=1.0, cpu_seconds=cpu_seconds, sent=records, build=build
    )


def by_row(table: Table, results: TableResults) -> dict[str, list[str]]:
    header, lines = cells(table, results)
    return {line[0]: line[1:] for line in [header, *lines]}


def test_columns_are_aligned() -> None:
    lines = markdown(["name", "n"], [["a", "1"], ["longer", "22,222"]]).splitlines()
    assert lines == [
        "| name   |      n |",
        "| ------ | -----: |",
        "| a      |      1 |",
        "| longer | 22,222 |",
    ]


def test_every_figure_is_a_median_and_also_a_ratio_to_aiokafka() -> None:
    results = {
        "aioproducer": RowResults([run(400_000, 0.8), run(600_000, 1.2), run(500_000, 1.0)]),
        "aiokafka": RowResults([run(200_000, 2.0)], other_cores=[0.25]),
    }
    found = by_row(THROUGHPUT, results)
    assert found["client"] == [
        "messages/s",
        "CPU s/M",
        "spread messages/s, CPU s/M",
        "other CPU",
    ]
    assert found["aioproducer"] == ["500,000 (2.50x)", "2.00 (0.20x)", "40%, 0%", "?"]
    assert found["aiokafka"][0] == "200,000 (1.00x)"
    assert found["aiokafka"][-1] == "0.25"


def test_what_a_run_does_not_have_stays_empty() -> None:
    measured = Measurement(
        records=1000, seconds=1.0, cpu_seconds=0.05, sent=1500, latency_ms={"p50": 0.5}
    )
    assert by_row(LATENCY, {"aiokafka": RowResults([measured])})["aiokafka"] == ["0.50", "", "?"]


def test_a_client_that_is_not_installed_is_not_measured() -> None:
    results = {
        "aioproducer": RowResults([run(500_000, 1.0)]),
        "aiokafka": RowResults(missing="aiokafka is not installed"),
    }
    found = by_row(THROUGHPUT, results)
    assert found["aiokafka"][0] == "not measured"
    assert found["aioproducer"][0] == "500,000", "without a reference there is no ratio"
    assert remarks(results) == ["aiokafka: not measured, aiokafka is not installed."]


def test_a_failed_run_is_told_and_left_out() -> None:
    results = {
        "aiokafka": RowResults([run(200_000, 2.0)], problems=["sent 5 records, got 4"]),
        "confluent": RowResults(problems=["no"]),
    }
    found = by_row(THROUGHPUT, results)
    assert found["aiokafka"][0] == "200,000 (1.00x)"
    assert found["confluent"][0] == "failed"
    assert remarks(results) == [
        "aiokafka: a run failed and is left out: sent 5 records, got 4",
        "confluent: a run failed and is left out: no",
    ]


def test_the_build_of_this_producer_is_told() -> None:
    results = {"aioproducer": RowResults([run(1, 1.0, "compiled"), run(1, 1.0, "compiled")])}
    assert remarks(results) == ["aioproducer: compiled."]


def test_rounds_that_the_clock_cut_off_are_told() -> None:
    results = {"aioproducer": RowResults([run(1, 1.0)], missing="the time was up")}
    assert remarks(results) == ["aioproducer: some rounds not measured, the time was up."]
