"""The stand-in as the benchmark uses it: start it, make topics, ask what arrived."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.cluster import ChildCluster, ClusterError
from benchmarks.standin.build import BuildError, build

Verification = Literal["headers", "crc", "records"]
_LEVELS: dict[str, int] = {"headers": 0, "crc": 1, "records": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the stand-in has seen since the last ``reset()``."""

    requests: int
    batches: int
    records: int
    bytes: int
    duplicates: int
    checked_crcs: int
    checked_records: int
    malformed: int
    crc_errors: int
    sequence_errors: int
    record_errors: int
    cpu_seconds: float
    """Of the stand-in's process since its start."""
    first_error: str

    @property
    def errors(self) -> int:
        """How many batches or requests were not as they have to be."""
        return self.malformed + self.crc_errors + self.sequence_errors + self.record_errors


class StandInProcess(ChildCluster):
    """The counting stand-in: the C program, or the one in Python where it cannot be compiled.

    Args:
        nodes: how many brokers it plays.
        verification: what is checked of each batch: its header and sequence ("headers"), its
            CRC-32C too ("crc"), and each record of an uncompressed one ("records").
        in_python: take the fallback although there is a compiler.
    """

    def __init__(
        self, nodes: int = 3, verification: Verification = "crc", *, in_python: bool = False
    ) -> None:
        super().__init__()
        self.verification: Verification = verification
        self.compiled = False
        fallback = [sys.executable, "-m", "benchmarks.standin.fallback", str(nodes)]
        if in_python:
            self.command, self._how = fallback, "asked for in Python"
            return
        try:
            self.command, self._how = [str(build()), str(nodes)], "compiled C"
            self.compiled = True
        except BuildError as error:
            self.command, self._how = fallback, f"in Python, because {error}"

    def __enter__(self) -> StandInProcess:
        super().__enter__()
        nodes = self.bootstrap_servers.count(",") + 1
        self.description = (
            f"counting stand-in ({self._how}; {self.description}), {nodes} brokers,"
            f" checking {self.verification}"
        )
        self.verify(self.verification)
        return self

    def create_topic(self, name: str, partitions: int, topics: int = 0) -> None:
        """Make a topic; with ``topics``, that many, called NAME.0, NAME.1 and so on."""
        self._ask("create", name, partitions, *([topics] if topics else []))

    def delete_topic(self, name: str) -> None:
        """Forget the topic and those whose names begin with it and a dot."""
        self._ask("delete", name)

    def record_count(self, topic: str) -> int:
        """Return the sum of the end offsets, those of NAME.0 and so on included."""
        count: int = self._ask("count", topic)
        return count

    def verify(self, verification: Verification) -> None:
        self.verification = verification
        self._ask("verify", _LEVELS[verification])

    def delay(self, milliseconds: float) -> None:
        """Hold every answer back for so long."""
        self._ask("delay", round(milliseconds * 1000))

    def reset(self) -> None:
        self._ask("reset")

    def counts(self) -> Counts:
        answer: dict[str, Any] = self._ask("counts")
        return Counts(**answer)

    def check(self) -> None:
        """Raises ``ClusterError`` if anything that arrived since ``reset()`` was wrong."""
        counts = self.counts()
        if counts.errors:
            raise ClusterError(f"{counts.errors} errors, the first: {counts.first_error}")
