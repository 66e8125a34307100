"""What else the machine was doing: figures taken beside a busy neighbour are worth less."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# Fields of /proc/PID/stat, counted after the parenthesised name.
_PARENT, _TIMES = 1, slice(11, 15)


@dataclass(frozen=True, slots=True)
class Busy:
    """CPU seconds since boot of the whole machine, and of this process and its descendants."""

    at: float
    machine: float
    ours: float


def read_busy() -> Busy | None:
    """Return the present counts; ``None`` where the system does not tell."""
    try:
        first = (_PROC / "stat").read_text().partition("\n")[0]
    except OSError:
        return None
    return Busy(time.monotonic(), machine_seconds(first, _ticks()), _own_seconds())


def other_cores(before: Busy | None, after: Busy | None) -> float | None:
    """Return how many cores others kept busy in between, on average."""
    if before is None or after is None or after.at <= before.at:
        return None
    foreign = (after.machine - before.machine) - (after.ours - before.ours)
    return max(0.0, foreign / (after.at - before.at))


def machine_seconds(cpu_line: str, ticks: float) -> float:
    """Return the busy seconds in the first line of /proc/stat.

    Guests are counted under user already; idle and iowait are not busy; steal is the neighbours'.
    """
    user, nice, system, _, _, irq, softirq, steal = map(int, cpu_line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / ticks


def family_seconds(stats: dict[int, str], root: int, ticks: float) -> float:
    """Return the CPU seconds of the descendants of ``root``, from their /proc/PID/stat lines."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for pid, line in stats.items():
        # The name may hold spaces and parentheses; the last one closes it.
        fields = line.rpartition(")")[2].split()
        children.setdefault(int(fields[_PARENT]), []).append(pid)
        used[pid] = sum(map(int, fields[_TIMES])) / ticks
    total, left = 0.0, list(children.get(root, ()))
    while left:
        pid = left.pop()
        total += used[pid]
        left += children.get(pid, ())
    return total


def _own_seconds() -> float:
    stats: dict[int, str] = {}
    for directory in _PROC.glob("[0-9]*"):
        try:
            stats[int(directory.name)] = (directory / "stat").read_text()
        except OSError:
            continue  # it ended meanwhile
    own = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        own += usage.ru_utime + usage.ru_stime
    return own + family_seconds(stats, os.getpid(), _ticks())


def _ticks() -> float:
    return float(os.sysconf("SC_CLK_TCK"))


def load_average() -> str:
    """Return the load of the last one, five and fifteen minutes."""
    try:
        return " ".join(f"{value:.1f}" for value in os.getloadavg())
    except OSError:
        return "unknown"
