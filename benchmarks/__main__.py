"""``python -m benchmarks``: run the plan, print a table for each scenario.

``python -m benchmarks transactions`` measures transactions instead.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aioproducer.testing.where import BOOTSTRAP_VARIABLE
from benchmarks.arguments import Settings, parse
from benchmarks.cluster import ClusterError, ClusterProcess, Source
from benchmarks.job import Measurement
from benchmarks.noise import load_average
from benchmarks.peers import PEERS
from benchmarks.plan import Scenario, scenarios
from benchmarks.report import remarks, scenario_table
from benchmarks.runner import PeerResults, run_scenario
from benchmarks.tls import compare_protocols
from benchmarks.transactions import main as measure_transactions


def main() -> int:
    if sys.argv[1:2] == ["transactions"]:
        return measure_transactions(sys.argv[2:])
    settings = parse()
    if settings.tls:
        return compare_protocols(settings, _progress)
    try:
        with ClusterProcess(
            choose_source(settings, os.environ),
            nodes=settings.brokers,
            bootstrap_servers=settings.bootstrap,
        ) as cluster:
            return _run(settings, cluster)
    except ClusterError as error:
        _progress(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def choose_source(settings: Settings, environment: Mapping[str, str]) -> Source:
    """Return where the cluster comes from: what was asked for, else the named or mock brokers."""
    if settings.cluster is not None:
        return settings.cluster
    return "real" if environment.get(BOOTSTRAP_VARIABLE) else "embedded"


def _run(settings: Settings, cluster: ClusterProcess) -> int:
    started = time.monotonic()
    environment = describe_machine(settings, cluster)
    for name, value in environment.items():
        print(f"- {name}: {value}")
    collected: list[dict[str, Any]] = []
    good = True
    for scenario in scenarios(settings):
        title = scenario.title(settings)
        _progress(title)
        topic = f"benchmark-{uuid.uuid4().hex[:12]}"
        results = run_scenario(scenario, settings, cluster, topic, _progress)
        print(f"\n### {title}\n\n{scenario_table(scenario, results)}")
        for line in remarks(results):
            print(f"\n{line}")
        sys.stdout.flush()
        collected.append(as_json(title, scenario, results))
        good = good and not any(result.problems for result in results.values())
    print(f"\n{time.monotonic() - started:.0f} s; load average afterwards: {load_average()}")
    if settings.json is not None:
        document = {"environment": environment, "scenarios": collected}
        settings.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if good else 1


def describe_machine(settings: Settings, cluster: ClusterProcess) -> dict[str, str]:
    """Return what a reader needs to compare the figures with others."""
    versions = {PEERS[name].distribution: PEERS[name].version() for name in settings.peers}
    return {
        "clients": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "cluster": f"{cluster.description}, {settings.partitions} partitions",
        "Python": f"{platform.python_implementation()} {platform.python_version()},"
        f" {settings.loop}",
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}",
        "load average before": load_average(),
        "rounds": f"{settings.rounds}, alternating; medians; (n x) is the ratio to aiokafka",
        "batch size": "each client's default"
        if settings.batch_size is None
        else f"{settings.batch_size}",
    }


def as_json(title: str, scenario: Scenario, results: Mapping[str, PeerResults]) -> dict[str, Any]:
    """Return one scenario with every single run."""
    return {
        "title": title,
        **asdict(scenario),
        "peers": {
            peer: {
                "runs": [_run_as_json(run) for run in result.runs],
                "other_cores": result.other_cores,
                "problems": result.problems,
                "missing": result.missing,
            }
            for peer, result in results.items()
        },
    }


def _run_as_json(run: Measurement) -> dict[str, Any]:
    return {
        **asdict(run),
        "records_per_second": run.records_per_second,
        "cpu_per_million": run.cpu_per_million,
    }


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
