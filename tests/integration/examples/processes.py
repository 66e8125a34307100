"""Examples as processes that tests crash, freeze and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Of a process that is started, and of whatever it is waited for.
PATIENCE = 300.0
_HARNESS = "tests.integration.examples.crashing"


class Example:
    """One example with its environment, to be run again and again."""

    def __init__(
        self,
        module: str,
        logs: Path,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.module = f"examples.{module}"
        self.logs = logs
        self.environment = dict(environment or {})
        self.arguments = list(arguments)
        self._runs = 0

    @contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start it; whatever happens it is gone afterwards."""
        self._runs += 1
        log = self.logs / f"{self._runs}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", _HARNESS, self.module, *self.arguments, *arguments],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            # Also a frozen one takes this signal.
            process.kill()
            process.wait(timeout=PATIENCE)

    def run(self, *arguments: str, timeout: float = PATIENCE, **environment: str) -> int:
        """Run it to its end and return its exit status."""
        with self.running(*arguments, **environment) as process:
            return process.wait(timeout=timeout)

    def output(self) -> str:
        """Return what all runs have written, for the message of a failed test."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}"
            for log in sorted(self.logs.glob("*.log"), key=lambda log: int(log.stem))
        )


KILLED = -signal.SIGKILL


def wait_until(reached: Callable[[], bool], seconds: float, what: str) -> None:
    """Ask until ``reached``; raises :exc:`AssertionError` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
