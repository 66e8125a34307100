"""How long ``import aioproducer`` takes in a fresh interpreter, its bytecode being there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

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
    with tempfile.TemporaryDirectory() as bytecode:
        # The first one has to read and compile files, as a program does after its installation.
        taken = [
            float(run_fresh(_SCRIPT.format(module=module), bytecode)) * 1000
            for _ in range(times + 1)
        ]
    return median(taken[1:])


def run_fresh(script: str, bytecode: str) -> str:
    """Run a script in an interpreter that keeps its bytecode in a folder, and return its output.

    Where PYTHONDONTWRITEBYTECODE is set, each start would compile all sources anew.
    """
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-X", f"pycache_prefix={bytecode}", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout
