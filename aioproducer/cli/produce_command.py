"""The options of `aioproducer produce`."""

from __future__ import annotations

from pathlib import Path

import click

from aioproducer.cli.common_options import (
    FiniteRange,
    bootstrap_option,
    config_option,
    json_option,
    loop_option,
    property_option,
)
from aioproducer.cli.produce import ProduceOptions, run_produce
from aioproducer.cli.record_format import fixed_headers, unescaped
from aioproducer.cli.settings import SettingsError, byte_count, read_settings

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@click.command(short_help="Send lines as records.")
@click.argument("topic")
@click.argument(
    "files",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="[FILE]...",
)
@config_option
@bootstrap_option
@property_option
@click.option("--profile", metavar="NAME", help="A profile's settings, where none are given.")
@click.option("--compression", type=click.Choice(CODECS), help="As -X compression.type=...")
@click.option(
    "-k",
    "--key-separator",
    metavar="TEXT",
    help=r"What stands between key and value; \t is a tab. Else a line is a value.",
)
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="NAME=VALUE", help="Of every record."
)
@click.option("-p", "--partition", type=click.IntRange(min=0), metavar="N", help="Of all records.")
@click.option("--null-value", metavar="TEXT", help="A value that stands for none: deletes its key.")
@click.option(
    "--json-lines",
    is_flag=True,
    help="Each line is an object: key, value, headers, partition, timestamp, topic.",
)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do at a line that is no record.",
)
@click.option(
    "--rate",
    type=FiniteRange(min=0, min_open=True),
    metavar="N",
    help="No more records a second.",
)
@click.option("--byte-rate", metavar="BYTES", help="No more bytes a second: 500k, 20MB.")
@click.option(
    "--drain-seconds",
    type=FiniteRange(min=0),
    default=10.0,
    show_default=True,
    metavar="N",
    help="How long Ctrl-C waits for acknowledgements.",
)
@click.option(
    "--slowest",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Print what happened to the N slowest records.",
)
@loop_option
@json_option
def produce(
    topic: str,
    files: tuple[Path, ...],
    config_file: Path | None,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    profile: str | None,
    compression: str | None,
    key_separator: str | None,
    headers: tuple[str, ...],
    partition: int | None,
    null_value: str | None,
    json_lines: bool,
    on_error: str,
    rate: float | None,
    byte_rate: str | None,
    drain_seconds: float,
    slowest: int,
    loop: str,
    as_json: bool,
) -> int:
    """Send each line of the FILEs, or of standard input, as a record to TOPIC.

    Empty lines are left out. Ctrl-C ends the reading and delivers what was read; a second one
    leaves at once. The exit status is 0 if every record was delivered, 1 if not, 4 if it stopped
    at a line that is no record, 130 after Ctrl-C.
    """
    if json_lines and (key_separator is not None or null_value is not None):
        raise SettingsError("--json-lines has its own keys and nulls: leave the others out")
    try:
        separator = None if key_separator is None else unescaped(key_separator)
        fixed = fixed_headers(headers)
        null = None if null_value is None else null_value.encode()
    except ValueError as error:
        raise SettingsError(str(error)) from error
    if separator == b"":
        raise SettingsError("--key-separator is empty")
    options = ProduceOptions(
        topic=topic,
        files=files,
        key_separator=separator,
        null_value=null,
        headers=fixed,
        partition=partition,
        json_lines=json_lines,
        skip_malformed=on_error == "skip",
        rate=rate,
        byte_rate=None if byte_rate is None else byte_count(byte_rate),
        profile=profile,
        patience=drain_seconds,
        loop=loop,
        slowest=slowest,
        as_json=as_json,
    )
    settings = read_settings(config_file, bootstrap_server, properties)
    if compression is not None:
        settings["compression.type"] = compression
    return run_produce(settings, options)
