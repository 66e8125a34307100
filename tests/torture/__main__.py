"""`python -m tests.torture`: an hour's worth of real faults, and a verdict.

Ends with 0 only if nothing was lost, repeated or reordered and nothing else was found.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable

from aioproducer.testing import ClusterStartError, KafkaUnavailableError
from tests.torture.plan import FaultKind, plan_faults
from tests.torture.run import Settings, torture
from tests.torture.site import SiteError


def main() -> int:
    arguments = _parse()
    _log_to(arguments.log)
    faults = plan_faults(arguments.seed, arguments.faults)
    if arguments.only:
        faults = [FaultKind[name.upper()] for name in arguments.only.split(",")]
    settings = Settings(
        arguments.records,
        faults,
        arguments.seed,
        arguments.minutes,
        arguments.rate,
        is_idempotent=not arguments.without_idempotence,
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory(arguments.loop)) as runner:
            summary = runner.run(torture(settings, _say))
    except KeyboardInterrupt:
        _say("interrupted: no verdict")
        return 130
    except (KafkaUnavailableError, ClusterStartError, SiteError) as error:
        _say(f"no verdict: {error}")
        return 2
    except ExceptionGroup as group:
        known, unknown = group.split((ClusterStartError, SiteError))
        if unknown is not None:
            raise
        _say(f"no verdict: {known.exceptions if known is not None else ()}")
        return 2
    _say("\n" + "\n".join(summary.lines()))
    _say("\nverdict: " + ("good" if summary.is_good else "BAD"))
    return 0 if summary.is_good else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--records", type=int, default=1_500_000, help="send at least so many")
    parser.add_argument("--faults", type=int, default=400, help="inject so many")
    parser.add_argument("--only", help=f"inject just these: {', '.join(_names())}")
    parser.add_argument("--seed", type=int, default=1, help="decides records and faults")
    parser.add_argument("--minutes", type=float, default=90.0, help="then the load ends anyhow")
    parser.add_argument("--rate", type=float, default=500.0, help="records per second")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument(
        "--without-idempotence",
        action="store_true",
        help="show that the judge bites: the verdict has to be bad",
    )
    parser.add_argument("--log", default=os.devnull, help="a file for the producers' own log")
    return parser.parse_args()


def _names() -> list[str]:
    return [kind.name.lower() for kind in FaultKind]


def _log_to(path: str) -> None:
    # Brokers die by the dozen here: what the producers log about it is for whoever asks.
    logging.basicConfig(filename=path, level=logging.INFO, format="%(asctime)s %(message)s")


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.SelectorEventLoop


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
