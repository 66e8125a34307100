"""Shows that the simulation bites: ``python -m tests.simulation.mutate`` plants deliberate bugs.

Each mutation is made in a copy of the package and the tests, never in the checkout, and run with
the simulation. One that survives, or no longer applies, ends the command with 1.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LIST = Path(__file__).with_name("mutations.toml")
SEEDS = 600
"""So many seeds a mutation may survive; most do not survive twenty."""
TRANSACTIONS = "transactions"
"""Bugs of this area are looked for with transactional producers."""
_LONGEST = 120
"""Seconds of processor time after which a run is ended: six times what all seeds take. A producer
that turns in circles is found out too; a machine that is merely busy must not look like one."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A plausible bug: ``old`` in ``file`` becomes ``new``."""

    area: str
    name: str
    file: str
    old: str
    new: str
    why: str

    def applies(self, root: Path) -> bool:
        """Return whether its place is there, once."""
        path = root / "aioproducer" / self.file
        return path.is_file() and path.read_text().count(self.old) == 1

    def apply(self, root: Path) -> None:
        """Plant it in the package below ``root``."""
        path = root / "aioproducer" / self.file
        path.write_text(path.read_text().replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mutation; ``found`` is empty when it survived."""

    mutation: Mutation | None
    found: str
    seconds: float


def load(path: Path = LIST) -> list[Mutation]:
    """Return all mutations, in the order of the list."""
    table = tomllib.loads(path.read_text())
    return [Mutation(area, **each) for area, each in _entries(table)]


def _entries(table: dict[str, list[dict[str, str]]]) -> Iterable[tuple[str, dict[str, str]]]:
    for area, entries in table.items():
        for entry in entries:
            yield area, entry


def table(mutations: Sequence[Mutation]) -> str:
    """Return the table of docs/simulation.md."""
    areas: dict[str, list[str]] = {}
    for each in mutations:
        areas.setdefault(each.area, []).append(each.name)
    rows = [f"| {area} | {len(names)} | {'; '.join(names)} |" for area, names in areas.items()]
    return "\n".join(["| area | bugs | which |", "|---|---|---|", *rows]) + "\n"


def copy_to(folder: Path) -> None:
    """Copy what a run needs."""
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "integration", "torture")
    for name in ("aioproducer", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)


def try_mutation(mutation: Mutation | None, seeds: str, *, transactions: bool = False) -> Outcome:
    """Run the simulation with ``mutation``, or with the code as it is."""
    started = time.monotonic()
    if mutation is not None:
        transactions = mutation.area == TRANSACTIONS
    if mutation is not None and not mutation.applies(ROOT):
        return Outcome(mutation, "", 0.0)
    with tempfile.TemporaryDirectory(prefix="aioproducer-mutation-") as name:
        folder = Path(name)
        copy_to(folder)
        if mutation is not None:
            mutation.apply(folder)
        found = _run(folder, seeds, transactions=transactions)
    return Outcome(mutation, found, time.monotonic() - started)


def _run(folder: Path, seeds: str, *, transactions: bool) -> str:
    command = [
        sys.executable, "-m", "tests.simulation", seeds, "--workers", "1", "--stop",
        "--package", str(folder / "aioproducer"),
        *(["--transactions"] if transactions else []),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    # The bugs are planted in the sources.
    environment["AIOPRODUCER_PURE"] = "1"
    done = subprocess.run(
        ["sh", "-c", f'ulimit -t {_LONGEST} && exec "$@"', "sh", *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"did not end within {_LONGEST} s of processor time"
    lines = done.stdout.splitlines()
    for number, line in enumerate(lines):
        if "violations, the first is" in line:
            return f"seed {line.split()[1]}: {lines[number + 1].strip()}"
    raise RuntimeError(f"the simulation did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _tell(outcome: Outcome) -> None:
    assert outcome.mutation is not None
    verdict = outcome.found[:110] or "SURVIVED"
    if not outcome.mutation.applies(ROOT):
        verdict = "NO LONGER APPLIES"
    _say(f"{outcome.seconds:6.1f} s  {outcome.mutation.area}: {outcome.mutation.name}: {verdict}")


def run(mutations: Sequence[Mutation], seeds: str, workers: int) -> int:
    """Try the code as it is, then each mutation; 1 if one was not found."""
    started = time.monotonic()
    for transactions in sorted({mutation.area == TRANSACTIONS for mutation in mutations}):
        untouched = try_mutation(None, seeds, transactions=transactions)
        if untouched.found:
            _say(f"the code as it is fails already: {untouched.found}")
            return 1
        _say(f"{untouched.seconds:6.1f} s  the code as it is passes {seeds} seeds")
    survivors = []
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(try_mutation, mutation, seeds) for mutation in mutations]
        for future in as_completed(futures):
            outcome = future.result()
            _tell(outcome)
            if not outcome.found:
                survivors.append(outcome)
    minutes = (time.monotonic() - started) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = (used.ru_utime + used.ru_stime) / 60
    caught = len(mutations) - len(survivors)
    _say(
        f"\n{caught} of {len(mutations)} mutations were found, in {minutes:.1f} minutes"
        f" ({worked:.1f} of processor time)"
    )
    for outcome in survivors:
        assert outcome.mutation is not None
        _say(f"NOT FOUND: {outcome.mutation.name} ({outcome.mutation.file})")
    return 1 if survivors else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutations whose names hold what the command line says; all without."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutate", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names or areas")
    parser.add_argument("--seeds", default=str(SEEDS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of the page and end")
    options = parser.parse_args(arguments)
    if options.table:
        sys.stdout.write(table(load()))
        return 0
    chosen = [
        each
        for each in load()
        if not options.names or any(n in f"{each.area}: {each.name}" for n in options.names)
    ]
    if not chosen:
        parser.error("no such mutation")
    return run(chosen, options.seeds, options.workers)


if __name__ == "__main__":
    sys.exit(main())
