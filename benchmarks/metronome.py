"""Writes a byte to its standard output at each tick: ``metronome.py START_NS TICK_NS COUNT``.

A process of its own, because an event loop cannot keep this time: epoll rounds timers up to whole
milliseconds. Runs with ``python -I -S``, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
import time


def run(start_ns: int, tick_ns: int, count: int) -> None:
    """Tick until the end, or until nobody listens any more."""
    for tick in range(count):
        wait = start_ns + tick * tick_ns - time.monotonic_ns()
        if wait > 0:
            time.sleep(wait / 1e9)
        try:
            os.write(1, b".")
        except BrokenPipeError:
            return


if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
