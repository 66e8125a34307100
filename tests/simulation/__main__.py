"""Runs seeds of the simulated world: ``python -m tests.simulation 1000``, ``... 40-49``."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

import aioproducer
from tests.simulation.run import Simulation
from tests.simulation.transactions import TransactionSimulation

_CHUNK = 25
_SMALL_CHUNK = 5
"""Of seeds that are run until one fails."""
_EACH_CALM = 10
"""Each tenth seed is run a second time without any fault: then nothing may fail."""
_MOST_TOLD = 5


@dataclass(slots=True)
class Tally:
    """What runs added up to."""

    seeds: int = 0
    calm: int = 0
    records: int = 0
    fewest_records: int = 10**9
    fewest_faults: int = 10**9
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.calm += other.calm
        self.records += other.records
        self.fewest_records = min(self.fewest_records, other.fewest_records)
        self.fewest_faults = min(self.fewest_faults, other.fewest_faults)
        self.faults += other.faults
        self.outcomes += other.outcomes
        self.exceptions += other.exceptions
        self.wrong.update(other.wrong)


AnySimulation = Simulation | TransactionSimulation


def simulate(seed: int, *, calm: bool = False, transactions: bool = False) -> AnySimulation:
    """Run one seed; a crash of the simulation itself is a violation too."""
    simulation: AnySimulation = (TransactionSimulation if transactions else Simulation)(
        seed, calm=calm
    )
    try:
        simulation.run()
    except Exception as error:  # noqa: BLE001 - deadlock, livelock, an assertion in the producer
        simulation.violations.append(f"the run ended with {error!r}")
    return simulation


def run_chunk(seeds: Sequence[int], transactions: bool = False) -> Tally:
    """Run ``seeds`` and return their sum."""
    tally = Tally()
    for seed in seeds:
        _count(tally, simulate(seed, transactions=transactions))
        if seed % _EACH_CALM == 0:
            _count(tally, simulate(seed, calm=True, transactions=transactions))
    return tally


def _count(tally: Tally, done: AnySimulation) -> None:
    if done.violations:
        options = " --transactions" if isinstance(done, TransactionSimulation) else ""
        options += " --calm" if done.calm else ""
        tally.wrong[f"{done.seed}{options}"] = done.violations
    if done.calm:
        tally.calm += 1
        return
    tally.seeds += 1
    if done.has_begun:
        tally.records += len(done.sent)
        tally.fewest_records = min(tally.fewest_records, len(done.sent))
    tally.fewest_faults = min(tally.fewest_faults, done.faults.counts.total())
    tally.faults += done.faults.counts
    tally.outcomes += done.outcomes
    tally.exceptions += done.exceptions


def parse_seeds(text: str) -> range:
    """Return the seeds that ``N`` (a count, from 0) or ``A-B`` (both included) names."""
    first, dash, last = text.partition("-")
    seeds = range(int(first), int(last) + 1) if dash else range(int(first))
    if not seeds:
        raise ValueError(f"no seeds in {text!r}")
    return seeds


def _chunks(seeds: range, size: int) -> Iterator[range]:
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _replay(seed: int, calm: bool, transactions: bool) -> int:
    """Run one seed and say everything about it."""
    done = simulate(seed, calm=calm, transactions=transactions)
    _say(f"seed {seed}: {done.plan}")
    _say(f"faults: {_counts(done.faults.counts)}")
    _say(f"outcomes: {_counts(done.outcomes)}")
    _say(f"exceptions: {_counts(done.exceptions)}")
    if done.has_begun:
        _say(f"digest: {done.digest()}")
    for violation in done.violations:
        _say(f"VIOLATION: {violation}")
    _say(f"{len(done.violations)} violations")
    return 1 if done.violations else 0


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"


def _run_all(seeds: range, workers: int, *, stop: bool, transactions: bool) -> int:
    started = time.monotonic()
    total = Tally()
    one = functools.partial(run_chunk, transactions=transactions)
    for part in _tallies(one, seeds, workers, _SMALL_CHUNK if stop else _CHUNK):
        total.add(part)
        for name in part.wrong:
            _say(f"SEED {name} FAILED")
        rate = 60 * total.seeds / (time.monotonic() - started)
        _say(
            f"{total.seeds} of {len(seeds)} seeds, {rate:.0f} a minute, {total.records} records,"
            f" {total.faults.total()} faults, {len(total.wrong)} failed"
        )
        if stop and total.wrong:
            break
    _summarize(total, time.monotonic() - started)
    return 1 if total.wrong else 0


def _tallies(
    one: Callable[[Sequence[int]], Tally], seeds: range, workers: int, size: int
) -> Iterable[Tally]:
    chunks = list(_chunks(seeds, size))
    if workers == 1:
        yield from map(one, chunks)
        return
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(one, chunk) for chunk in chunks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _summarize(total: Tally, seconds: float) -> None:
    _say("")
    _say(f"{total.seeds} seeds and {total.calm} calm ones in {seconds:.1f} s")
    _say(f"a seed had at least {total.fewest_records} records and {total.fewest_faults} faults")
    _say(f"faults: {_counts(total.faults)}")
    _say(f"outcomes: {_counts(total.outcomes)}")
    _say(f"what no client can prevent: {_counts(total.exceptions)}")
    for name, violations in sorted(total.wrong.items())[:_MOST_TOLD]:
        seed, _, option = name.partition(" ")
        _say(f"\nSEED {seed} FAILED with {len(violations)} violations, the first is:")
        _say(f"  {violations[0][:600]}")
        _say(f"  replay: python -m tests.simulation {seed}-{seed} {option}".rstrip())
    rest = sorted(total.wrong)[_MOST_TOLD:]
    if rest:
        _say(f"\nfailed as well: {', '.join(rest)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds that the command line names; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="?", default="1000", help="a count, or first-last")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--calm", action="store_true", help="with one seed: let nothing go wrong")
    parser.add_argument("--transactions", action="store_true", help="transactional producers")
    parser.add_argument("--stop", action="store_true", help="stop soon after the first failure")
    parser.add_argument("--package", help="fail unless this is the package that is run")
    options = parser.parse_args(arguments)
    there = os.path.dirname(aioproducer.__file__)
    if options.package and not os.path.samefile(options.package, there):
        parser.error(f"the package that is run is {there}")
    try:
        seeds = parse_seeds(options.seeds)
    except ValueError as error:
        parser.error(str(error))
    if len(seeds) == 1:
        return _replay(seeds[0], options.calm, options.transactions)
    return _run_all(seeds, options.workers, stop=options.stop, transactions=options.transactions)


if __name__ == "__main__":
    sys.exit(main())
