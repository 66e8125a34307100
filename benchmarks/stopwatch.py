"""Wall clock and CPU time of this process, all threads together."""

from __future__ import annotations

import resource
import time


class Stopwatch:
    """Runs from its making, or from ``start()``."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> tuple[float, float]:
        """Return the wall and CPU seconds since ``start()``."""
        return time.perf_counter() - self._wall, cpu_seconds() - self._cpu


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
