"""What compression costs above none, and how much of that is the codec itself."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.arguments import Settings
from benchmarks.job import Job
from benchmarks.peers import OURS
from benchmarks.plan import Column, Table, cpu, extra, rate
from benchmarks.probes.codecs import ALWAYS, NEVER
from benchmarks.store import TableResults

NAMES = ("none", "snappy", "lz4", "zstd", "gzip")
_SIZE = 1_000
_WHERE = ("as chosen", "on the loop", "on threads")


def tables(settings: Settings) -> list[Table]:
    return [
        _shares(settings, 16_384),
        *([] if settings.quick else [_shares(settings, 131_072), _threads(settings)]),
    ]


def _job(settings: Settings, codec: str, batch_size: int) -> Job:
    return Job(
        peer=OURS,
        kind="codecs",
        value_size=_SIZE,
        linger_ms=5,
        seconds=settings.seconds,
        warm_up=settings.warm_up,
        batch_size=batch_size,
        compression=codec,
        loop=settings.loop,
    )


def _columns() -> list[Column]:
    return [
        Column("messages/s", rate, ",.0f"),
        Column("CPU s/M", cpu, ",.2f", ratio=True),
        Column("codec s/M", extra("codec s/M"), ",.2f"),
        Column("on threads s/M", extra("codec on threads s/M"), ",.2f"),
        Column("share %", extra("share %"), ",.0f"),
        Column("wire B/record", extra("bytes per record"), ",.0f"),
    ]


def _shares(settings: Settings, batch_size: int) -> Table:
    kib = batch_size // 1024
    return Table(
        section="codecs",
        name=f"{kib} KiB",
        title=f"Codecs: 1000 B values, 16 B keys, {kib} KiB batches",
        rows={codec: _job(settings, codec, batch_size) for codec in NAMES},
        columns=_columns(),
        reference="none",
        rounds=settings.rounds,
        label="codec",
        note="share %: the codec's own time, of the CPU time above that of none. Sending fewer"
        " bytes saves CPU time elsewhere, so it can exceed 100.",
        noisy=("CPU s/M",),
        derive=add_shares,
    )


def _threads(settings: Settings) -> Table:
    rows = {}
    for codec in NAMES[1:]:
        for where, value in zip(_WHERE, (None, NEVER, ALWAYS), strict=True):
            job = _job(settings, codec, 131_072)
            if value is not None:
                job = replace(job, parameters={"threads": float(value)})
            rows[f"{codec}, {where}"] = job
    return Table(
        section="codecs",
        name="threads",
        title="Codecs: worker threads, 1000 B values, 128 KiB batches",
        rows=rows,
        columns=[*_columns()[:4], Column("of the better", extra("of the better"), ".2f")],
        rounds=1,
        label="codec",
        note="Of the better: messages/s as chosen, times those of the better of the two others.",
        derive=add_choices,
    )


def add_choices(results: TableResults) -> None:
    """Hold what the producer chose to the better of the loop and worker threads."""
    for codec in NAMES[1:]:
        rows = [results.get(f"{codec}, {where}") for where in _WHERE]
        if any(row is None or not row.runs for row in rows):
            continue
        chosen, *others = [row.runs for row in rows if row is not None]
        for number, run in enumerate(chosen):
            best = max(each[min(number, len(each) - 1)].records_per_second for each in others)
            run.extra["of the better"] = run.records_per_second / best


def add_shares(results: TableResults) -> None:
    """Give each run its codec's share of the CPU time above the same round without a codec."""
    plain = results.get("none")
    if plain is None:
        return
    for name, result in results.items():
        for run, without in zip(result.runs, plain.runs, strict=False):
            above = run.cpu_per_million - without.cpu_per_million
            if name != "none" and above > 0:
                run.extra["share %"] = run.extra["codec s/M"] / above * 100
