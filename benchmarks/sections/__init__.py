"""One module per section of the benchmark: the tables that it measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.arguments import Settings
from benchmarks.plan import Table
from benchmarks.sections import (
    codecs,
    idle,
    latency,
    loop_hold,
    memory,
    ping_pong,
    profiles,
    scale,
    throughput,
)

MAKERS: Mapping[str, Callable[[Settings], list[Table]]] = {
    "throughput": throughput.tables,
    "latency": latency.tables,
    "ping-pong": ping_pong.tables,
    "scale": scale.tables,
    "codecs": codecs.tables,
    "profiles": profiles.tables,
    "memory": memory.tables,
    "loop-hold": loop_hold.tables,
    "idle": idle.idle_tables,
    "import": idle.import_tables,
}

ON_ANY_CLUSTER = frozenset({"throughput", "latency"})
"""The others need what only the stand-in can do."""


def tables(settings: Settings) -> list[Table]:
    """Return the tables that were asked for, in the order of the sections."""
    return [table for name in settings.sections for table in MAKERS[name](settings)]
