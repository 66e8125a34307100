"""What a record costs as partitions, topics, tasks and queued bytes grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.arguments import Settings
from benchmarks.job import NULL_KEYS, Job
from benchmarks.peers import OURS
from benchmarks.plan import Column, Table, cpu, extra, rate

PARTITIONS = (1, 10, 100, 1_000, 10_000)
TOPICS = (1, 10, 100, 1_000)
TASKS = (100, 1_000, 10_000, 32_000)
QUEUED_MB = (1, 10, 100, 1_000)

_RUN = 100
# A hundred records of 100 B fill a batch, 61 B of header included; those of a kilobyte likewise.
_SMALL_BATCH = 61 + _RUN * 110
_LARGE_BATCH = 61 + _RUN * 1_012
_RATE = 20_000.0
_FITS = str(4 * 1024**3)


def tables(settings: Settings) -> list[Table]:
    topics = [] if settings.quick else _pair(settings, "topics", _topics(settings))
    return [
        *_pair(settings, "partitions", _partitions(settings)),
        *topics,
        *_pair(settings, "tasks", _tasks(settings)),
        _table(
            settings,
            "queued",
            _queued(settings),
            "queued bytes, 1000 B values, 100 records per batch",
        ),
    ]


def _pair(settings: Settings, name: str, rows: Mapping[str, Job]) -> list[Table]:
    """At 100 records per batch, and at an equal total rate, where batches get smaller."""
    slow = {
        row: replace(
            job, linger_ms=5, batch_size=None, parameters={**job.parameters, "rate": _RATE}
        )
        for row, job in rows.items()
    }
    full = _table(settings, name, rows, f"{name}, 100 records per batch")
    if settings.quick:
        return [full]
    title = f"{name}, {_RATE:,.0f} records/s in all"
    return [full, _table(settings, f"{name}, equal rate", slow, title)]


def _table(settings: Settings, name: str, rows: Mapping[str, Job], title: str) -> Table:
    return Table(
        section="scale",
        name=name,
        title=f"Scale: {title}",
        rows=rows,
        columns=[
            Column("CPU s/M", cpu, ",.2f", ratio=True),
            Column("messages/s", rate, ",.0f"),
            Column("records/batch", extra("records per batch"), ",.0f"),
            Column("batches/request", extra("batches per request"), ",.1f"),
        ],
        reference=next(iter(rows)),
        rounds=min(settings.rounds, 2),
        label=name.split(",")[0],
        note="Ratios are to the first row. Records and batches are counted with the warm-up, which"
        " sends to each partition once.",
        noisy=("CPU s/M",),
        plot="lines",
    )


def _job(settings: Settings, **fields: object) -> Job:
    base = Job(
        peer=OURS,
        kind="scale",
        value_size=100,
        linger_ms=5,
        seconds=1.0 * settings.factor,
        warm_up=0.2,
        keys=NULL_KEYS,
        batch_size=_SMALL_BATCH,
        loop=settings.loop,
        options={"buffer.memory": _FITS},
        parameters={"run": float(_RUN), "patience": 60.0},
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def _partitions(settings: Settings) -> dict[str, Job]:
    points = PARTITIONS[:3] if settings.quick else PARTITIONS
    return {f"{number:,}": _job(settings, partitions=number) for number in points}


def _topics(settings: Settings) -> dict[str, Job]:
    return {f"{number:,}": _job(settings, partitions=1, topics=number) for number in TOPICS}


def _tasks(settings: Settings) -> dict[str, Job]:
    points = TASKS[:2] if settings.quick else TASKS
    return {
        f"{number:,}": _job(
            settings,
            partitions=max(number // _RUN, 1),
            linger_ms=0,
            parameters={"tasks": float(number), "patience": 60.0},
        )
        for number in points
    }


def _queued(settings: Settings) -> dict[str, Job]:
    points = QUEUED_MB[:2] if settings.quick else QUEUED_MB
    return {
        f"{megabytes:,} MB": _job(
            settings,
            value_size=1_000,
            batch_size=_LARGE_BATCH,
            parameters={"queued": megabytes * 1_000.0, "patience": 90.0},
        )
        for megabytes in points
    }
