"""``python -m benchmarks profile``: what a client's time is spent on, by the system's profiler.

One throughput run against the stand-in under ``perf``, which needs no counters of the processor
(``cpu-clock``) and sees compiled code, the interpreter, C libraries and the kernel alike. The start
of the process is left out.
"""

from __future__ import annotations

import argparse
import functools
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import aioproducer
from benchmarks.arguments import CODECS, parse
from benchmarks.peers import OURS, PEERS
from benchmarks.report import markdown
from benchmarks.sections.throughput import tables
from benchmarks.standin.process import StandInProcess

_TOPIC = "profile"
_SAMPLES_PER_SECOND = 1999
# Until imports are done and the first batches have gone.
_LEFT_OUT_MS = 1_200
_LINE = re.compile(r"^\s*([\d.]+)%\s*;\s*(.*?)\s*;\s*(\[.\])\s*(.*?)\s*(?:;.*)?$")


@functools.cache
def _compiled() -> frozenset[str]:
    package = Path(aioproducer.__file__).parent
    files = (path for suffix in ("so", "pyd") for path in package.rglob(f"*.{suffix}"))
    return frozenset(path.name.partition(".")[0] for path in files)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function and its share of the samples."""

    percent: float
    place: str
    """The program or library that it is in."""
    name: str
    is_kernel: bool

    @property
    def room(self) -> str:
        """What kind of work it is."""
        if self.is_kernel:
            return "kernel"
        if "aioproducer" in self.name or self.place.partition(".")[0] in _compiled():
            return "compiled hot files"
        if "gc_collect" in self.name or self.name.startswith(("visit_", "gc_", "deduce_")):
            return "garbage collection"
        if self.place.startswith(("libpython", "python")):
            return "interpreter"
        return self.place.partition(".")[0].strip("[]")


def read_symbols(report: Iterable[str]) -> list[Symbol]:
    """Return what ``perf report`` printed, most first."""
    found = []
    for line in report:
        match = _LINE.match(line)
        if match is not None:
            percent, place, kind, name = match.groups()
            found.append(Symbol(float(percent), place, name, kind == "[k]"))
    return sorted(found, key=lambda symbol: -symbol.percent)


def rooms_table(symbols: Sequence[Symbol]) -> str:
    rooms = Counter[str]()
    for symbol in symbols:
        rooms[symbol.room] += symbol.percent  # type: ignore[assignment]
    return markdown(["what", "%"], [[name, f"{share:.1f}"] for name, share in rooms.most_common()])


def symbols_table(symbols: Sequence[Symbol], count: int) -> str:
    rows = [[each.name, each.place, f"{each.percent:.1f}"] for each in symbols[:count]]
    return markdown(["function", "in", "%"], rows)


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile", description=__doc__)
    add = parser.add_argument
    add("--peer", choices=tuple(PEERS), default=OURS)
    add("--size", type=int, default=100)
    add("--compression", choices=CODECS, default="none")
    add("--batch-size", type=int)
    add("--seconds", type=float, default=4.0)
    add("--count", type=int, default=30, help="functions to print")
    given = parser.parse_args(arguments)
    perf = shutil.which("perf")
    if perf is None:
        print("not measured: perf is not installed")
        return 2
    options = ["--quick", "--sizes", str(given.size), "--seconds", str(given.seconds)]
    options += ["--compression", given.compression, "--peers", given.peer, "--warm-up", "0.8"]
    job = tables(parse(options))[0].rows[given.peer]
    job = replace(job, batch_size=given.batch_size)
    with StandInProcess() as stand_in, tempfile.TemporaryDirectory(prefix="profile-") as folder:
        stand_in.create_topic(_TOPIC, job.partitions)
        peer, data = PEERS[given.peer], Path(folder) / "perf.data"
        command = [perf, "record", "-q", "-e", "cpu-clock", "-F", str(_SAMPLES_PER_SECOND)]
        command += ["-D", str(_LEFT_OUT_MS), "-o", str(data), "--"]
        command += peer.command(job.at(stand_in.bootstrap_servers, _TOPIC))
        done = subprocess.run(
            command, env=peer.surroundings(), stdout=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            return done.returncode
        report = [perf, "report", "-q", "-i", str(data), "--no-children", "--stdio", "-t", ";"]
        report += ["--sort", "dso,symbol"]
        text = subprocess.run(report, capture_output=True, text=True, check=False).stdout
    symbols = read_symbols(text.splitlines())
    print(f"{given.peer}, {given.size} B, {given.compression}: where the CPU time goes\n")
    print(rooms_table(symbols) + "\n")
    print(symbols_table(symbols, given.count))
    return 0 if symbols else 1
