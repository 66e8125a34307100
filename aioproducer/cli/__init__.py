"""The command line: `python -m aioproducer demo`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from aioproducer.cli.demo import DEFAULT_RECORDS, QUICK_RECORDS, DemoOptions, run_demo
from aioproducer.testing.where import VERSIONS
from aioproducer.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return the exit status."""
    options = _parser().parse_args(arguments)
    return run_demo(
        DemoOptions(
            records=options.records or (QUICK_RECORDS if options.quick else DEFAULT_RECORDS),
            bootstrap_servers=options.bootstrap,
            kafka_version=options.kafka_version,
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aioproducer", description="An asyncio-native producer client for Apache Kafka."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "demo",
        help="produce order events, read them back with another client, compare",
        description="Produce order events with every codec, read them back with a consumer that is"
        " not ours, and compare: count, content, order, partitions, offsets. Starts the Kafka that"
        " it needs and ends it. The exit status is 0 if everything is as it was sent.",
    )
    command.add_argument(
        "--bootstrap", metavar="HOST:PORT,...", help="use this cluster instead of starting one"
    )
    command.add_argument(
        "--records", type=_positive, metavar="N", help=f"how many (default {DEFAULT_RECORDS:,})"
    )
    command.add_argument("--quick", action="store_true", help=f"only {QUICK_RECORDS:,} records")
    command.add_argument(
        "--kafka-version",
        choices=VERSIONS,
        metavar="VERSION",
        help=f"start this Kafka and no other: {', '.join(VERSIONS)}",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number
