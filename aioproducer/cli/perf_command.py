"""The options of `aioproducer perf`: those of Kafka's kafka-producer-perf-test, and a few more."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import click

from aioproducer.checks import check_topic
from aioproducer.cli.common_options import json_option, loop_option
from aioproducer.cli.perf import PerfOptions, read_payloads, run_perf
from aioproducer.cli.perf_clients import CLIENTS
from aioproducer.cli.perf_run import PerfJob
from aioproducer.cli.settings import SettingsError, read_settings

_TAKE_SEVERAL = ("--producer-props", "--command-property")
_CLIENT_ID = "perf-producer-client"
_TRANSACTION_MS = 3000


class JavaStyle(click.Command):
    """Takes several values behind one option, as Kafka's tool does: --producer-props a=1 b=2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat such an option for each of its values."""
        return super().parse_args(ctx, list(_one_each(args)))


def _one_each(args: list[str]) -> Iterator[str]:
    several = None
    for number, arg in enumerate(args):
        if arg in _TAKE_SEVERAL:
            several = arg
            if number + 1 == len(args) or args[number + 1].startswith("-"):
                # Without any value: click says so.
                yield arg
            continue
        if arg.startswith("-"):
            several = None
        if several is not None:
            yield several
        yield arg


@click.command(cls=JavaStyle, short_help="Measure as kafka-producer-perf-test does.")
@click.option("--topic", required=True, help="Produce records to this topic.")
@click.option("--num-records", type=click.IntRange(min=1), required=True, metavar="N")
@click.option(
    "--record-size", type=click.IntRange(min=1), metavar="BYTES", help="Letters by chance."
)
@click.option(
    "--payload-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="One of its lines by chance.",
)
@click.option(
    "--payload-delimiter", default="\\n", show_default=True, help="What ends a payload there."
)
@click.option("--payload-monotonic", is_flag=True, help="Numbers that count up.")
@click.option(
    "--throughput",
    type=float,
    default=-1,
    show_default=True,
    metavar="N",
    help="About so many records a second; -1 for as many as can be.",
)
@click.option("-b", "--bootstrap-server", metavar="HOST:PORT,...", help="The cluster.")
@click.option(
    "--command-property",
    "--producer-props",
    "-X",
    "properties",
    multiple=True,
    metavar="KEY=VALUE ...",
    help="Settings by Kafka's names; beat the file.",
)
@click.option(
    "--command-config",
    "--producer.config",
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Settings as Kafka's own tools read them: producer.properties.",
)
@click.option("--print-metrics", is_flag=True, help="Print all metrics at the end.")
@click.option("--transactional-id", metavar="ID", help="Send in transactions.")
@click.option(
    "--transaction-duration-ms",
    type=click.IntRange(min=1),
    metavar="MS",
    help=f"How long each is open (default {_TRANSACTION_MS}).",
)
@click.option(
    "--warmup-records",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Tell of what follows the first N in a line of its own.",
)
@click.option(
    "--reporting-interval",
    type=click.IntRange(min=1),
    default=5000,
    show_default=True,
    metavar="MS",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Share the load among N processes.",
)
@click.option(
    "--compare",
    multiple=True,
    type=click.Choice(CLIENTS[1:]),
    help="Do the same with this client, too, in turns. Repeatable.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How many turns each client has.",
)
@loop_option
@json_option
def perf(
    topic: str,
    num_records: int,
    record_size: int | None,
    payload_file: Path | None,
    payload_delimiter: str,
    payload_monotonic: bool,
    throughput: float,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    config_file: Path | None,
    print_metrics: bool,
    transactional_id: str | None,
    transaction_duration_ms: int | None,
    warmup_records: int,
    reporting_interval: int,
    processes: int,
    compare: tuple[str, ...],
    rounds: int,
    loop: str,
    as_json: bool,
) -> int:
    """Measure throughput and latency, with the flags and lines of kafka-producer-perf-test.

    Latency is from send() to the acknowledgement. The connections are made before the clock
    starts. The exit status is 0 if every record was delivered, 1 if not, 130 after Ctrl-C, which
    delivers what was sent and reports it.
    """
    if sum((record_size is not None, payload_file is not None, payload_monotonic)) != 1:
        raise SettingsError("give one of --record-size, --payload-file and --payload-monotonic")
    if warmup_records >= num_records:
        raise SettingsError("--warmup-records must be fewer than --num-records")
    if not (throughput > 0 or throughput == -1):
        raise SettingsError("--throughput is a number of records, or -1")
    if not payload_delimiter:
        raise SettingsError("--payload-delimiter is empty")
    if compare and processes > 1:
        raise SettingsError("--compare and --processes exclude each other")
    try:
        check_topic(topic)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    settings = read_settings(config_file, bootstrap_server, properties)
    settings.setdefault("client.id", _CLIENT_ID)
    delimiter = payload_delimiter.replace("\\n", "\n")
    job = PerfJob(
        topic=topic,
        settings=settings,
        records=num_records,
        throughput=None if throughput == -1 else throughput,
        record_size=record_size,
        payloads=() if payload_file is None else read_payloads(payload_file, delimiter),
        warm_up=warmup_records,
        interval=reporting_interval / 1000,
        transaction_seconds=_transactions(settings, transactional_id, transaction_duration_ms),
        with_metrics=print_metrics,
        loop=loop,
    )
    options = PerfOptions(processes=processes, compare=compare, rounds=rounds, as_json=as_json)
    return run_perf(job, options)


def _transactions(
    settings: dict[str, object], name: str | None, duration_ms: int | None
) -> float | None:
    """Settle the transactional id; return how long a transaction is open, None without any."""
    if name is not None:
        settings["transactional.id"] = name
    elif duration_ms is not None:
        settings.setdefault("transactional.id", f"performance-producer-{uuid.uuid4()}")
    if "transactional.id" not in settings:
        return None
    return (duration_ms or _TRANSACTION_MS) / 1000
