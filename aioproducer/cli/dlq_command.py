"""The options of `aioproducer dlq replay`."""

from __future__ import annotations

from pathlib import Path

import click

from aioproducer.cli.common_options import (
    bootstrap_option,
    config_option,
    json_option,
    loop_option,
    property_option,
)
from aioproducer.cli.dlq import ReplayOptions, run_replay
from aioproducer.cli.settings import read_settings


@click.group(short_help="Send dead letters to their topics again.")
def dlq() -> None:
    """Records that finally failed, kept in a spool file or a dead-letter topic."""


@dlq.command(short_help="Send dead letters to their topics again.")
@click.argument("source", metavar="SPOOL_OR_TOPIC")
@config_option
@bootstrap_option
@property_option
@click.option(
    "-C",
    "consumer_properties",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the consumer that reads a topic, by librdkafka's name. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, send nothing.")
@click.option(
    "--include-maybe", is_flag=True, help="Also what may be in its topic already: it may be twice."
)
@click.option("--to", "to_topic", metavar="TOPIC", help="Send all there, not to their topics.")
@click.option(
    "--skip-failed", is_flag=True, help="Of a topic: go past what fails again; else stop there."
)
@click.option("--group", metavar="NAME", help="Of a topic: the group that keeps the position.")
@loop_option
@json_option
def replay(
    source: str,
    config_file: Path | None,
    bootstrap_server: str | None,
    properties: tuple[str, ...],
    consumer_properties: tuple[str, ...],
    dry_run: bool,
    include_maybe: bool,
    to_topic: str | None,
    skip_failed: bool,
    group: str | None,
    loop: str,
    as_json: bool,
) -> int:
    """Send the dead letters in SPOOL_OR_TOPIC to the topics they were for.

    A file that exists is a spool file: what is acknowledged leaves it. Anything else is a
    dead-letter topic: what is acknowledged is behind the position of a consumer group. Ended and
    run again, it goes on where it was. Letters that may be in their topic already, and those that
    never had bytes, are left. The exit status is 0 if nothing failed, 1 if something did, 130
    after Ctrl-C.
    """
    options = ReplayOptions(
        source=source,
        dry_run=dry_run,
        include_maybe=include_maybe,
        to_topic=to_topic,
        skip_failed=skip_failed,
        group=group,
        consumer=read_settings(None, None, consumer_properties),
        loop=loop,
        as_json=as_json,
    )
    return run_replay(read_settings(config_file, bootstrap_server, properties), options)
