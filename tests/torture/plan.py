"""Which faults come in which order: decided by the seed alone."""

from __future__ import annotations

import random
from enum import Enum


class FaultKind(Enum):
    """What is done to the cluster; the value says it to people."""

    KILL = "broker killed with -9 and restarted"
    FREEZE = "leader stopped and continued (SIGSTOP, SIGCONT)"
    CUT = "connections cut inside a frame"
    DELAY = "frames delayed"
    SWALLOW = "answers swallowed"
    REASSIGN = "replicas moved away and back"
    LEADERS = "leaders moved by preferred election"
    REMAKE = "topic deleted and made again"
    MIN_ISR = "min.insync.replicas lost and regained"
    QUOTA = "producer_byte_rate quota set and lifted"
    LIMIT = "max.message.bytes lowered and raised"


def plan_faults(seed: int, count: int) -> list[FaultKind]:
    """Return ``count`` kinds, shuffled round by round: no kind comes far more often than another.

    The first round holds each kind once, so that any run of at least as many faults has them all.
    """
    rng = random.Random(f"plan {seed}")
    kinds = list(FaultKind)
    faults: list[FaultKind] = []
    while len(faults) < count:
        rng.shuffle(kinds)
        faults.extend(kinds)
    return faults[:count]
