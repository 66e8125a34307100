"""Memory above what is configured, and whether it grows."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.arguments import Settings
from benchmarks.job import Job
from benchmarks.peers import OURS
from benchmarks.plan import Column, Table, extra, rate

_SOAK_PATIENCE = 3_600.0


def tables(settings: Settings) -> list[Table]:
    found = [_table(settings, "full buffer", _full(settings), "filled to the brim")]
    if settings.soak:
        found.append(_table(settings, "soak", _soak(settings), "a soak, 100 B values"))
    return found


def _table(settings: Settings, name: str, rows: dict[str, Job], title: str) -> Table:
    columns = [
        Column("before MB", extra("before MB"), ",.1f"),
        Column("peak MB", extra("peak MB"), ",.1f"),
        Column("over start MB", extra("over start MB"), ",.1f"),
        Column("over buffer.memory MB", extra("over buffer.memory MB"), ",.1f"),
        Column("messages/s", rate, ",.0f"),
    ]
    if name == "soak":
        columns.insert(4, Column("KB per million", extra("growth KB per million"), ",.1f"))
    return Table(
        # What takes minutes is not forgotten when the rest is measured anew.
        section="soak" if name == "soak" else "memory",
        name=name,
        title=f"Memory: {title}, buffer.memory 32 MiB",
        rows=rows,
        columns=columns,
        rounds=1 if name == "soak" else min(settings.rounds, 2),
        label="load",
        note="Resident set; before: when the benchmark's own values are there and no producer yet."
        + (" KB per million: a line through the later half." if name == "soak" else ""),
    )


def _job(settings: Settings, value_size: int) -> Job:
    return Job(
        peer=OURS,
        kind="memory",
        value_size=value_size,
        linger_ms=5,
        seconds=2.0 * settings.factor,
        warm_up=0.0,
        loop=settings.loop,
        options={"buffer.memory": str(32 * 1024**2)},
    )


def _full(settings: Settings) -> dict[str, Job]:
    return {f"{size} B": _job(settings, size) for size in (100, 1_000)}


def _soak(settings: Settings) -> dict[str, Job]:
    parameters = {"records": float(settings.soak), "patience": _SOAK_PATIENCE}
    return {f"{settings.soak:,} records": replace(_job(settings, 100), parameters=parameters)}
