"""How long an acknowledgement takes at a steady rate: an open loop, so that stalls count."""

from __future__ import annotations

from benchmarks.arguments import Settings
from benchmarks.figures import PERCENTILES
from benchmarks.job import Job
from benchmarks.peers import PURE, REFERENCE
from benchmarks.plan import Column, Table, cpu, percentile

_NOT_HERE = frozenset({"kafka-python", PURE})


def tables(settings: Settings) -> list[Table]:
    return [_table(settings, linger_ms) for linger_ms in settings.latency_linger_ms]


def _table(settings: Settings, linger_ms: int) -> Table:
    rows = {
        name: Job(
            peer=name,
            kind="latency",
            value_size=settings.latency_size,
            linger_ms=linger_ms,
            seconds=settings.latency_seconds,
            warm_up=settings.warm_up,
            partitions=settings.partitions,
            rate=settings.rate,
            keys=settings.keys,
            loop=settings.loop,
        )
        for name in settings.peers
        if name not in _NOT_HERE or len(settings.peers) == 1
    }
    columns = [
        *(Column(f"{name} ms", percentile(name), ".2f", ratio=True) for name in PERCENTILES),
        Column("call ms", lambda run: run.call_delay_ms, ".2f"),
        Column("CPU s/M", cpu, ".1f"),
    ]
    return Table(
        section="latency",
        name=f"linger {linger_ms} ms",
        title=f"Latency: {settings.latency_size} B values, 16 B keys, linger {linger_ms} ms,"
        f" {settings.rate} records/s",
        rows=rows,
        columns=columns,
        reference=REFERENCE,
        rounds=settings.rounds,
        noisy=("p50 ms", "p99 ms"),
    )
