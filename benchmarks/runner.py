"""Runs the plan: each run in a process of its own, its records counted afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from benchmarks.cluster import ClusterError
from benchmarks.job import Job, Measurement
from benchmarks.noise import other_cores, read_busy
from benchmarks.peers import PEERS
from benchmarks.plan import Table, turns
from benchmarks.standin.build import BuildError
from benchmarks.standin.process import Counts, StandInProcess
from benchmarks.store import Run, Store, digest

Say = Callable[[str], None]

_PATIENCE_SECONDS = 200.0
_SHORTEST_THAT_COUNTS = 0.3
"""Seconds; shorter runs are looks at whether a client works, not measurements."""

OUT_OF_TIME = "the time was up"


class Target(Protocol):
    """A cluster as far as a run needs it."""

    @property
    def bootstrap_servers(self) -> str: ...

    def create_topic(self, name: str, partitions: int) -> None: ...

    def delete_topic(self, name: str) -> None: ...

    def record_count(self, topic: str) -> int:
        """Return the sum of the end offsets."""

    def check(self) -> None:
        """Raises ``ClusterError`` if anything that arrived was wrong."""


class RunError(RuntimeError):
    """A client failed, or the cluster has not exactly what it sent."""


def run_job(job: Job, cluster: Target) -> Measurement:
    """Run ``job`` in a process of its own and hold its count to the end offsets.

    Raises:
        RunError: the client failed, was too slow, or records are missing or there twice.
    """
    before = cluster.record_count(job.topic)
    measurement = Measurement.from_json(_run_process(job))
    arrived = cluster.record_count(job.topic) - before
    if arrived != measurement.sent:
        raise RunError(f"sent {measurement.sent} records, the cluster got {arrived}")
    try:
        cluster.check()
    except ClusterError as error:
        raise RunError(str(error)) from None
    return measurement


def _run_process(job: Job) -> str:
    peer = PEERS[job.peer]
    if job.seconds >= _SHORTEST_THAT_COUNTS:
        job = replace(job, warm_up=max(job.warm_up, peer.warm_up_at_least))
    try:
        command = peer.command(job)
    except BuildError as error:
        raise RunError(f"could not be built: {error}") from None
    patience = job.warm_up + job.seconds + _PATIENCE_SECONDS
    patience += job.parameters.get("patience", 0.0)
    # A session of its own: the metronome or a JVM's helpers have to end with it.
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=peer.surroundings(),
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise RunError(f"was not done after {patience:g} s") from None
        except BaseException:
            _kill(process)
            raise
    if process.returncode != 0:
        lines = errors.strip().splitlines() or [f"exit status {process.returncode}"]
        raise RunError(lines[-1])
    return output


def _kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class Runner:
    """Takes tables through their rounds until the time is up.

    Args:
        cluster: what is measured against.
        store: where each run goes, and what needs no repeating.
        deadline: the monotonic time after which no run begins.
        say: told of each run.
    """

    def __init__(self, cluster: Target, store: Store, deadline: float, say: Say) -> None:
        self._cluster = cluster
        self._store = store
        self._deadline = deadline
        self._say = say
        self.good = True

    def run(self, table: Table) -> None:
        """Let the rows take turns; every run is in the store when this returns."""
        self._say(table.title)
        present = []
        for row in table.rows:
            missing = table.missing(row)
            if missing is None:
                present.append(row)
            else:
                self._store.add(self._noted(table, row, 1, missing=f"{missing} is not installed"))
        for number, row in turns(present, table.rounds):
            job = table.rows[row]
            if self._store.has(table.section, table.name, row, number, digest(job)):
                continue
            if time.monotonic() > self._deadline:
                self._store.add(self._noted(table, row, number, missing=OUT_OF_TIME))
                continue
            self._say(f"  round {number}/{table.rounds}, {row}: {self._once(table, row, number)}")

    def smoke(self, jobs: Mapping[str, Job]) -> None:
        """Have the stand-in check every record of a short run of each client.

        Measured runs check less, if so asked, and nobody has to believe them for it.
        """
        stand_in = self._cluster
        if not isinstance(stand_in, StandInProcess):
            return
        usual = stand_in.verification
        stand_in.verify("records")
        try:
            for name, job in jobs.items():
                if PEERS[job.peer].missing() is None:
                    self._say(f"checking {name}: {self._look(job)}")
        finally:
            stand_in.verify(usual)

    def _look(self, job: Job) -> str:
        try:
            run = self._measure(replace(job, seconds=0.1, warm_up=0.0))
        except (RunError, ClusterError) as error:
            self.good = False
            return f"FAILED: {error}"
        return f"{run.sent} records, each as it has to be"

    def _once(self, table: Table, row: str, number: int) -> str:
        busy = read_busy()
        try:
            measurement = self._measure(table.rows[row])
        except (RunError, ClusterError) as error:
            self.good = False
            self._store.add(self._noted(table, row, number, problem=str(error)))
            return f"FAILED: {error}"
        noted = self._noted(table, row, number)
        self._store.add(
            replace(noted, measurement=measurement, other_cores=other_cores(busy, read_busy()))
        )
        return in_short(table, measurement)

    def _noted(
        self,
        table: Table,
        row: str,
        number: int,
        *,
        problem: str | None = None,
        missing: str | None = None,
    ) -> Run:
        return Run(
            section=table.section,
            table=table.name,
            row=row,
            round=number,
            digest=digest(table.rows[row]),
            problem=problem,
            missing=missing,
        )

    def _measure(self, job: Job) -> Measurement:
        """Run ``job`` on topics of its own, so that no run finds what another one left."""
        topic = f"benchmark-{uuid.uuid4().hex[:12]}"
        cluster = self._cluster
        placed = job.at(cluster.bootstrap_servers, topic)
        if not isinstance(cluster, StandInProcess):
            cluster.create_topic(topic, job.partitions)
            try:
                return run_job(placed, cluster)
            finally:
                cluster.delete_topic(topic)
        cluster.create_topic(topic, job.partitions, job.topics)
        try:
            cluster.reset()
            before = cluster.counts()
            measurement = run_job(placed, cluster)
            return replace(
                measurement, extra={**measurement.extra, **wire_figures(before, cluster.counts())}
            )
        finally:
            cluster.delete_topic(topic)


def wire_figures(before: Counts, after: Counts) -> dict[str, float]:
    """Return what the stand-in saw of a run, its warm-up included."""
    figures = {"repeated batches": float(after.duplicates)}
    if after.records:
        figures["records per batch"] = after.records / after.batches
        figures["batches per request"] = after.batches / after.requests
        figures["bytes per record"] = after.bytes / after.records
        figures["stand-in CPU s/M"] = (after.cpu_seconds - before.cpu_seconds) / after.records * 1e6
    return figures


def in_short(table: Table, run: Measurement) -> str:
    """Return the first few figures of a run."""
    parts = []
    for column in table.columns:
        value = column.figure(run)
        if value is not None:
            parts.append(f"{column.name} {value:{column.form}}")
    return ", ".join(parts[:4])
