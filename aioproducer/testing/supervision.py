"""Child processes that cannot outlive this one, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Leads the process group of all children and waits for the end of its standard input, which comes
# when the owner closes it or dies, also by kill -9. Its fork leaves the group, kills it as a whole,
# and removes the directory. A group has no gap between "started" and "known to the guardian", as a
# list of process ids has; PR_SET_PDEATHSIG would fire when a mere thread of the owner ends.
_GUARDIAN = """
import os, shutil, signal, sys, time
for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(ignored, signal.SIG_IGN)
group = os.getpgrp()
while os.read(0, 4096):
    pass
if os.fork() == 0:
    os.setpgid(0, 0)
    os.killpg(group, signal.SIGKILL)
    for _ in range(50):
        shutil.rmtree(sys.argv[1], ignore_errors=True)
        if not os.path.exists(sys.argv[1]):
            break
        time.sleep(0.1)
    os._exit(0)
time.sleep(60)
"""


class Supervisor:
    """A temporary directory and the processes that work in it; both go when the owner goes."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="aioproducer-"))
        try:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GUARDIAN, str(self.directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                process_group=0,
            )
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self._children: list[subprocess.Popen[bytes]] = []

    def spawn(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        log: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process whose output is appended to `log`."""
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=None if environment is None else dict(environment),
                process_group=self._guardian.pid,
            )
        self._children.append(child)
        return child

    def close(self) -> None:
        """Kill every process of the group, reap all, and remove the directory."""
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        for child in self._children:
            # A frozen process takes no other signal than this one.
            child.kill()
            child.wait(timeout=120)
        self._children.clear()
        self._guardian.send_signal(signal.SIGKILL)
        self._guardian.wait(timeout=120)
        shutil.rmtree(self.directory, ignore_errors=True)


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log file, indented for an error message."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    kept = text.splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in kept) or "    (empty)"
