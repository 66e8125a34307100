"""The commands and their options; what they do is in the module of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click

from aioproducer import accelerated
from aioproducer.advice.lab import BATCH_SIZES
from aioproducer.cli.common_options import (
    FiniteRange,
    bootstrap_option,
    config_option,
    json_option,
    property_option,
)
from aioproducer.cli.completion import completion
from aioproducer.cli.compress_lab import LabOptions, run_lab
from aioproducer.cli.demo import DEFAULT_RECORDS, QUICK_RECORDS, DemoOptions, run_demo
from aioproducer.cli.dlq_command import dlq
from aioproducer.cli.doctor import FAIL_ON, DoctorOptions, run_doctor
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.perf_command import perf
from aioproducer.cli.produce_command import CODECS, produce
from aioproducer.cli.settings import SettingsError, byte_count, read_settings
from aioproducer.cli.topics_command import topics
from aioproducer.errors import ConfigurationError, ProducerError
from aioproducer.testing.where import VERSIONS
from aioproducer.version import __version__

_BUILD = "compiled" if accelerated else "pure Python"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return the exit status."""
    args = None if arguments is None else list(arguments)
    _fill_descriptors()
    with ExitStack() as opened:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                nowhere = opened.enter_context(open(os.devnull, "w", encoding="utf-8"))
                setattr(sys, name, nowhere)
                opened.callback(setattr, sys, name, None)
        return _run_to_the_end(args)


def _fill_descriptors() -> None:
    """Have the first three descriptors lead somewhere, as with `>&-` they do not.

    A socket or a pipe of the loop would get their numbers, which uvloop takes for a mistake.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _run_to_the_end(args: list[str] | None) -> int:
    try:
        status = _run(args)
        # Here, where it can be answered: the interpreter would complain at its end.
        sys.stdout.flush()
    except (BrokenPipeError, _OutputGoneError):
        _discard_output()
        return Exit.BROKEN_PIPE
    return status


class _OutputGoneError(Exception):
    """Whoever read the output has left."""


def _discard_output() -> None:
    """Have what is still buffered go nowhere, or the interpreter fails to write it at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(args: list[str] | None) -> int:
    try:
        status = app.main(args, prog_name="aioproducer", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (SettingsError, ConfigurationError) as error:
        click.echo(f"aioproducer: {error}", err=True)
        return Exit.WRONG_USE
    except ProducerError as error:
        click.echo(f"aioproducer: {type(error).__name__}: {error}", err=True)
        return Exit.FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    return status if isinstance(status, int) else Exit.OK


class _Commands(click.Group):
    """Lets a pipe that was closed reach `run()`, which has a status for it; click has not."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _OutputGoneError from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message=f"%(version)s, {_BUILD}")
def app() -> None:
    """An asyncio-native producer client for Apache Kafka."""


@app.command(short_help="Produce, read back with another client, compare.")
@click.option(
    "-b",
    "--bootstrap-server",
    "--bootstrap",
    "bootstrap",
    metavar="HOST:PORT,...",
    help="Use this cluster, start none.",
)
@click.option(
    "--records",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"How many (default {DEFAULT_RECORDS:,}).",
)
@click.option("--quick", is_flag=True, help=f"Only {QUICK_RECORDS:,} records.")
@click.option(
    "--kafka-version",
    type=click.Choice(VERSIONS),
    metavar="VERSION",
    help=f"Start this Kafka and no other: {', '.join(VERSIONS)}.",
)
@json_option
def demo(
    bootstrap: str | None,
    records: int | None,
    quick: bool,
    kafka_version: str | None,
    as_json: bool,
) -> int:
    """Produce order events, read them back with another client, compare.

    Produces with every codec and compares what a consumer that is not ours reads: count, content,
    order, partitions, offsets. Starts the Kafka that it needs and ends it. The exit status is 0 if
    everything is as it was sent.
    """
    return run_demo(
        DemoOptions(
            records=records or (QUICK_RECORDS if quick else DEFAULT_RECORDS),
            bootstrap_servers=bootstrap,
            kafka_version=kafka_version,
            as_json=as_json,
        )
    )


@app.command(short_help="Compare a configuration with the cluster it is for.")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@config_option
@bootstrap_option
@property_option
@click.option("--rate", metavar="BYTES", help="Bytes a second that will be sent: 500k, 20MB.")
@click.option(
    "--fail-on",
    type=click.Choice(list(FAIL_ON)),
    default="warning",
    show_default=True,
    help="From which severity on the exit status is 1.",
)
@click.option(
    "--timeout", type=FiniteRange(min=0.1), default=30.0, show_default=True, metavar="SECONDS"
)
@json_option
def doctor(
    topics: tuple[str, ...],
    config_file: Path | None,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    rate: str | None,
    fail_on: str,
    timeout: float,
    as_json: bool,
) -> int:
    """Compare a producer's configuration with the cluster and the topics it is for.

    Nothing is produced. The exit status is 0 if all is well, 1 with findings of the severity
    --fail-on or worse, 2 for a configuration that the producer refuses, 3 if nothing so bad was
    found but not everything could be looked at.
    """
    options = DoctorOptions(
        topics=topics,
        bytes_per_second=None if rate is None else byte_count(rate),
        fail_on=fail_on,
        timeout=timeout,
        as_json=as_json,
    )
    return run_doctor(read_settings(config_file, bootstrap_server, properties), options)


@app.command("compress-lab", short_help="Measure every codec on your own data.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--rate", default="10MB", show_default=True, metavar="BYTES", help="Bytes a second to send."
)
@click.option(
    "--cpu",
    type=FiniteRange(min=0, min_open=True),
    default=25.0,
    show_default=True,
    metavar="PERCENT",
    help="How much of one core compression may take.",
)
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Over how many partitions the records spread.",
)
@click.option(
    "--codec",
    "codecs",
    multiple=True,
    type=click.Choice(CODECS[1:]),
    help="Try this one only. Repeatable.",
)
@click.option(
    "--batch-size", "batch_sizes", multiple=True, metavar="BYTES", help="Try it. Repeatable."
)
@click.option("--quick", is_flag=True, help="Only the usual levels.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE.svg",
    help="Draw ratio over speed.",
)
@json_option
def compress_lab(
    file: Path,
    rate: str,
    cpu: float,
    partitions: int,
    codecs: tuple[str, ...],
    batch_sizes: tuple[str, ...],
    quick: bool,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Measure each codec and level on your own data: the lines of FILE, each a record.

    Prints ratio, speed and what it saves per TB at several batch sizes, and what to set.
    """
    options = LabOptions(
        rate=byte_count(rate),
        cpu=cpu / 100,
        partitions=partitions,
        codecs=codecs or None,
        batch_sizes=tuple(int(byte_count(size)) for size in batch_sizes) or BATCH_SIZES,
        quick=quick,
        plot=plot,
        as_json=as_json,
    )
    return run_lab(file, options)


for _command in (produce, perf, topics, completion, dlq):
    app.add_command(_command)
