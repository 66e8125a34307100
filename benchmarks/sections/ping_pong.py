"""One record at a time, beside a bare socket that exchanges the same bytes on the same loop."""

from __future__ import annotations

from benchmarks.arguments import Settings
from benchmarks.job import NULL_KEYS, Job
from benchmarks.peers import OURS, PURE, REFERENCE
from benchmarks.plan import Column, Table, cpu, extra, rate

BARE = "bare socket"


def tables(settings: Settings) -> list[Table]:
    peers = [name for name in (OURS, PURE, REFERENCE, "confluent") if name in settings.peers]
    rows = {BARE: _job(settings, OURS, {"bare": 1.0})}
    rows.update({name: _job(settings, name, {}) for name in peers})
    columns = [
        Column("round trips/s", rate, ",.0f"),
        Column("p50 us", extra("p50 us"), ",.0f", ratio=True),
        Column("p99 us", extra("p99 us"), ",.0f", ratio=True),
        Column("CPU us each", cpu, ",.0f", ratio=True),
    ]
    return [
        Table(
            section="ping-pong",
            name="100 B",
            title="Ping-pong: send_and_wait() of 100 B, one at a time, to one partition",
            rows=rows,
            columns=columns,
            reference=BARE,
            rounds=settings.rounds,
            note="Ratios are to the bare socket. confluent: produce() and flush().",
            noisy=("p50 us",),
        )
    ]


def _job(settings: Settings, peer: str, parameters: dict[str, float]) -> Job:
    return Job(
        peer=peer,
        kind="ping-pong",
        value_size=100,
        linger_ms=0,
        seconds=1.5 * settings.factor,
        warm_up=0.3,
        partitions=1,
        keys=NULL_KEYS,
        loop=settings.loop,
        parameters=parameters,
    )
