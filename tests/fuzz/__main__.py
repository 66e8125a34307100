"""`python -m tests.fuzz`: a million damaged answers for everything that reads a broker's bytes.

Ends with 0 if nothing came out but what is documented, within bounds of memory and time.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.fuzz.engine import Tally, attack, attempt, bound_memory
from tests.fuzz.targets import Target, all_targets

_CHUNK = 2500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_200_000, help="at least so many")
    parser.add_argument("--seed", type=int, default=None, help="by default another each time")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", metavar="TARGET=HEX", help="give one input to one target")
    arguments = parser.parse_args()
    if arguments.replay:
        return _replay(arguments.replay)
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    return _run(arguments.inputs, seed, arguments.processes)


def _run(inputs: int, seed: int, processes: int) -> int:
    targets = all_targets()
    rounds = -(-inputs // (len(targets) * _CHUNK))
    _say(f"seed {seed}: {rounds} rounds of {_CHUNK} inputs for each of {len(targets)} targets")
    started = time.monotonic()
    tally = Tally()
    with ProcessPoolExecutor(processes, initializer=bound_memory) as pool:
        jobs = [
            pool.submit(_chunk, index, f"{seed} {number}")
            for number in range(rounds)
            for index in range(len(targets))
        ]
        for done, job in enumerate(as_completed(jobs), 1):
            tally.add(job.result())
            if tally.finding is not None:
                pool.shutdown(cancel_futures=True)
                break
            if done % (5 * len(targets)) == 0:
                _say(f"  {tally.inputs:,} inputs, {tally.refused:,} refused")
    _say(
        f"seed {seed}: {tally.inputs:,} inputs, {tally.refused:,} refused, the others read,"
        f" {time.monotonic() - started:.0f} s"
    )
    if tally.finding is None:
        return 0
    _say(f"FOUND {tally.finding}")
    return 1


def _chunk(index: int, seed: str) -> Tally:
    return attack(all_targets()[index], _CHUNK, seed)


def _replay(text: str) -> int:
    name, _, data = text.rpartition("=")
    target: Target = {each.name: each for each in all_targets()}[name]
    refused, what = attempt(target, bytes.fromhex(data), measured=True)
    _say(what or ("refused" if refused else "read"))
    return 1 if what else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
