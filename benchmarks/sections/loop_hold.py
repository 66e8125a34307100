"""For how long a callback of the producer holds the loop, at each of the loads."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.arguments import Settings
from benchmarks.job import NULL_KEYS, Job
from benchmarks.peers import OURS
from benchmarks.plan import Column, Table, extra
from benchmarks.sections.codecs import NAMES

_FITS = str(4 * 1024**3)


def tables(settings: Settings) -> list[Table]:
    columns = [
        Column(name, extra(name), ",.2f")
        for name in ("hold p99 ms", "hold p99.99 ms", "hold max ms", "gc max ms")
    ]
    return [
        Table(
            section="loop-hold",
            name="holds",
            title="Loop: thread CPU time of the longest callbacks",
            rows=_rows(settings),
            columns=[*columns, Column("callbacks", extra("callbacks"), ",.0f")],
            rounds=min(settings.rounds, 2),
            label="load",
            note="The steps of the task that sends are its own and left out, unless there are many"
            " tasks; garbage collection is taken off and shown beside.",
        )
    ]


def _rows(settings: Settings) -> dict[str, Job]:
    base = Job(
        peer=OURS,
        kind="loop-hold",
        value_size=1_000,
        linger_ms=5,
        seconds=1.5 * settings.factor,
        warm_up=0.3,
        keys=NULL_KEYS,
        options={"buffer.memory": _FITS},
        parameters={"run": 1.0, "patience": 60.0},
    )
    rows = {f"1000 B, {codec}": replace(base, compression=codec) for codec in NAMES}
    large = replace(base, batch_size=1_048_576)
    rows.update({f"1 MiB batches, {codec}": replace(large, compression=codec) for codec in NAMES})
    if settings.quick:
        return {name: rows[name] for name in ("1000 B, none", "1000 B, gzip")}
    runs = {"run": 100.0, "patience": 60.0}
    small = replace(base, value_size=100)
    rows["100 B, 10,000 partitions"] = replace(small, partitions=10_000, parameters=runs)
    rows["100 B, 1,000 topics"] = replace(small, partitions=1, topics=1_000, parameters=runs)
    rows["100 B, 32,000 tasks"] = replace(
        small, partitions=320, linger_ms=0, parameters={"tasks": 32_000.0, "patience": 60.0}
    )
    rows["1 GB queued"] = replace(base, parameters={"queued": 1e6, "patience": 90.0})
    return rows
