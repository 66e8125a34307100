"""Runs the plan: each client in a process of its own, each run's records counted afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.arguments import Settings
from benchmarks.cluster import ClusterProcess
from benchmarks.job import Job, Measurement
from benchmarks.noise import other_cores, read_busy
from benchmarks.peers import PEERS
from benchmarks.plan import Scenario, turns

Say = Callable[[str], None]

_PATIENCE_SECONDS = 90.0


@dataclass(slots=True)
class PeerResults:
    """One client's rounds in one scenario."""

    runs: list[Measurement] = field(default_factory=list)
    other_cores: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: str | None = None
    """The module that is not installed; then nothing was measured."""


class Target(Protocol):
    """A cluster as far as a run needs it."""

    def record_count(self, topic: str) -> int:
        """Return the sum of the end offsets."""


class RunError(RuntimeError):
    """A client failed, or the cluster has not exactly what it sent."""


def run_job(job: Job, cluster: Target) -> Measurement:
    """Run ``job`` in a process of its own and hold its count to the end offsets.

    Raises:
        RunError: the client failed, was too slow, or records are missing or there twice.
    """
    before = cluster.record_count(job.topic)
    try:
        worker = subprocess.run(
            [sys.executable, "-m", "benchmarks.worker", job.to_json()],
            capture_output=True,
            text=True,
            timeout=job.warm_up + job.seconds + _PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"was not done after {error.timeout:g} s") from None
    if worker.returncode != 0:
        lines = worker.stderr.strip().splitlines() or [f"exit status {worker.returncode}"]
        raise RunError(lines[-1])
    measurement = Measurement.from_json(worker.stdout)
    arrived = cluster.record_count(job.topic) - before
    if arrived != measurement.sent:
        raise RunError(f"sent {measurement.sent} records, the cluster got {arrived}")
    return measurement


def run_scenario(
    scenario: Scenario, settings: Settings, cluster: ClusterProcess, topic: str, say: Say
) -> dict[str, PeerResults]:
    """Let the clients take turns; returns their results in the order of ``settings.peers``."""
    results = {peer: PeerResults(missing=PEERS[peer].missing()) for peer in settings.peers}
    present = [peer for peer in settings.peers if results[peer].missing is None]
    cluster.create_topic(topic, settings.partitions)
    try:
        for number, peer in turns(present, settings.rounds):
            job = scenario.job(settings, peer, cluster.bootstrap_servers, topic)
            where = f"  round {number}/{settings.rounds}, {peer}: "
            busy = read_busy()
            try:
                measurement = run_job(job, cluster)
            except RunError as error:
                results[peer].problems.append(str(error))
                say(f"{where}FAILED: {error}")
                continue
            results[peer].runs.append(measurement)
            others = other_cores(busy, read_busy())
            if others is not None:
                results[peer].other_cores.append(others)
            say(where + _in_short(measurement))
    finally:
        cluster.delete_topic(topic)
    return results


def _in_short(run: Measurement) -> str:
    if run.latency_ms:
        return f"p50 {run.latency_ms['p50']:.2f} ms, p99 {run.latency_ms['p99']:.2f} ms"
    return f"{run.records_per_second:,.0f} messages/s, {run.cpu_per_million:.2f} CPU s/M"
