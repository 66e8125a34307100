"""``python -m benchmarks regression``: does a record take more work than it did?

Times move with the machine; counts do not. ``benchmarks/regression.toml`` has what each build took
when it was last written, by version of Python, because each compiles to other instructions. More
than a few percent above that fails. After a change that is worth what it costs, or one that
saved something: ``python -m benchmarks regression --write``, and commit the file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers import OURS, PEERS, PURE
from benchmarks.report import markdown

LIMITS = Path(__file__).with_name("regression.toml")
BUILDS = {"pure": PURE, "compiled": OURS}
# Counts differ a little with the order of sets: by less than a tenth of anything.
TOLERANCE, SLACK = 0.03, 0.1

Figures = Mapping[str, float]
_HEADING = """\
# What a record takes, by version of Python and build: written by
# `python -m benchmarks regression --write`, which docs/performance.md explains.
"""


class WorkError(RuntimeError):
    """The counting itself failed."""


def limit(known: float) -> float:
    """Return how much a figure may be that was ``known``."""
    return known * (1 + TOLERANCE) + SLACK


def worse(figures: Figures, known: Figures) -> list[str]:
    """Return the figures that are above their limits, or have none."""
    return [name for name, value in figures.items() if value > limit(known.get(name, -1.0))]


def count(build: str) -> Figures | None:
    """Return the figures of a build, in a process of its own; ``None`` where there is none."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.work"],
        capture_output=True,
        text=True,
        env={**PEERS[BUILDS[build]].surroundings(), "PYTHONHASHSEED": "0"},
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise WorkError(done.stderr.strip().splitlines()[-1])
    answer = json.loads(done.stdout)
    figures: Figures = answer["figures"]
    return figures if answer["build"] == build else None


def python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def load(path: Path = LIMITS) -> dict[str, dict[str, Figures]]:
    """Return the known figures, by version of Python and build."""
    known: dict[str, dict[str, Figures]] = {}
    if path.is_file():
        known.update(tomllib.loads(path.read_text()))
    return known


def save(known: Mapping[str, Mapping[str, Figures]], path: Path = LIMITS) -> None:
    lines = [_HEADING]
    for version, builds in sorted(known.items()):
        for build, figures in sorted(builds.items()):
            lines.append(f'["{version}".{build}]')
            lines += [f'"{name}" = {round(value, 2)}' for name, value in figures.items()]
            lines.append("")
    path.write_text("\n".join(lines))


def table(build: str, figures: Figures, known: Figures) -> str:
    bad = worse(figures, known)
    rows = []
    for name, value in figures.items():
        allowed = f"{limit(known[name]):,.2f}" if name in known else "none"
        rows.append([name, f"{value:,.2f}", allowed, "MORE" if name in bad else "ok"])
    return markdown([f"{build}, per record", "now", "limit", ""], rows)


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks regression", description=__doc__)
    parser.add_argument("--write", action="store_true", help="take what is for what may be")
    parser.add_argument(
        "--builds",
        default="",
        metavar="A,B",
        help="fail when one of these is not here (default: those that are)",
    )
    given = parser.parse_args(arguments)
    required = [name for name in given.builds.split(",") if name]
    known, version = load(), python_version()
    status = 0
    for build in BUILDS:
        figures = count(build)
        if figures is None:
            print(f"{build}: this build is not here\n")
            status |= build in required
            continue
        before = known.setdefault(version, {})
        print(table(build, figures, before.get(build, {})) + "\n")
        if given.write:
            before[build] = figures
        elif build not in before:
            print(f"{LIMITS.name} has nothing of Python {version}, {build}: not judged\n")
            status |= build in required
        else:
            status |= bool(worse(figures, before[build]))
    if given.write:
        save(known)
    return int(status)
