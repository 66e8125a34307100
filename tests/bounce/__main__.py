"""`python -m tests.bounce`: run once, print a table, tell by the exit code whether all was well."""

from __future__ import annotations

import argparse
import asyncio
import sys

from tests.bounce.run import Settings, run
from tests.bounce.verdict import table


def main() -> int:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m tests.bounce",
        description="Copy a topic exactly once while copiers and brokers are killed.",
    )
    parser.add_argument("--records", type=int, default=defaults.records)
    parser.add_argument("--seconds", type=float, default=defaults.seconds)
    parser.add_argument("--partitions", type=int, default=defaults.partitions)
    parser.add_argument("--copiers", type=int, default=defaults.copiers)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    arguments = parser.parse_args()
    settings = Settings(**vars(arguments))
    outcome = asyncio.run(run(settings, _progress))
    sys.stdout.write(table(outcome.rows) + "\n")
    for problem in outcome.problems:
        sys.stdout.write(problem + "\n")
    return 1 if outcome.problems else 0


def _progress(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
