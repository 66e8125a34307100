"""Runs a target over many inputs: which errors come, how much memory, how long."""

from __future__ import annotations

import random
import resource
import time
import traceback
import tracemalloc
from dataclasses import dataclass
from typing import NamedTuple

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import LIMIT, Target

# What a value costs in Python, times what a byte can stand for; and what unpacking may take.
_BYTES_PER_BYTE = 1000
_FLOOR = 512 * 1024 + 8 * LIMIT
_MOST_SECONDS = 2.0
_MEASURED_EVERY = 50
_ADDRESS_SPACE = 4 * 1024**3


class Finding(NamedTuple):
    """An input that did what it must not."""

    target: str
    data: bytes
    what: str

    def __str__(self) -> str:
        return (
            f"{self.target}: {self.what}\n"
            f"again: python -m tests.fuzz --replay '{self.target}={self.data.hex()}'"
        )


@dataclass(slots=True)
class Tally:
    """How many inputs were read, how many of those refused, and what was found."""

    inputs: int = 0
    refused: int = 0
    finding: Finding | None = None

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.refused += other.refused
        self.finding = self.finding or other.finding


def attack(target: Target, count: int, seed: object) -> Tally:
    """Give ``count`` mutated inputs to ``target``; ends at the first finding."""
    rng = random.Random(f"{target.name} {seed}")
    tally = Tally()
    for number in range(count):
        data = mutated(target.seeds, rng)
        tally.inputs += 1
        refused, what = attempt(target, data, measured=number % _MEASURED_EVERY == 0)
        tally.refused += refused
        if what:
            tally.finding = Finding(target.name, data, what)
            break
    return tally


def attempt(target: Target, data: bytes, *, measured: bool) -> tuple[bool, str]:
    """Give one input; say whether it was refused, and what is wrong, if anything is."""
    refused = False
    started = time.thread_time()
    if measured:
        tracemalloc.start()
    try:
        target.read(data)
    except target.documented:
        refused = True
    except Exception:  # noqa: BLE001 - being told of it is what this is for
        return refused, traceback.format_exc()
    finally:
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        tracemalloc.stop()
    if peak > _FLOOR + _BYTES_PER_BYTE * len(data):
        return refused, f"{peak} bytes were taken for an input of {len(data)}"
    if (took := time.thread_time() - started) > _MOST_SECONDS:
        return refused, f"took {took:.1f} s"
    return refused, ""


def bound_memory() -> None:
    """Make an allocation without bound fail in this process instead of filling the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
