"""How long ``import aioproducer`` takes in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.figures import median
from benchmarks.job import Job, Measurement

_SCRIPT = (
    "import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
)


async def measure(job: Job) -> Measurement:
    """Import ``times`` times; interpreters one after another, files in the system's cache."""
    times = int(job.parameters.get("times", 7))
    figures = {
        "aioproducer": _import_ms("aioproducer", times),
        "asyncio": _import_ms("asyncio", times),
    }
    return Measurement(
        records=0,
        seconds=0.0,
        cpu_seconds=0.0,
        sent=0,
        extra={
            "import ms": figures["aioproducer"],
            "of that asyncio ms": figures["asyncio"],
        },
    )


def _import_ms(module: str, times: int) -> float:
    script = _SCRIPT.format(module=module)
    taken = []
    for _ in range(times + 1):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        taken.append(float(done.stdout) * 1000)
    # The first one may have had to read and compile files.
    return median(taken[1:])
