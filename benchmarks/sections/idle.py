"""What a producer costs that has nothing to do, and what it costs to import it."""

from __future__ import annotations

from benchmarks.arguments import Settings
from benchmarks.job import NULL_KEYS, Job
from benchmarks.peers import OURS
from benchmarks.plan import Column, Table, extra


def idle_tables(settings: Settings) -> list[Table]:
    job = Job(
        peer=OURS,
        kind="idle",
        value_size=1,
        linger_ms=5,
        seconds=max(8.0 * settings.factor, 3.0),
        warm_up=1.0,
        keys=NULL_KEYS,
    )
    return [
        Table(
            section="idle",
            name="wake-ups",
            title=f"Idle: connected to {settings.brokers} brokers, nothing to send",
            rows={OURS: job},
            columns=[
                Column("wake-ups/s", extra("wake-ups/s"), ".2f"),
                Column("CPU ms/s", extra("CPU ms/s"), ".2f"),
            ],
        )
    ]


def import_tables(settings: Settings) -> list[Table]:
    job = Job(
        peer=OURS,
        kind="import",
        value_size=1,
        linger_ms=0,
        seconds=5.0,
        warm_up=0.0,
        parameters={"times": 2.0 if settings.quick else 7.0},
    )
    return [
        Table(
            section="import",
            name="import",
            title="Import: `import aioproducer` in a fresh interpreter",
            rows={OURS: job},
            columns=[
                Column("import ms", extra("import ms"), ".1f"),
                Column("of that asyncio ms", extra("of that asyncio ms"), ".1f"),
            ],
            rounds=min(settings.rounds, 2),
        )
    ]
