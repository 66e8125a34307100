"""What articles on this producer promise, with the settings that they give, measured."""

from __future__ import annotations

from dataclasses import replace

from aioproducer.config_profiles import PROFILES
from aioproducer.wire.compression import HAS_STDLIB_ZSTD
from benchmarks.arguments import Settings
from benchmarks.job import NULL_KEYS, Job
from benchmarks.peers import OURS
from benchmarks.plan import Column, Table, cpu, extra, percentile, rate
from benchmarks.probes.serializers import NAMES

_SIZE = 1_000


def tables(settings: Settings) -> list[Table]:
    return [
        _profiles(settings),
        _latency(settings),
        _against(
            settings,
            "partitioner",
            {
                "sticky": _job(settings, value_size=100),
                "round robin": _job(
                    settings, value_size=100, options={"partitioner.class": "round_robin"}
                ),
            },
            "null keys, 100 B values, 100 partitions",
        ),
        _against(
            settings,
            "idempotence",
            {
                "without": _job(settings, options={"enable.idempotence": "false"}),
                "idempotent": _job(settings),
            },
            "null keys, 1000 B values, acks=all",
        ),
        _serializers(settings),
    ]


def _job(settings: Settings, **fields: object) -> Job:
    base = Job(
        peer=OURS,
        kind="throughput",
        value_size=_SIZE,
        linger_ms=5,
        seconds=settings.seconds,
        warm_up=settings.warm_up,
        keys=NULL_KEYS,
        loop=settings.loop,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def _profiles(settings: Settings) -> Table:
    rows = {
        name: _job(settings, options={"profile": name}) for name in PROFILES if name != "latency"
    }
    return Table(
        section="profiles",
        name="throughput",
        title="Profiles: 1000 B values",
        rows=rows,
        columns=[
            Column("MB/s", lambda run: run.records_per_second * _SIZE / 1e6, ",.0f"),
            Column("messages/s", rate, ",.0f"),
            Column("CPU s/M", cpu, ",.2f"),
        ],
        rounds=settings.rounds,
        label="profile",
        note="What each sets: docs/profiles.md. MB before compression.",
        needs={"throughput": "lz4", "balanced": "cramjam"}
        | ({} if HAS_STDLIB_ZSTD else {"reliability": "zstandard"}),
        noisy=("MB/s",),
    )


def _latency(settings: Settings) -> Table:
    job = _job(
        settings,
        kind="latency",
        value_size=100,
        seconds=2 * settings.factor,
        options={"profile": "latency"},
    )
    return Table(
        section="profiles",
        name="latency",
        title=f"Profiles: latency, {job.rate} records/s, 100 B values",
        rows={"latency": job},
        columns=[Column(f"{name} ms", percentile(name)) for name in ("p50", "p99", "p99.9")],
        rounds=settings.rounds,
        label="profile",
        noisy=("p99 ms",),
    )


def _against(settings: Settings, name: str, rows: dict[str, Job], title: str) -> Table:
    if name == "partitioner":
        rows = {row: replace(job, partitions=100) for row, job in rows.items()}
    return Table(
        section="profiles",
        name=name,
        title=f"Profiles: {name}, {title}",
        rows=rows,
        columns=[
            Column("messages/s", rate, ",.0f", ratio=True),
            Column("CPU s/M", cpu, ",.2f", ratio=True),
            Column("records/batch", extra("records per batch"), ",.0f"),
        ],
        reference=list(rows)[-1] if name == "partitioner" else next(iter(rows)),
        rounds=settings.rounds if settings.quick else settings.rounds + 2,
        label=name,
        noisy=("messages/s", "CPU s/M"),
    )


def _serializers(settings: Settings) -> Table:
    rows = {
        name: _job(
            settings,
            kind="serializers",
            keys=1_000,
            parameters={"serializer": float(number)},
        )
        for number, name in enumerate(NAMES)
    }
    return Table(
        section="profiles",
        name="serializers",
        title="Profiles: serializers, values of about 1 KB, 16 B keys",
        rows=rows,
        columns=[Column("messages/s", rate, ",.0f"), Column("CPU s/M", cpu, ",.2f")],
        rounds=min(settings.rounds, 2),
        label="serializer",
        note="avro: with a registry in memory, the schema's id in front of each value.",
        needs={"avro": "fastavro"},
        noisy=("messages/s",),
    )
