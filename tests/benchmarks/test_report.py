"""The tables that are printed."""

from __future__ import annotations

from benchmarks.job import Measurement
from benchmarks.plan import Scenario
from benchmarks.report import remarks, scenario_table, table
from benchmarks.runner import PeerResults

THROUGHPUT = Scenario(kind="throughput", value_size=84, linger_ms=5, seconds=1)
LATENCY = Scenario(kind="latency", value_size=100, linger_ms=0, seconds=1)


def run(records: int, cpu: float) -> Measurement:
    return Measurement(records=records, seconds=1.0, cpu_seconds=cpu, sent=records)


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each line, by its first."""
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {cells[0]: cells[1:] for cells in split}


def test_columns_are_aligned() -> None:
    lines = table(["name", "n"], [["a", "1"], ["longer", "22,222"]]).splitlines()
    assert lines == [
        "| name   |      n |",
        "| ------ | -----: |",
        "| a      |      1 |",
        "| longer | 22,222 |",
    ]


def test_every_figure_is_a_median_and_also_a_ratio_to_aiokafka() -> None:
    results = {
        "aioproducer": PeerResults([run(400_000, 0.8), run(600_000, 1.2), run(500_000, 1.0)]),
        "aiokafka": PeerResults([run(200_000, 2.0)], other_cores=[0.25]),
    }
    cells = rows(scenario_table(THROUGHPUT, results))
    assert cells["client"] == [
        "messages/s",
        "MB/s",
        "CPU s/M",
        "spread msg/s, CPU",
        "other CPU",
    ]
    assert cells["aioproducer"] == [
        "500,000 (2.50x)",
        "50.0 (2.50x)",
        "2.00 (0.20x)",
        "40%, 0%",
        "?",
    ]
    assert cells["aiokafka"][0] == "200,000 (1.00x)"
    assert cells["aiokafka"][-1] == "0.25"


def test_latencies_have_their_percentiles() -> None:
    percentiles = {"p50": 0.5, "p90": 1.0, "p99": 2.0, "p99.9": 4.0, "max": 8.0}
    measured = Measurement(
        records=1000,
        seconds=1.0,
        cpu_seconds=0.05,
        sent=1500,
        latency_ms=percentiles,
        call_delay_ms=0.125,
    )
    cells = rows(scenario_table(LATENCY, {"aiokafka": PeerResults([measured])}))
    assert cells["client"][:5] == ["p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"]
    assert cells["aiokafka"][4] == "8.00 (1.00x)"
    assert cells["aiokafka"][5:7] == ["0.12 (1.00x)", "50.0 (1.00x)"]


def test_a_client_that_is_not_installed_is_not_measured() -> None:
    results = {
        "aioproducer": PeerResults([run(500_000, 1.0)]),
        "aiokafka": PeerResults(missing="aiokafka"),
    }
    cells = rows(scenario_table(THROUGHPUT, results))
    assert cells["aiokafka"][0] == "not measured"
    assert cells["aioproducer"][0] == "500,000", "without a reference there is no ratio"
    assert remarks(results) == ["aiokafka: not measured, aiokafka is not installed."]


def test_a_failed_run_is_told_and_left_out() -> None:
    results = {
        "aiokafka": PeerResults([run(200_000, 2.0)], problems=["sent 5 records, got 4"]),
        "confluent": PeerResults(problems=["no"]),
    }
    cells = rows(scenario_table(THROUGHPUT, results))
    assert cells["aiokafka"][0] == "200,000 (1.00x)"
    assert cells["confluent"][0] == "failed"
    assert remarks(results) == [
        "aiokafka: a run failed and is left out: sent 5 records, got 4",
        "confluent: a run failed and is left out: no",
    ]
