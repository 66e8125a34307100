"""``python -m benchmarks``: measure, print a table for each scenario, write a report.

Other commands: ``targets``, ``report``, ``allocations``, ``transactions``,
``accounting``, ``prepare``,
``serializers``.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

from aioproducer.testing.where import BOOTSTRAP_VARIABLE
from benchmarks import (
    accounting,
    page,
    profile,
    regression,
    serializing,
    targets,
    threads,
    transactions,
)
from benchmarks.arguments import Settings, parse
from benchmarks.cluster import ClusterError, ClusterProcess, Source
from benchmarks.history import settings_of
from benchmarks.noise import load_average
from benchmarks.peers import PEERS
from benchmarks.plan import Table
from benchmarks.report import cells, markdown, remarks
from benchmarks.runner import Runner, Target
from benchmarks.sections import ON_ANY_CLUSTER, tables, throughput
from benchmarks.standin import capacity
from benchmarks.standin.build import BuildError
from benchmarks.standin.process import StandInProcess
from benchmarks.store import Store
from benchmarks.tls import compare_protocols


def main(arguments: Sequence[str]) -> int:
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "transactions": transactions.main,
        "accounting": accounting.main,
        "prepare": prepare,
        "serializers": serializing.main,
        "targets": targets.main,
        "report": page.main,
        "regression": regression.main,
        "capacity": capacity.main,
        "profile": profile.main,
        "threads": threads.main,
    }
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    settings = parse(arguments)
    if settings.tls:
        return compare_protocols(settings, _progress)
    try:
        with start_cluster(settings, choose_source(settings, os.environ)) as cluster:
            return _run(settings, cluster, arguments)
    except ClusterError as error:
        _progress(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def choose_source(settings: Settings, environment: Mapping[str, str]) -> Source:
    """Return where the cluster comes from: what was asked for, else the named one, or ours."""
    if settings.cluster is not None:
        return settings.cluster
    named = settings.bootstrap is not None or environment.get(BOOTSTRAP_VARIABLE)
    return "real" if named else "stand-in"


def start_cluster(
    settings: Settings, source: Source
) -> AbstractContextManager[StandInProcess | ClusterProcess]:
    if source == "stand-in":
        return StandInProcess(settings.brokers, settings.verify, in_python=settings.python_stand_in)
    return ClusterProcess(source, nodes=settings.brokers, bootstrap_servers=settings.bootstrap)


def prepare(_arguments: Sequence[str] = ()) -> int:
    """Compile and download whatever is not there yet, so that no run has to."""
    for peer in PEERS.values():
        missing = peer.missing()
        try:
            if missing is None:
                peer.prepare()
            print(f"{peer.name} {peer.version()}: {'ready' if missing is None else missing}")
        except BuildError as error:
            print(f"{peer.name}: {error}")
    with StandInProcess() as stand_in:
        print(stand_in.description)
    return 0


def _run(
    settings: Settings, cluster: StandInProcess | ClusterProcess, arguments: Sequence[str]
) -> int:
    started = time.monotonic()
    store = Store(settings.results, forget=() if settings.resume else settings.sections)
    environment = describe_machine(settings, cluster)
    store.describe({**environment, "arguments": json.dumps(list(arguments))})
    for name, value in environment.items():
        print(f"- {name}: {value}")
    runner = Runner(cluster, store, started + settings.minutes * 60, _progress)
    runner.smoke(throughput.smoke_jobs(settings))
    for table in tables(settings):
        if table.section not in ON_ANY_CLUSTER and not isinstance(cluster, StandInProcess):
            continue
        runner.run(table)
        show(table, store)
    afterwards = f"{time.monotonic() - started:.0f} s; load average afterwards: {load_average()}"
    print(f"\n{afterwards}")
    store.describe({"afterwards": afterwards})
    print(f"\n{targets.targets_table(targets.verdicts(store, settings_of(store)))}")
    written = page.write_page(store, settings.html or settings.results.with_suffix(".html"))
    print(f"\n{written}")
    if settings.json is not None:
        settings.json.write_text(json.dumps(as_json(store), indent=2) + "\n")
    return 0 if runner.good else 1


def show(table: Table, store: Store) -> None:
    """Print one table with what has to be known beside it."""
    results = table.results(store)
    print(f"\n### {table.title}\n\n{markdown(*cells(table, results))}")
    for line in [*([table.note] if table.note else []), *remarks(results)]:
        print(f"\n{line}")
    sys.stdout.flush()


def describe_machine(settings: Settings, cluster: Target) -> dict[str, str]:
    """Return what a reader needs to compare the figures with others."""
    versions = {PEERS[name].distribution: PEERS[name].version() for name in settings.peers}
    description: str = getattr(cluster, "description", "")
    return {
        "clients": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "commit": commit(),
        "cluster": description,
        "Python": f"{platform.python_implementation()} {platform.python_version()},"
        f" {settings.loop}",
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}",
        "load average before": load_average(),
        "rounds": f"{settings.rounds}, alternating; medians; (n x) is the ratio to aiokafka",
        "batch size": "each client's default, where the title says nothing else"
        if settings.batch_size is None
        else f"{settings.batch_size}",
    }


def commit() -> str:
    """Return what was measured, as git names it."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def as_json(store: Store) -> dict[str, Any]:
    """Return every single run."""
    runs = []
    for run in store.runs:
        fields = asdict(run)
        if run.measurement is not None:
            fields["records_per_second"] = run.measurement.records_per_second
            fields["cpu_per_million"] = run.measurement.cpu_per_million
        runs.append(fields)
    return {"environment": store.environment, "runs": runs}


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
