"""How many records a second, and what each costs."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.arguments import Settings
from benchmarks.job import NULL_KEYS, Job, Measurement
from benchmarks.peers import REFERENCE
from benchmarks.plan import Column, Table, cpu, extra, rate

_SAME_BATCH = 16_384
_BESIDE = ("lz4", "zstd")
"""Unless codecs are asked for, these are measured too, with the larger values."""
# Their default is the same batch size, so the table would repeat itself; or they are far behind.
_NOT_AGAIN = frozenset({"kafka-python", "confluent-aio"})


def tables(settings: Settings) -> list[Table]:
    found: list[Table] = []
    for codec in settings.compression:
        found += [_table(settings, _job(settings, size, codec), "") for size in settings.sizes]
        if settings.quick:
            continue
        for size in settings.sizes:
            job = _job(settings, size, codec)
            if settings.batch_size is None:
                same = replace(job, batch_size=_SAME_BATCH)
                found.append(_table(settings, same, ", 16 KiB batches"))
            if codec == "none":
                found.append(_table(settings, replace(job, keys=NULL_KEYS), ""))
    if settings.compression == ("none",) and not settings.quick:
        found += [
            _table(settings, _job(settings, max(settings.sizes), codec), "") for codec in _BESIDE
        ]
    return found


def smoke_jobs(settings: Settings) -> dict[str, Job]:
    """Return a job for each client, uncompressed: so the stand-in can look at each record."""
    job = _job(settings, min(settings.sizes), "none")
    return {name: replace(job, peer=name) for name in settings.peers}


def _job(settings: Settings, size: int, codec: str) -> Job:
    return Job(
        peer="",
        kind="throughput",
        value_size=size,
        linger_ms=settings.linger_ms,
        seconds=settings.seconds,
        warm_up=settings.warm_up,
        partitions=settings.partitions,
        window=settings.window,
        keys=settings.keys,
        batch_size=settings.batch_size,
        compression=codec,
        loop=settings.loop,
    )


def _table(settings: Settings, job: Job, batches: str) -> Table:
    codec = "" if job.compression == "none" else f", {job.compression}"
    keys = {NULL_KEYS: "null keys", 0: "16 B keys never seen before"}.get(job.keys, "16 B keys")
    short = "null" if job.keys == NULL_KEYS else "keyed"
    is_first = not batches and job.keys != NULL_KEYS and job.compression in settings.compression
    peers = [name for name in settings.peers if is_first or name not in _NOT_AGAIN]
    return Table(
        section="throughput",
        name=f"{job.value_size} B {short}{codec}{batches}",
        title=f"Throughput: {job.value_size} B values, {keys}{codec}{batches},"
        f" linger {job.linger_ms} ms, at most {job.window} un-awaited",
        rows={name: replace(job, peer=name) for name in peers},
        columns=_columns(job.record_size),
        reference=REFERENCE,
        rounds=settings.rounds if is_first else min(settings.rounds, 2),
        noisy=("messages/s", "CPU s/M"),
    )


def _columns(record_size: int) -> list[Column]:
    return [
        Column("messages/s", rate, ",.0f", ratio=True),
        Column("MB/s", lambda run: run.records_per_second * record_size / 1e6, ".1f"),
        Column("CPU s/M", cpu, ".2f", ratio=True),
        Column("records/batch", extra("records per batch"), ".0f"),
        Column("batches/request", extra("batches per request"), ".1f"),
        Column("wire B/record", extra("bytes per record"), ".0f"),
        Column("stand-in cores", _stand_in_cores, ".2f"),
    ]


def _stand_in_cores(run: Measurement) -> float | None:
    """How busy it was; near 1 it would be what limits."""
    per_million = run.extra.get("stand-in CPU s/M")
    return None if per_million is None else per_million * run.records_per_second / 1e6
